"""From ``app.Model`` or ``app.Model.field`` to encrypted fields."""

from collections.abc import Sequence

from django.apps import apps
from django.db import router
from django.db.models import Model

from django_workos_vault.fields.field import EncryptedField
from django_workos_vault.maintenance.cells import encrypted_fields


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
        fields = encrypted_fields(model_of(".".join(parts[:2])))
    except LookupError as exc:
        raise UnknownTarget(f"{target!r}: {exc}") from None
    chosen = [field for field in fields if parts[2:] in ([], [field.name])]
    if not chosen:
        known = ", ".join(map(str, _all_fields())) or "none"
        raise UnknownTarget(f"{target!r} names no encrypted column. Encrypted columns: {known}.")
    return chosen


def fields_of_all(targets: Sequence[str], using: str | None) -> list[EncryptedField]:
    """Return the encrypted fields of several targets, each a column, a model or an app; of all, for none.

    Of apps only models whose tables can be in ``using``. Raises UnknownTarget.
    """
    fields: list[EncryptedField] = []
    for target in targets:
        fields += fields_of(target) if "." in target else _fields_of_app(target, using)
    if not targets:
        fields = [field for field in _all_fields() if _is_in(field, using)]
    if not fields:
        raise UnknownTarget("There is no encrypted column.")
    return list(dict.fromkeys(fields))


def _fields_of_app(label: str, using: str | None) -> list[EncryptedField]:
    try:
        config = apps.get_app_config(label)
    except LookupError as exc:
        raise UnknownTarget(f"{label!r}: {exc}") from None
    fields = [f for model in config.get_models() for f in encrypted_fields(model) if _is_in(f, using)]
    if not fields:
        raise UnknownTarget(f"App {label!r} has no encrypted column.")
    return fields


def _is_in(field: EncryptedField, using: str | None) -> bool:
    options = field.model._meta
    return not options.proxy and (using is None or router.allow_migrate_model(using, field.model))


def model_of(label: str) -> type[Model]:
    """Return the model that has the table of ``app.Model``. Raises LookupError."""
    model = apps.get_model(label)
    return model._meta.concrete_model or model


def _all_fields() -> list[EncryptedField]:
    return [f for model in apps.get_models() if not model._meta.proxy for f in encrypted_fields(model)]
