"""What is told before a run begins: what it could not finish, where it writes, from which row on."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.db import DatabaseError, router, transaction
from django.db.models import Field, JSONField, Model, QuerySet

from django_workos_vault.exceptions import VaultError, WrongKey
from django_workos_vault.fields.field import EncryptedField
from django_workos_vault.maintenance.engine.keys import between
from django_workos_vault.maintenance.engine.where import Where, no_such_value
from django_workos_vault.maintenance.operations import copying, moving


def refuse_what_cannot_finish(
    fields: list[Any], name: str, from_vault: str | None, plain: str | None
) -> None:
    """Raise CommandError, or InvalidVaultConfiguration, where the columns cannot be brought to that state."""
    if (name in ("encrypt", "decrypt")) != (plain is not None):
        raise CommandError("--operation encrypt, or decrypt, and --plain FIELD go together.")
    if plain is not None and (reason := copying.refusal(fields, plain)):
        raise CommandError(reason)
    if (name == "move") != (from_vault is not None):
        raise CommandError("--operation move and --from-vault ALIAS go together.")
    if from_vault is not None:
        try:
            reason = moving.refusal(fields, from_vault)
        except (VaultError, WrongKey) as exc:
            reason = f"Nothing was changed: {exc}"
        if reason:
            raise CommandError(reason)
    for field in fields:
        if any(isinstance(column, JSONField) for column in field.model._meta.pk_fields):
            raise CommandError(f"{field.model._meta.label} has no order of its primary keys, which are JSON.")
        if not field.scheme.needs_row or field.key_context is None:
            field.scheme.static_context()  # raises where there is none
        holds_cells = isinstance(field, EncryptedField)  # files hold their wrapped keys themselves
        if name == "rekey" and holds_cells and field.vault.policy.envelope == "reference":
            raise CommandError(
                f"{field} keeps its wrapped data keys in the registry, where other columns share them: "
                "its cells hold nothing to wrap again. Run without --rekey."
            )


def database_of(fields: list[EncryptedField]) -> str:
    """Return the alias where the models are written. Raises CommandError where there are several."""
    databases = sorted({router.db_for_write(field.model) for field in fields})
    if len(databases) > 1:
        raise CommandError(
            f"The models are in different databases ({', '.join(databases)}): give --database."
        )
    return databases[0]


def primary_key(field: "Field[Any, Any]", text: str | None) -> Any:
    """Return ``text`` as a primary key of the field's model. Raises CommandError."""
    if text is None:
        return None
    try:
        text.encode()  # or it is none that a database takes
        key = field.model._meta.pk.to_python(text)
        return tuple(key) if isinstance(key, list) else key
    except ValidationError as exc:
        raise CommandError(f"--start-after: {'; '.join(exc.messages)}") from None
    except (ValueError, TypeError, OverflowError):  # of several columns, which come as a JSON list
        raise CommandError(
            f'--start-after: {text!r} is no primary key; one of two columns is ["a", 1].'
        ) from None


def refuse_values(models: Sequence[Sequence[Any]], using: str, where: str | None, start_after: Any) -> None:
    """Raise CommandError, or UnknownCondition, for what the database ``using`` has no such column for.

    ``models`` are the fields of each. Their rows are not looked at.
    """
    for fields in models:
        model = fields[0].model
        rows: QuerySet[Model] = QuerySet(model, using=using)
        if where is not None and not _is_taken(Where(where, fields).of(rows), rows):
            raise no_such_value(where, model)
        if start_after is not None and not _is_taken(between(rows, start_after), rows):
            raise CommandError(f"--start-after: {model._meta.label} holds no such primary key.")


def _is_taken(some: "QuerySet[Model]", rows: "QuerySet[Model]") -> bool:
    """Whether the database, or what leads to it, takes the values in the query ``some`` of ``rows``."""
    try:
        with transaction.atomic(using=rows.db):
            some.explain()
    except Exception:  # each driver has errors of its own for a value that a type does not hold
        with suppress(DatabaseError), transaction.atomic(using=rows.db):
            rows.explain()
            return False  # else the database is the reason, which is told later
    return True
