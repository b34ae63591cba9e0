"""The former place of what a ``VaultObjectField`` holds, which pickles in users' caches name."""

from typing import Any

from django_workos_vault.fields import object_value
from django_workos_vault.fields.object_reference import ObjectReference
from django_workos_vault.fields.object_value import Assigned

__all__ = ["Assigned", "ObjectReference", "StoredObject"]


def StoredObject(reference: ObjectReference, field: Any, row: Any = None) -> Any:  # noqa: N802 (pickles call it)
    """Return what was pickled. ``row`` had no primary key then, so no row can be told from it."""
    return object_value.StoredObject(reference, field)
