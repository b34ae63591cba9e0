"""A batch of rows of which one encrypted file each is sealed again, or gets another header."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from django.db.models import Model, QuerySet

from django_workos_vault.files.fields import EncryptedFileField
from django_workos_vault.maintenance.cells import CannotOpen
from django_workos_vault.maintenance.engine.columns import Batch, ColumnCounts, Columns
from django_workos_vault.maintenance.files.columns import rows_with_files
from django_workos_vault.maintenance.files.renewal import FileRenewal, MadeFile
from django_workos_vault.maintenance.operations import Rekeying, Resealing

#: A row is a batch: a file takes as long as thousands of cells.
OPTIONS = {"batch_size": 1, "chunk_size": 100}


class StoredFiles(Columns):
    """Copies are made before a row refers to them in a transaction; what they replace is deleted after it."""

    fields: list[Any]
    takes_bare_rows = False

    def __init__(
        self,
        columns: Sequence[EncryptedFileField],
        operation: Resealing | Rekeying,
        using: str,
        *,
        verify: bool = False,
        where: str | None = None,
    ) -> None:
        fields: Any = columns
        super().__init__(fields, operation, using, verify=verify, where=where)
        self._renewal = FileRenewal(columns[0], operation, using)
        self._made: list[MadeFile] = []
        self._replaced: list[str] = []

    def rows(self) -> "QuerySet[Model]":
        rows = rows_with_files(self.fields[0], self._using)
        return rows if self._where is None else self._where.of(rows)

    def keys_of(self, column: Any, row: Model) -> tuple[bytes, bytes]:
        header = self._renewal.header_of(row)
        return header.commitment, header.key_reference

    def prepare_cell(self, batch: Batch, column: Any, instance: Model, dry_run: bool) -> None:
        counts = batch.counts[column.name]
        try:
            if dry_run:
                counts.renewed += self._renewal.examine(instance)
                return
            made = self._renewal.made(instance)
        except CannotOpen as exc:
            batch.leave(column, instance, exc)
            return
        if made is None:
            counts.renewed += 1
        else:
            self._made.append(made)

    def store(self, batch: Batch) -> list[ColumnCounts]:
        [counts] = outcome = [replace(each) for each in batch.counts.values()]
        self._replaced = [made.name for made in self._made if self._renewal.take_over(made)]
        counts.renewed += len(self._replaced)
        counts.changed_meanwhile += len(self._made) - len(self._replaced)
        return outcome

    @contextmanager
    def settled(self) -> Iterator[None]:
        """Delete afterwards files that were replaced, and copies that no row has."""
        try:
            yield
        except BaseException:
            self._replaced = []  # what became of the transaction is not known
            raise
        finally:
            self._renewal.delete_unused(*self._replaced, *(made.copy for made in self._made))
            self._made, self._replaced = [], []
