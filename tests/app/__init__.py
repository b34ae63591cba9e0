"""A Django app whose models the tests use. It has no migrations: the test runner makes its tables."""
