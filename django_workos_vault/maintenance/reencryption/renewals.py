"""What a cell is replaced by: a new ciphertext, or the same one with its data key wrapped again."""

import hmac
from typing import Protocol

from django.db.models import Model

from django_workos_vault import envelope
from django_workos_vault.context import KeyContext
from django_workos_vault.datakey import LoadedKey
from django_workos_vault.exceptions import REFUSALS, InvalidVaultConfiguration, WrongKey
from django_workos_vault.fields.cell import stored_cell
from django_workos_vault.fields.field import EncryptedField
from django_workos_vault.maintenance.cells import REMEMBERED, CannotOpen, CellReader, faults_of_row, parsed


class Renewal(Protocol):
    """Makes the replacement of one stored cell. Both methods raise CannotOpen, or VaultError in an outage."""

    def examine(self, field: EncryptedField, instance: Model) -> None:
        """Do what :meth:`replacement` does to the old cell, and nothing else."""

    def replacement(self, field: EncryptedField, instance: Model) -> bytes:
        """Return the new cell."""


class Resealing:
    """Seals each value again, under a data key made in this run: one for each vault and key context."""

    def __init__(self) -> None:
        self._reader = CellReader()
        self._made: dict[tuple[str, str], CannotOpen | None] = {}

    @property
    def keys_made(self) -> int:
        """The number of data keys made so far."""
        return sum(refusal is None for refusal in self._made.values())

    def examine(self, field: EncryptedField, instance: Model) -> None:
        value = self._reader.open(field, instance)
        _context(field, instance)
        with faults_of_row():
            field.digests.front(value, instance)

    def replacement(self, field: EncryptedField, instance: Model) -> bytes:
        value = self._reader.open(field, instance)
        self._make_key(field, _context(field, instance))
        with faults_of_row():
            return field.seal_value(value, instance)

    def _make_key(self, field: EncryptedField, context: KeyContext) -> None:
        name = (field.vault.alias, context.digest)
        if name not in self._made:
            try:
                field.vault.keyring.retire(context)
                self._made[name] = None
            except (WrongKey, *REFUSALS) as exc:
                self._made[name] = CannotOpen(type(exc).__name__, str(exc))
        refusal = self._made[name]
        if refusal is not None:
            raise refusal


class Rekeying:
    """Wraps each cell's data key again, under the key context its field gives now. Data stay as they are.

    One request for each wrapped key and context. Cells of one data key get the same new wrapping, and a
    wrapped key that is refused is the fault of the cells that carry it.
    """

    def __init__(self) -> None:
        self._wrapped: dict[tuple[bytes, bytes, str], bytes | CannotOpen] = {}
        self._first: dict[tuple[bytes, str], bytes] = {}

    @property
    def keys_made(self) -> int:
        """The number of wrapped data keys made so far."""
        return len(self._first)

    def examine(self, field: EncryptedField, instance: Model) -> None:
        if not parsed(field, instance).key_reference:
            raise CannotOpen(
                "KeyInRegistry",
                "Its wrapped data key is kept in the registry, not in the cell: re-encrypt it.",
            )
        _context(field, instance)

    def replacement(self, field: EncryptedField, instance: Model) -> bytes:
        self.examine(field, instance)
        cell = parsed(field, instance)
        context = _context(field, instance)
        name = (cell.commitment, cell.key_reference, context.digest)
        if name not in self._wrapped:
            wrapped = _rewrapped(field, cell, context)
            if len(self._wrapped) >= REMEMBERED:
                self._wrapped.clear()
            if isinstance(wrapped, bytes):
                wrapped = self._first.setdefault((cell.commitment, context.digest), wrapped)
            self._wrapped[name] = wrapped
        wrapped = self._wrapped[name]
        if isinstance(wrapped, CannotOpen):
            raise wrapped
        return envelope.with_key_reference(stored_cell(instance, field.attname), wrapped)


def _rewrapped(field: EncryptedField, cell: envelope.Envelope, context: KeyContext) -> bytes | CannotOpen:
    try:
        field.vault.declared.check(context)
        key = LoadedKey.answered(field.vault.backend.rekey_data_key(cell.key_reference, context.items))
    except REFUSALS as exc:
        return CannotOpen(type(exc).__name__, str(exc))
    if not hmac.compare_digest(key.commitment, cell.commitment):
        return CannotOpen("WrongKey", "The wrapped data key of this cell is not the one that sealed it.")
    return key.wrapped


def _context(field: EncryptedField, instance: Model) -> KeyContext:
    try:
        return field.context_for(instance)
    except InvalidVaultConfiguration as exc:
        raise CannotOpen(type(exc).__name__, str(exc)) from None
