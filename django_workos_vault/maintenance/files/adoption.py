"""Seal the files of a column that are there in clear: verified first, and the originals left alone.

Each row gets a sealed copy of its file under another name, which is read back and compared before the row
refers to it. A journal notes which original each copy was made of: the originals can be deleted later.
"""

import json
import os
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from django.core.files.storage import Storage
from django.db.models import Model

from django_workos_vault.exceptions import REFUSALS, EnvelopeError, InvalidVaultConfiguration
from django_workos_vault.files.content import SealedContent
from django_workos_vault.files.fields import EncryptedFieldFile, EncryptedFileField
from django_workos_vault.files.sources import source_of
from django_workos_vault.maintenance.cells import BadCell, batches
from django_workos_vault.maintenance.files.beginnings import Beginning
from django_workos_vault.maintenance.files.columns import (
    STORAGE_FAULTS,
    Referrers,
    another_name,
    is_sealed,
    rows_with_files,
    same_bytes,
    stored_chunks,
)
from django_workos_vault.maintenance.files.many import Beginnings
from django_workos_vault.maintenance.patience import patiently
from django_workos_vault.streams.sources import Source

#: What concerns one file; an outage concerns all of them.
FAULTS = (EnvelopeError, InvalidVaultConfiguration, *STORAGE_FAULTS, *REFUSALS)

_ROWS_AT_A_TIME = 500


@dataclass(slots=True)
class Counts:
    """What became of the files. ``sealed`` counts what a dry run would seal; ``kept`` are originals left."""

    sealed: int = 0
    sealed_before: int = 0
    changed_meanwhile: int = 0
    deleted: int = 0
    kept: int = 0


class Journal:
    """A file with a line for each sealed copy: the row, the original's name, the copy's. No content."""

    def __init__(self, path: Path, field: EncryptedFileField) -> None:
        self.path = path
        self._field = str(field)

    def note(self, pk: Any, original: str, copy: str) -> None:
        """Add a line, and have it on the disk before this returns."""
        entry = {"field": self._field, "pk": str(pk), "original": original, "copy": copy}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def entries(self) -> Iterator[tuple[str, str, str]]:
        """Yield key, original and copy of this field's lines. Raises ValueError for what is no journal."""
        for line in self.path.read_text(encoding="utf-8").splitlines():
            entry = json.loads(line)
            if entry["field"] == self._field:
                yield entry["pk"], entry["original"], entry["copy"]


class FileAdoption:
    """Seals the files of ``field`` that are in clear, in the database ``using``."""

    def __init__(
        self, field: EncryptedFileField, using: str, journal: Journal, *, dry_run: bool = False
    ) -> None:
        self._field = field
        self._using = using
        self._journal = journal
        self._referrers = Referrers()
        self._beginnings = Beginnings(field.storage)
        self._dry_run = dry_run
        self.counts = Counts()
        self.left: list[BadCell] = []

    def total(self) -> int:
        """Return the number of rows with a file."""
        return rows_with_files(self._field, self._using).count()

    def run(self) -> Iterator[None]:
        """Go through the rows, and yield after each. A file that is sealed already is passed over.

        Raises VaultError in an outage; what concerns one file alone is noted in :attr:`left`.
        """
        for batch in batches(rows_with_files(self._field, self._using), _ROWS_AT_A_TIME):
            files = [getattr(instance, self._field.attname) for instance in batch]
            outcomes = self._beginnings.of(str(file.name) for file in files)
            for instance, file, outcome in zip(batch, files, outcomes, strict=True):
                if isinstance(outcome, Exception):
                    self._leave(instance.pk, outcome)
                else:
                    try:
                        patiently(partial(self._adopt, instance, file, outcome))
                    except FAULTS as exc:
                        self._leave(instance.pk, exc)
                yield

    def delete_originals(self) -> Iterator[None]:
        """Delete the originals in the journal whose copies are in use and still hold the same bytes."""
        for pk, original, copy in self._journal.entries():
            try:
                self._delete(pk, original, copy)
            except FAULTS as exc:
                self._leave(pk, exc)
            yield

    @property
    def _storage(self) -> Storage:
        storage: Storage = self._field.storage
        return storage

    def _adopt(self, instance: Model, file: EncryptedFieldFile, stored: Beginning) -> None:
        if is_sealed(stored):
            sealing = file.storage.sealing
            sealing.cipher().open(stored, binding=sealing.binding()).close()
            self.counts.sealed_before += 1
        elif self._dry_run:
            self.counts.sealed += 1
        else:
            name = str(file.name)
            source = source_of(self._storage, name)
            try:
                self._seal(instance, file, name, source)
            finally:
                source.close()

    def _seal(self, instance: Model, file: EncryptedFieldFile, name: str, source: Source) -> None:
        if is_sealed(source):
            raise EnvelopeError("The file was replaced meanwhile.")
        copy = file.storage.save(
            another_name(self._storage, name),
            SealedContent(stored_chunks(source), name),
            max_length=self._field.max_length,
            original_name=posixpath.basename(name),
        )
        done = False
        try:
            with file.storage.opened(copy) as sealed:
                if not same_bytes(source, sealed):
                    raise EnvelopeError("The sealed copy does not hold what the file holds.")
            self._journal.note(instance.pk, name, copy)
            rows = rows_with_files(self._field, self._using)
            unchanged = rows.filter(pk=instance.pk, **{self._field.attname: name})
            done = bool(unchanged.update(**{self._field.attname: copy}))
        finally:
            if not done:
                self._storage.delete(copy)
        self.counts.sealed += done
        self.counts.changed_meanwhile += not done

    def _delete(self, pk: str, original: str, copy: str) -> None:
        row = rows_with_files(self._field, self._using).filter(pk=pk, **{self._field.attname: copy}).first()
        if not self._storage.exists(original):
            return
        if row is None or self._referrers.have(original):
            self.counts.kept += 1
            return
        file = getattr(row, self._field.attname)
        source = source_of(self._storage, original)
        try:
            with file.storage.opened(copy) as sealed:
                same = not is_sealed(source) and same_bytes(source, sealed)
        finally:
            source.close()
        if same and not self._dry_run:
            self._storage.delete(original)
        self.counts.deleted += same
        self.counts.kept += not same

    def _leave(self, pk: Any, exc: Exception) -> None:
        column = str(self._field)
        self.left.append(BadCell(column, pk, type(exc).__name__, str(exc)))
