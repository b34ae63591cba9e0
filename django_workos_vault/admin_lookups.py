"""Which encrypted field a lookup leads to, as an address of the admin spells it."""

from typing import Any

from django.contrib.admin.utils import NotRelationField, get_fields_from_path
from django.core.exceptions import FieldDoesNotExist
from django.db.models import Model

from django_workos_vault.fields.vault_field import VaultField


def takes_any_text(field: Any) -> bool:
    """Whether ``field`` is encrypted, not text, and answers ``iexact``, for which junk equals nothing."""
    digests = getattr(field, "digests", None)
    return digests is not None and not digests.holds_text and bool(digests.slots_for("iexact"))


def encrypted_field(model: type[Model], path: Any) -> VaultField | None:
    """Return the encrypted field named by ``path`` (a name, ``relation__field``, or a callable), or None."""
    if callable(path):
        return None
    try:
        field: Any = get_fields_from_path(model, path)[-1]
    except (FieldDoesNotExist, NotRelationField):
        return None
    return field if isinstance(field, VaultField) else None


def reaches_encrypted_field(model: Any) -> bool:
    """Whether relations lead from ``model``, however many, to a model with an encrypted field."""
    seen: set[Any] = set()
    unseen = [model]
    while unseen:
        here = unseen.pop()
        seen.add(here)
        for field in here._meta.get_fields():  # hidden relations cannot be looked up
            if isinstance(field, VaultField):
                return True
            there = getattr(field, "related_model", None)
            if isinstance(there, type) and there not in seen:
                unseen.append(there)
    return False
