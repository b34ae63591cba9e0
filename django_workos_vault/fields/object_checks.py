"""System checks of one :class:`VaultObjectField`. Ids are documented in docs/checks.md and never reused."""

from collections.abc import Iterator
from contextlib import suppress

from django.core.checks import CheckMessage
from django.db.models import NOT_PROVIDED

from django_workos_vault.backends.arguments import MAX_NAME_LENGTH
from django_workos_vault.exceptions import InvalidVaultConfiguration
from django_workos_vault.fields.checks import FieldChecks
from django_workos_vault.fields.object_history import gives_history

#: What follows the label in a name: "/", 32 hexadecimal digits, and for a copy "/before-" and 16 more.
_NAME_AFTER_LABEL = 57


class ObjectFieldChecks(FieldChecks):
    """What is wrong with the declaration of a field whose values live in Vault."""

    def messages(self) -> Iterator[CheckMessage]:
        """Yield all of it."""
        yield from self.key_context()
        yield from self._proofs()
        yield from self._unsupported_options()
        yield from self._label()
        yield from self._history()

    def _proofs(self) -> Iterator[CheckMessage]:
        field, alias = self.field, self.field.vault_alias
        with suppress(InvalidVaultConfiguration):  # which the vault's own check tells
            if field.vault.key_context is None and field.key_context is not None:
                yield self.error(
                    "E110",
                    f"Vault {alias!r} has no KEY_CONTEXT, to wrap the key that proves references.",
                    "Give the vault a KEY_CONTEXT of your own, not a customer's.",
                )

    def _unsupported_options(self) -> Iterator[CheckMessage]:
        field = self.field
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
            yield self.error(
                "E050",
                f"A VaultObjectField cannot have {option}.",
                f"Take {option} away: the column holds a reference, not the value. Set values in code.",
            )

    def _label(self) -> Iterator[CheckMessage]:
        label = self.field.label
        if len(label) + _NAME_AFTER_LABEL > MAX_NAME_LENGTH or "/" in label:
            yield self.error(
                "E051",
                "The label cannot begin the names of objects in Vault.",
                f"Give label= with at most {MAX_NAME_LENGTH - _NAME_AFTER_LABEL} characters and no slash.",
            )

    def _history(self) -> Iterator[CheckMessage]:
        model = self.field.model
        if not gives_history(model):
            yield self.warning(
                "W052",
                f"{model._meta.label} has a history of its own, so row.history() is not Vault's.",
                "Give that attribute another name, or use object_history(row, field_name) of "
                "django_workos_vault.fields and silence this.",
            )
