"""System checks of one field. Ids are documented in docs/checks.md and never reused."""

from collections.abc import Iterator
from typing import Any

from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as CheckWarning
from django.core.exceptions import FieldDoesNotExist
from django.db.models import NOT_PROVIDED

from django_workos_vault import masks
from django_workos_vault.context import KeyContext
from django_workos_vault.exceptions import InvalidVaultConfiguration
from django_workos_vault.fields.from_row import FromRow
from django_workos_vault.fields.index_advice import IndexAdvice
from django_workos_vault.fields.scheme import unbindable
from django_workos_vault.handler import vaults


class FieldChecks:
    """What is wrong with the declaration of one field, as far as any field that uses a vault has it."""

    def __init__(self, field: Any) -> None:
        self.field = field

    def key_context(self) -> Iterator[CheckMessage]:
        """Yield what is wrong with the key context.

        What is wrong with a vault is told once: by its own check, or by the first field that lacks a context.
        """
        field, alias = self.field, self.field.vault_alias
        try:
            if field.key_context is not None:
                KeyContext({n: "row" if isinstance(v, FromRow) else v for n, v in field.key_context.items()})
            elif vaults[alias].key_context is None:
                first, *others = self._without_context()
                if first is field:
                    more = f" The same is true of {len(others)} other fields." if others else ""
                    yield self.error(
                        "E005",
                        f"Neither {field} nor vault {alias!r} has a key context to seal under.{more}",
                        f"Give WORKOS_VAULTS[{alias!r}] a KEY_CONTEXT, such as "
                        f'{{"app": "{field.model._meta.app_label}"}}, or the field a key_context.',
                    )
        except InvalidVaultConfiguration as exc:
            if field.key_context is not None or not _is_configured(alias):
                yield self.error("E005", str(exc))

    def _without_context(self) -> list[Any]:
        """Return the field and what else lacks a context for the same reason, in the order of the apps."""
        found = [
            other
            for model in self.field.model._meta.apps.get_models()
            for other in model._meta.local_fields
            if getattr(other, "vault_alias", None) == self.field.vault_alias and other.key_context is None
        ]
        return found if self.field in found else [self.field, *found]

    def binding(self, number: str, what: str = "") -> Iterator[CheckMessage]:
        """Yield what is wrong with ``bind_to``, as check ``number``; ``what`` says what is bound."""
        try:
            reasons = {column.name: unbindable(column) for column in self.field.scheme.bound_columns}
        except FieldDoesNotExist as exc:
            reasons = {"bind_to": str(exc)}
        for name, reason in reasons.items():
            if reason:
                yield self.error(
                    number,
                    f"Cannot bind {what}to {name}: {reason}.",
                    "Give the model row_id = models.UUIDField(default=uuid.uuid4, editable=False), and this "
                    'field bind_to=("row_id",). Where there are rows, each needs an id of its own first: see '
                    "manage.py vault_check --explain rows.",
                )

    def error(self, number: str, message: str, hint: str | None = None) -> CheckMessage:
        """Return the error of the check ``number``."""
        return Error(message, hint, self.field, f"django_workos_vault.{number}")

    def warning(self, number: str, message: str, hint: str) -> CheckMessage:
        """Return the warning of the check ``number``."""
        return CheckWarning(message, hint, self.field, f"django_workos_vault.{number}")


def _is_configured(alias: str) -> bool:
    """Whether the vault's own check tells what is wrong with it."""
    try:
        return alias in [*vaults]
    except InvalidVaultConfiguration:
        return True


class EncryptedFieldChecks(FieldChecks):
    """What is wrong with the declaration of an encrypted column."""

    def messages(self) -> Iterator[CheckMessage]:
        """Yield all of it but what concerns blind indexes."""
        yield from self._unsupported_options()
        yield from self.key_context()
        yield from self.binding("E008")
        yield from self._mask()
        yield from self._padding()
        yield from self._attribute()

    def _unsupported_options(self) -> Iterator[CheckMessage]:
        field, advice = self.field, IndexAdvice(self.field)
        unique = field.unique and not field.primary_key
        refused = (
            ("E001", "primary_key", field.primary_key and "Use an ordinary primary key."),
            ("E002", "unique", unique and advice.of_unique()),
            ("E003", "db_index", field.db_index and not unique and advice.of_db_index()),
            ("E004", "db_default", field.db_default is not NOT_PROVIDED and "Use default."),
        )
        for number, option, instead in refused:
            if instead:
                yield self.error(
                    number,
                    f"An encrypted field cannot have {option}.",
                    "Equal values have different ciphertexts, and the database cannot encrypt. " + instead,
                )

    def _mask(self) -> Iterator[CheckMessage]:
        mask = self.field.mask
        if reason := masks.problem(mask):
            known = ", ".join(repr(name) for name in masks.NAMES)
            yield self.error(
                "E007",
                reason,
                f"The masks are {known}. A function of your own is given itself, or by its dotted path.",
            )
        elif masks.problem(masks.path_of(mask)):
            yield self.error(
                "E180",
                "The function given as mask has no dotted path, by which a migration could name it.",
                "Define it with def at the top of a module.",
            )

    def _padding(self) -> Iterator[CheckMessage]:
        pad_to = self.field.pad_to
        if type(pad_to) is not int or pad_to < 0:
            yield self.error("E013", "pad_to must be a number of bytes.", "Give a block size such as 16.")
        elif pad_to and not self.field.encoding.varies_in_length:
            problem = "pad_to has no effect: all values of this type have the same length."
            yield self.error("E013", problem, "Take pad_to away.")

    def _attribute(self) -> Iterator[CheckMessage]:
        if not self.field.has_own_attribute:
            yield self.error(
                "E014",
                "The field's class puts an attribute of its own on the model, which would hand out "
                "ciphertext.",
                "Such a field cannot be encrypted. Encrypt the field that it is made of instead.",
            )
