"""What an operation does with one stored cell."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from django.db.models import Model

from django_workos_vault.context import KeyContext
from django_workos_vault.exceptions import EnvelopeError, InvalidVaultConfiguration, VaultError
from django_workos_vault.fields.field import EncryptedField
from django_workos_vault.maintenance.bare_rows import BareRow
from django_workos_vault.maintenance.cells import CannotOpen, concerns_all


class NotAsWritten(Exception):
    """A cell that was just written does not hold what it was to hold. Its batch is taken back."""


class Operation(Protocol):
    """Makes the replacement of stored cells that are not NULL.

    Methods raise CannotOpen when the cell, its key or its row is the reason, VaultError in an outage.
    """

    #: data keys made, or wrapped again, so far
    keys_made: int

    def prepare(self, fields: Sequence[EncryptedField], rows: Sequence[Model]) -> None:
        """Have what a batch needs of Vault, asked for together. What is refused is told cell by cell."""

    def examine(self, field: EncryptedField, instance: Model) -> bool:
        """Return whether the cell would be replaced, doing to the old cell what a replacement does."""

    def replacement(self, field: EncryptedField, instance: Model) -> bytes | None:
        """Return the new cell, None for a cell that is as it should be."""

    def check(self, field: EncryptedField, old: Model, new: Model, thoroughly: bool) -> None:
        """Open the cell of ``new``, as it is stored now. Raises NotAsWritten."""


@runtime_checkable
class AtOnce(Protocol):
    """What operations have that replace most cells without a look at each."""

    def at_once(
        self, field: EncryptedField, rows: Sequence[BareRow], cells: Sequence[bytes]
    ) -> list[bytes | None]:
        """Return the new ``cells`` of ``rows``, None for each that ``replacement`` has to be asked about.

        None of the cells is NULL. No ``prepare`` goes before. Raises VaultError in an outage.
        """


def context_of(field: EncryptedField, instance: Model) -> KeyContext:
    """Return the key context of a row's cell. Raises CannotOpen where the row has none."""
    try:
        return field.context_for(instance)
    except InvalidVaultConfiguration as exc:
        raise CannotOpen(type(exc).__name__, str(exc)) from None


def holds_the_same_value(field: EncryptedField, old: Model, new: Model) -> None:
    """Open a cell as it is stored now, and compare it with what ``old`` held. Raises NotAsWritten."""
    try:
        if field.encoded(getattr(new, field.attname)) == field.encoded(getattr(old, field.attname)):
            return
        fault = "holds another value"
    except (EnvelopeError, InvalidVaultConfiguration, VaultError) as exc:
        if concerns_all(exc):
            raise
        fault = f"cannot be opened ({type(exc).__name__})"
    raise NotAsWritten(f"{field} of row {new.pk} was written, and {fault}. The batch was taken back.")
