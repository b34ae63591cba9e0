"""Wrap each cell's data key again, under the key context its field gives now. Data stay as they are."""

import hmac
from collections.abc import Sequence

from django.db.models import Model

from django_workos_vault import envelope
from django_workos_vault.context import KeyContext
from django_workos_vault.datakey import LoadedKey
from django_workos_vault.exceptions import VaultError, WrongKey
from django_workos_vault.fields.cell import stored_cell
from django_workos_vault.fields.field import EncryptedField
from django_workos_vault.maintenance.bare_rows import BareRow, key_contexts
from django_workos_vault.maintenance.cells import REMEMBERED, CannotOpen, concerns_all, parsed
from django_workos_vault.maintenance.operations.base import NotAsWritten, context_of
from django_workos_vault.streams.header import FileHeader
from django_workos_vault.vault import Vault

_NO_START = b"", b""


class Rekeying:
    """One request for each wrapped key and context. Cells of one data key get the same new wrapping, and a
    wrapped key that is refused is the fault of the cells that carry it.
    """

    def __init__(self) -> None:
        self.keys_made = 0
        self._wrapped: dict[tuple[bytes, bytes, str], bytes | CannotOpen] = {}
        self._first: dict[tuple[bytes, str], bytes] = {}
        #: how cells of a key and context begin, up to their nonce: as stored, and wrapped again
        self._starts: dict[tuple[bytes, str], tuple[bytes, bytes]] = {}

    def prepare(self, fields: Sequence[EncryptedField], rows: Sequence[Model]) -> None:
        pass

    def examine(self, field: EncryptedField, instance: Model) -> bool:
        if not parsed(field, instance).key_reference:
            raise CannotOpen(
                "KeyInRegistry",
                "Its wrapped data key is kept in the registry, not in the cell: re-encrypt it.",
            )
        context_of(field, instance)
        return True

    def at_once(
        self, field: EncryptedField, rows: Sequence[BareRow], cells: Sequence[bytes]
    ) -> list[bytes | None]:
        rekeyed: list[bytes | None] = []
        find, after = self._starts.get, envelope.AFTER_COMMITMENT
        for stored, context in zip(cells, key_contexts(field, rows), strict=True):
            old, new = find((stored[:after], context.digest), _NO_START) if context else _NO_START
            rekeyed.append(new + stored[len(old) :] if old and stored.startswith(old) else None)
        return rekeyed

    def replacement(self, field: EncryptedField, instance: Model) -> bytes | None:
        context = context_of(field, instance)
        stored = stored_cell(instance, field.attname)
        begins = stored[: envelope.AFTER_COMMITMENT], context.digest
        old, new = self._starts.get(begins, _NO_START)
        if old and stored.startswith(old):
            return new + stored[len(old) :]
        self.examine(field, instance)
        cell = parsed(field, instance)
        rekeyed = envelope.with_key_reference(stored, self.wrapping(field.vault, cell, context))
        if not (cell.digests or cell.binding):  # all cells of this key begin so
            if len(self._starts) >= REMEMBERED:
                self._starts.clear()
            self._starts[begins] = stored[: cell.body_at], rekeyed[: cell.body_at - len(stored)]
        return rekeyed

    def wrapping(self, vault: Vault, sealed: envelope.Envelope | FileHeader, context: KeyContext) -> bytes:
        """Return the data key of a cell or a file, wrapped again under ``context``. Raises CannotOpen."""
        name = (sealed.commitment, sealed.key_reference, context.digest)
        if name not in self._wrapped:
            wrapped = _rewrapped(vault, sealed, context)
            if len(self._wrapped) >= REMEMBERED:
                self._wrapped.clear()
            if isinstance(wrapped, bytes):
                wrapped = self._only(wrapped, sealed.commitment, context)
            self._wrapped[name] = wrapped
        wrapped = self._wrapped[name]
        if isinstance(wrapped, CannotOpen):
            raise wrapped
        return wrapped

    def _only(self, wrapped: bytes, commitment: bytes, context: KeyContext) -> bytes:
        """Return the wrapping that all cells of a data key get, which is the first one."""
        first = self._first.get((commitment, context.digest))
        if first is None:
            if len(self._first) >= REMEMBERED:
                self._first.clear()
            self._first[commitment, context.digest] = first = wrapped
            self.keys_made += 1
        return first

    def check(self, field: EncryptedField, old: Model, new: Model, thoroughly: bool) -> None:
        # That Vault's answer holds the key the cell commits to was seen when it came. Ciphertext is not
        # opened: a cell that was changed before the run is not this operation's to find.
        if not thoroughly:
            return
        try:
            field.vault.keyring.opening_key(parsed(field, new))
        except (WrongKey, VaultError) as exc:
            if concerns_all(exc):
                raise
            raise NotAsWritten(
                f"The new wrapped key of {field} of row {new.pk} does not unwrap ({type(exc).__name__}). "
                "The batch was taken back."
            ) from None


def _rewrapped(vault: Vault, cell: envelope.Envelope | FileHeader, context: KeyContext) -> bytes | CannotOpen:
    try:
        vault.declared.check(context)
        key = LoadedKey.answered(vault.backend.rekey_data_key(cell.key_reference, context.items))
    except VaultError as exc:
        if concerns_all(exc):
            raise
        return CannotOpen(type(exc).__name__, str(exc))
    if not hmac.compare_digest(key.commitment, cell.commitment):
        return CannotOpen("WrongKey", "The wrapped data key of this cell is not the one that sealed it.")
    return key.wrapped
