"""From ``app.Model`` or ``app.Model.field`` to encrypted fields."""

from django.apps import apps

from django_workos_vault.fields.field import EncryptedField
from django_workos_vault.maintenance.cells import column_name, encrypted_fields


class UnknownTarget(Exception):
    """The name is not that of an encrypted field, or of a model with one."""


def fields_of(target: str) -> list[EncryptedField]:
    """Return the encrypted fields that ``target`` names, all of one model.

    A model's own table counts: inherited columns are named by the parent. Raises UnknownTarget.
    """
    parts = target.split(".")
    if len(parts) not in (2, 3):
        raise UnknownTarget(f"{target!r} is neither app.Model nor app.Model.field.")
    try:
        model = apps.get_model(parts[0], parts[1])._meta.concrete_model
    except LookupError as exc:
        raise UnknownTarget(f"{target!r}: {exc}") from None
    fields = encrypted_fields(model) if model else []
    chosen = [field for field in fields if parts[2:] in ([], [field.name])]
    if not chosen:
        known = ", ".join(column_name(field) for field in _all_fields()) or "none"
        raise UnknownTarget(f"{target!r} names no encrypted column. Encrypted columns: {known}.")
    return chosen


def _all_fields() -> list[EncryptedField]:
    return [field for model in apps.get_models() for field in encrypted_fields(model)]
