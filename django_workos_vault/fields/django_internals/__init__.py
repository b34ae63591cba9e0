"""Everything that is assumed of Django's private code, and nothing else: frames, queries, methods of models
and querysets.

``tests/fields/test_django_internals.py`` has a test for each assumption: with a new Django it says which one
broke.
"""
