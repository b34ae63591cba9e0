"""What is told before a run begins: what it could not finish, where it writes, from which row on."""

from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.db import router
from django.db.models import Field

from django_workos_vault.exceptions import VaultError, WrongKey
from django_workos_vault.fields.field import EncryptedField
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
    except (ValueError, TypeError):  # of several columns, which come as a JSON list
        raise CommandError(
            f'--start-after: {text!r} is no primary key; one of two columns is ["a", 1].'
        ) from None
