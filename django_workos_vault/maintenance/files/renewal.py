"""What takes the place of a stored file: one sealed again, or the same frames behind another header."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from typing import Any

from django.core.files.storage import FileSystemStorage
from django.db import DatabaseError
from django.db.models import Model

from django_workos_vault.exceptions import EnvelopeError
from django_workos_vault.files.content import SealedContent
from django_workos_vault.files.fields import EncryptedFieldFile, EncryptedFileField
from django_workos_vault.files.sources import source_of
from django_workos_vault.maintenance.cells import CannotOpen, faults_of_row
from django_workos_vault.maintenance.disk import free_for_file
from django_workos_vault.maintenance.files.columns import (
    STORAGE_FAULTS,
    Referrers,
    another_name,
    rows_with_files,
    stored_chunks,
)
from django_workos_vault.maintenance.operations import Rekeying, Resealing
from django_workos_vault.streams.cipher import read_header
from django_workos_vault.streams.header import FileHeader

#: What disks write whole or not at all. A header is changed in place within one of these alone.
_SECTOR = 512
#: Bytes that stay free beside a copy.
HEADROOM = 1_000_000


@dataclass(frozen=True, slots=True)
class MadeFile:
    """``copy`` holds what the file ``name`` of row ``pk`` holds, and is to take its place."""

    pk: Any
    name: str
    copy: str


class FileRenewal:
    """Makes copies of the files of ``field`` in the database ``using``, and deletes what nobody needs.

    ``operation`` seals them again, or wraps their data keys again: in place where the storage is a folder and
    the header fits.
    """

    def __init__(self, field: EncryptedFileField, operation: Resealing | Rekeying, using: str) -> None:
        self._field = field
        self._operation = operation
        self._using = using
        self._referrers = Referrers()

    def examine(self, row: Model) -> bool:
        """Return whether the file would be replaced. Raises CannotOpen where it is not whole."""
        with faults_of_file():
            file = self._file_of(row)
            file.storage.sealing.context()
            with file.storage.opened(str(file.name)) as sealed:
                return bool(sealed.size >= 0)

    def made(self, row: Model) -> MadeFile | None:
        """Return the file that is to take the place of the row's; None where it was written over.

        Raises CannotOpen, and VaultError in an outage.
        """
        self.examine(row)
        file = self._file_of(row)
        name = str(file.name)
        with faults_of_file():
            copy = (
                self._rewrapped(file, name) if isinstance(self._operation, Rekeying) else self._sealed(file)
            )
            if copy is None:
                return None
            try:
                _check_same(file, name, copy)
            except BaseException:
                self._field.storage.delete(copy)
                raise
        return MadeFile(row.pk, name, copy)

    def take_over(self, made: MadeFile) -> bool:
        """Have the row refer to the copy, if it still has the file that was read. Part of a transaction."""
        rows = rows_with_files(self._field, self._using)
        unchanged = rows.filter(pk=made.pk, **{self._field.attname: made.name})
        return bool(unchanged.update(**{self._field.attname: made.copy}))

    def delete_unused(self, *names: str) -> None:
        """Delete files that no row has. Where that cannot be told, they stay."""
        for name in names:
            with suppress(DatabaseError, OSError):
                if not self._referrers.have(name):
                    self._field.storage.delete(name)

    def is_written_over(self, header: FileHeader) -> bool:
        """Whether another wrapping as long as this one would be written over it."""
        end = len(header.packed())
        begin = end - len(header.key_reference)
        return isinstance(self._field.storage, FileSystemStorage) and begin // _SECTOR == (end - 1) // _SECTOR

    def header_of(self, row: Model) -> FileHeader:
        """Return the header of the row's file. Raises CannotOpen."""
        with faults_of_file():
            source = source_of(self._field.storage, str(self._file_of(row).name))
            try:
                return read_header(source)
            finally:
                source.close()

    def _file_of(self, row: Model) -> EncryptedFieldFile:
        file: EncryptedFieldFile = getattr(row, self._field.attname)
        return file

    def _sealed(self, file: EncryptedFieldFile) -> str:
        assert isinstance(self._operation, Resealing)  # noqa: S101
        self._operation.make_key(self._field.vault, file.storage.sealing.context())
        name = str(file.name)
        self.check_space(name)
        with file.storage.opened(name) as sealed:
            return file.storage.save(
                another_name(self._field.storage, name),
                sealed,
                max_length=self._field.max_length,
                original_name=sealed.original_name,
            )

    def _rewrapped(self, file: EncryptedFieldFile, name: str) -> str | None:
        assert isinstance(self._operation, Rekeying)  # noqa: S101
        source = source_of(self._field.storage, name)
        try:
            header = read_header(source)
            refuse_reference(header)
            context = file.storage.sealing.context()
            new = header.rewrapped(self._operation.wrapping(self._field.vault, header, context))
            if self._written_over(name, source.read_at(0, header.length), new):
                return None
            self.check_space(name)
            return self._field.storage.save(
                another_name(self._field.storage, name),
                SealedContent(chain([new], stored_chunks(source, header.length)), name),
                max_length=self._field.max_length,
            )
        finally:
            source.close()

    def check_space(self, name: str) -> None:
        """Raise CannotOpen where the disk has no room for another file beside ``name``."""
        free = free_for_file(self._field.storage, name)
        if free is not None and free < self._field.storage.size(name) + HEADROOM:
            raise CannotOpen("NoSpace", "Its disk has no room for the new file. Make some, and run it again.")

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


def _check_same(file: EncryptedFieldFile, name: str, copy: str) -> None:
    """Raise EnvelopeError where the copy does not hold the same plaintext."""
    with file.storage.opened(name) as old, file.storage.opened(copy) as new:
        if old.size != new.size or any(piece != new.read(len(piece)) for piece in old.chunks()):
            raise EnvelopeError("The new file does not hold what the old one holds.")


def refuse_reference(header: FileHeader) -> None:
    """Raise EnvelopeError where there is no wrapped key to wrap again."""
    if not header.key_reference:
        raise EnvelopeError("Its wrapped data key is kept in the registry: seal it again.")


@contextmanager
def faults_of_file() -> Iterator[None]:
    """Raise CannotOpen for what is wrong with one file, its row or its key."""
    try:
        with faults_of_row():
            yield
    except STORAGE_FAULTS as exc:
        raise CannotOpen(type(exc).__name__, str(exc)) from None
