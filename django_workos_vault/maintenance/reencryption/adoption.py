"""Move a plaintext column into an encrypted one, or back, while others go on writing the rows."""

from collections.abc import Iterator
from functools import partial
from typing import Any

from django.db.models import Field, Model

from django_workos_vault.exceptions import EnvelopeError
from django_workos_vault.fields.field import EncryptedField
from django_workos_vault.maintenance import cells
from django_workos_vault.maintenance.engine.copied import CopiedColumns
from django_workos_vault.maintenance.engine.transactions import in_transaction
from django_workos_vault.maintenance.operations import Copying
from django_workos_vault.maintenance.patience import patiently

PASSES = 5


class ColumnsDiffer(Exception):
    """Rows whose plaintext and encrypted columns do not agree, or keep changing. Nothing was overwritten."""


class Adoption:
    """A plaintext column and the encrypted column of the same model that takes over from it.

    ``plain`` and ``encrypted`` are fields of one model, current or historical; ``using`` is the database
    alias. A row counts as done when both columns hold the same value, so every run can be interrupted and
    begun again.
    """

    def __init__(
        self, plain: "Field[Any, Any]", encrypted: EncryptedField, using: str, batch_size: int
    ) -> None:
        self._plain = plain
        self._encrypted = encrypted
        self._using = using
        self._batch_size = batch_size

    def encrypt(self) -> None:
        """Seal every plaintext value that the encrypted column does not hold yet.

        A row is written only if neither column changed since it was read; a row that did is read again.
        Raises ColumnsDiffer when rows keep changing, EnvelopeError or VaultError when a cell cannot be
        opened or sealed.
        """
        self._copy(back=False)

    def decrypt(self) -> None:
        """Write encrypted values back where the plaintext column is NULL, for a migration in reverse.

        Where both hold a value, which one is newer cannot be told: :meth:`verify` names those that differ.
        """
        self._copy(back=True)

    def verify(self) -> None:
        """Open every cell and compare. Raises ColumnsDiffer that names rows by primary key, never a value."""
        different = [row.pk for batch in self._batches() for row in batch if self._differs(row)]
        if different:
            raise ColumnsDiffer(
                f"{len(different)} rows of {self._encrypted.model._meta.label} hold different values in "
                f"{self._plain.name} and {self._encrypted.name}, among them primary keys "
                f"{', '.join(map(str, different[:10]))}. Find the code that writes one column alone, then "
                "save those rows, or copy again with another EncryptColumn."
            )

    def _copy(self, *, back: bool) -> None:
        operation = Copying(self._plain.name, back=back, overwrites=not back)
        columns = CopiedColumns([self._encrypted], operation, self._using)
        missed: list[Any] | None = None
        for _ in range(PASSES):
            missed = [pk for batch in self._batches(missed) for pk in self._write(columns, batch)]
            if not missed:
                return
        raise ColumnsDiffer(
            f"{len(missed or ())} rows of {self._encrypted.model._meta.label} kept changing. Run it again."
        )

    def _write(self, columns: CopiedColumns, rows: list[Model]) -> list[Any]:
        """Write the rows that differ; return the keys of those changed since they were read."""
        batch = patiently(partial(columns.prepared, rows))
        for cell in batch.left:
            if cell.reason != "ValuesDiffer":
                raise self._cannot_be_opened(cell.pk, cell.message)
        in_transaction(self._using, partial(columns.store, batch))
        return columns.missed

    def _batches(self, pks: list[Any] | None = None) -> Iterator[list[Model]]:
        rows = cells.rows([self._encrypted], self._using)
        return cells.batches(rows if pks is None else rows.filter(pk__in=pks), self._batch_size)

    def _differs(self, row: Model) -> bool:
        try:
            value = patiently(partial(getattr, row, self._encrypted.attname))
            return bool(getattr(row, self._plain.attname) != value)
        except EnvelopeError as exc:
            raise self._cannot_be_opened(row.pk, str(exc)) from exc

    def _cannot_be_opened(self, pk: Any, message: str) -> ColumnsDiffer:
        return ColumnsDiffer(
            f"{self._encrypted.name} of {self._encrypted.model._meta.label} {pk} cannot be opened: {message}"
        )
