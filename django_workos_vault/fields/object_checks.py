"""System checks of one :class:`VaultObjectField`. Ids are documented in docs/checks.md and never reused."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as CheckWarning
from django.db.models import NOT_PROVIDED

from django_workos_vault.backends.arguments import MAX_NAME_LENGTH
from django_workos_vault.exceptions import InvalidVaultConfiguration
from django_workos_vault.fields import checks
from django_workos_vault.fields.object_history import gives_history

#: What follows the label in a name: "/", 32 hexadecimal digits, and for a copy "/before-" and 16 more.
_NAME_AFTER_LABEL = 57


def object_field_messages(field: Any) -> Iterator[CheckMessage]:
    """Yield what is wrong with the declaration of ``field``."""
    yield from checks.key_context(field)
    yield from _proofs(field)
    refused = {
        "primary_key": field.primary_key,
        "unique": field.unique and not field.primary_key,
        "db_index": field.db_index and not field.unique,
        "choices": field.choices,
        "default": field.has_default(),
        "mask": field.mask != "full",  # would fetch a value for each row of a list
        "db_default": field.db_default is not NOT_PROVIDED,
    }
    for option in (name for name, given in refused.items() if given):
        yield Error(
            f"A VaultObjectField cannot have {option}.",
            hint=f"Take {option} away: the column holds a reference, not the value. Set values in code.",
            obj=field,
            id="django_workos_vault.E050",
        )
    if len(field.label) + _NAME_AFTER_LABEL > MAX_NAME_LENGTH or "/" in field.label:
        yield Error(
            "The label cannot begin the names of objects in Vault.",
            hint=f"Give label= with at most {MAX_NAME_LENGTH - _NAME_AFTER_LABEL} characters and no slash.",
            obj=field,
            id="django_workos_vault.E051",
        )
    if not gives_history(field.model):
        yield CheckWarning(
            f"{field.model._meta.label} has a history of its own, so row.history() is not Vault's.",
            hint="Give that attribute another name, or use object_history(row, field_name) of "
            "django_workos_vault.fields and silence this.",
            obj=field,
            id="django_workos_vault.W052",
        )


def _proofs(field: Any) -> Iterator[CheckMessage]:
    with suppress(InvalidVaultConfiguration):  # which the vault's own check tells
        if field.vault.key_context is None and field.key_context is not None:
            yield Error(
                f"Vault {field.vault_alias!r} has no KEY_CONTEXT, to wrap the key that proves references.",
                hint="Give the vault a KEY_CONTEXT of your own, not a customer's.",
                obj=field,
                id="django_workos_vault.E110",
            )
