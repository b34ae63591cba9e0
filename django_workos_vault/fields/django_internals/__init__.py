"""Everything that is assumed of Django's private code, and nothing else.

``tests/fields/django_internals/`` has a test for each assumption: with a new Django it says which one broke.
"""
