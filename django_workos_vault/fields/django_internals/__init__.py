"""Everything that is assumed of Django's private code, and nothing else: frames, queries, querysets, rows,
forms and files.

``tests/fields/test_django_internals.py`` has a test for each assumption: with a new Django it says which one
broke.
"""
