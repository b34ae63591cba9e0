"""Reveals a value in the admin, or compares one, for those who may: by POST, and on the record."""
