"""Everything that is assumed of Django's private code, and nothing else: frames, queries, querysets, rows,
forms and files.

``tests/fields/django_internals/`` has a test for each assumption: with a new Django it says which one broke.
"""
