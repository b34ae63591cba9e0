"""Seal the files of a column again under new data keys, or wrap the data keys of their headers again."""

import hmac
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

from django.core.files.storage import FileSystemStorage
from django.db.models import Model

from django_workos_vault.context import KeyContext
from django_workos_vault.datakey import LoadedKey
from django_workos_vault.exceptions import (
    REFUSALS,
    EnvelopeError,
    InvalidVaultConfiguration,
    VaultError,
    WrongKey,
)
from django_workos_vault.files.content import SealedContent
from django_workos_vault.files.fields import EncryptedFieldFile, EncryptedFileField
from django_workos_vault.files.sources import source_of
from django_workos_vault.handler import vaults
from django_workos_vault.maintenance.cells import REMEMBERED, BadCell, batches
from django_workos_vault.maintenance.files.columns import (
    Referrers,
    another_name,
    rows_with_files,
    stored_chunks,
)
from django_workos_vault.streams.cipher import read_header
from django_workos_vault.streams.header import FileHeader
from django_workos_vault.vault import Vault

_ROWS_AT_A_TIME = 500
#: What disks write whole or not at all. A header is changed in place within one of these alone.
_SECTOR = 512


@dataclass(slots=True)
class RenewalCounts:
    """What became of the files. ``renewed`` counts what a dry run would renew."""

    renewed: int = 0
    in_place: int = 0
    changed_meanwhile: int = 0
    left: int = 0


class FileRenewal:
    """Goes through the files of ``field`` in the database ``using``.

    Each is sealed again into a new file, compared, and referred to instead of the old one, which is then
    deleted. With ``rekey`` the frames stay as they are: the header is written over where the storage is a
    folder and it fits, else the stored bytes are copied behind the new header.
    """

    def __init__(
        self,
        field: EncryptedFileField,
        *,
        using: str,
        rekey: bool = False,
        dry_run: bool = False,
        start_after: Any = None,
    ) -> None:
        self._field = field
        self._using = using
        self._rekey = rekey
        self._dry_run = dry_run
        self._rows = rows_with_files(field, using)
        self._referrers = Referrers()
        self._keys: dict[Any, bytes | VaultError | EnvelopeError | None] = {}
        self.counts = RenewalCounts()
        self.left: list[BadCell] = []
        #: primary key of the last row that is done
        self.last_pk = start_after

    @property
    def keys_made(self) -> int:
        """The number of data keys made, or wrapped again, so far."""
        return sum(not isinstance(key, Exception) for key in self._keys.values())

    def total(self) -> int:
        """Return the number of rows to go through."""
        rows = self._rows if self.last_pk is None else self._rows.filter(pk__gt=self.last_pk)
        return rows.count()

    def batches(self) -> Iterator[int]:
        """Do the work, and yield 1 after each row. Raises VaultError in an outage."""
        for batch in batches(self._rows, _ROWS_AT_A_TIME, self.last_pk):
            for instance in batch:
                try:
                    self._renew(instance, getattr(instance, self._field.attname))
                except (EnvelopeError, InvalidVaultConfiguration, OSError, *REFUSALS) as exc:
                    column = f"{self._field.model._meta.label}.{self._field.name}"
                    self.left.append(BadCell(column, instance.pk, type(exc).__name__, str(exc)))
                    self.counts.left += 1
                self.last_pk = instance.pk
                yield 1

    def _renew(self, instance: Model, file: EncryptedFieldFile) -> None:
        name = str(file.name)
        context = file.storage.sealing.context()
        with file.storage.opened(name) as sealed:
            if sealed.size < 0:  # asked for, so that a file that is not whole stays as it is
                return
            if self._dry_run:
                self.counts.renewed += 1
            elif self._rekey:
                self._rewrap(instance, file, name, context)
            else:
                self._make_key(context)
                copy = file.storage.save(
                    another_name(self._field.storage, name),
                    sealed,
                    max_length=self._field.max_length,
                    original_name=sealed.original_name,
                )
                self._replace(instance, file, name, copy)

    def _replace(self, instance: Model, file: EncryptedFieldFile, name: str, copy: str) -> None:
        """Have the row refer to ``copy`` if it holds the same plaintext, and delete what it replaces."""
        storage, attname, done = self._field.storage, self._field.attname, False
        try:
            with file.storage.opened(name) as old, file.storage.opened(copy) as new:
                if old.size != new.size or any(piece != new.read(len(piece)) for piece in old.chunks()):
                    raise EnvelopeError("The new file does not hold what the old one holds.")
            unchanged = self._rows.filter(pk=instance.pk, **{attname: name})
            done = bool(unchanged.update(**{attname: copy}))
        finally:
            if not done:
                storage.delete(copy)
        self.counts.renewed += done
        self.counts.changed_meanwhile += not done
        if done and not self._referrers.have(name):
            storage.delete(name)

    def _rewrap(self, instance: Model, file: EncryptedFieldFile, name: str, context: KeyContext) -> None:
        source = source_of(self._field.storage, name)
        try:
            header = read_header(source)
            old = source.read_at(0, header.length)
            new = header.rewrapped(self._wrapped(header, context))
            if self._written_over(name, old, new):
                self.counts.renewed += 1
                self.counts.in_place += 1
                return
            copy = self._field.storage.save(
                another_name(self._field.storage, name),
                SealedContent(chain([new], stored_chunks(source, header.length)), name),
                max_length=self._field.max_length,
            )
        finally:
            source.close()
        self._replace(instance, file, name, copy)

    def _written_over(self, name: str, old: bytes, new: bytes) -> bool:
        """Write a header over the old one. False where that cannot be done safely."""
        storage = self._field.storage
        if not isinstance(storage, FileSystemStorage) or len(old) != len(new):
            return False
        changed = [at for at, pair in enumerate(zip(old, new, strict=True)) if pair[0] != pair[1]]
        if not changed:
            return True
        first, last = changed[0], changed[-1]
        if first // _SECTOR != last // _SECTOR:
            return False
        with open(storage.path(name), "r+b", buffering=0) as stored:
            if stored.read(len(old)) != old:
                raise EnvelopeError("The file was replaced meanwhile.")
            os.pwrite(stored.fileno(), new[first : last + 1], first)
            os.fsync(stored.fileno())
        return True

    def _make_key(self, context: KeyContext) -> None:
        if context.digest not in self._keys:
            try:
                self._vault.keyring.retire(context)
                self._keys[context.digest] = None
            except (WrongKey, *REFUSALS) as exc:
                self._keys[context.digest] = exc
        refusal = self._keys[context.digest]
        if isinstance(refusal, Exception):
            raise refusal

    def _wrapped(self, header: FileHeader, context: KeyContext) -> bytes:
        name = header.commitment, header.key_reference, context.digest
        if name not in self._keys:
            if len(self._keys) >= REMEMBERED:
                self._keys.clear()
            self._keys[name] = self._rewrapped(header, context)
        wrapped = self._keys[name]
        if not isinstance(wrapped, bytes):
            raise wrapped or EnvelopeError("There is no wrapped key.")
        return wrapped

    def _rewrapped(self, header: FileHeader, context: KeyContext) -> bytes | VaultError | EnvelopeError:
        if not header.key_reference:
            return EnvelopeError("Its wrapped data key is kept in the registry: seal it again.")
        try:
            self._vault.declared.check(context)
            key = LoadedKey.answered(self._vault.backend.rekey_data_key(header.key_reference, context.items))
        except REFUSALS as exc:
            return exc
        if not hmac.compare_digest(key.commitment, header.commitment):
            return WrongKey("The wrapped data key of this file is not the one that sealed it.")
        return key.wrapped

    @property
    def _vault(self) -> Vault:
        return vaults[self._field.vault_alias]
