"""Move a plaintext column into an encrypted one, or back, while others go on writing the rows."""

from collections.abc import Iterator
from typing import Any

from django.db import transaction
from django.db.models import Field, Model, Q, QuerySet

from django_workos_vault.exceptions import EnvelopeError
from django_workos_vault.fields.field import EncryptedField
from django_workos_vault.maintenance import cells
from django_workos_vault.maintenance.reencryption.swap import still_holds

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
        self._copy(to=self._encrypted)

    def decrypt(self) -> None:
        """Write every encrypted value back to the plaintext column, for a migration in reverse."""
        self._copy(to=self._plain)

    def verify(self) -> None:
        """Open every cell and compare. Raises ColumnsDiffer that names rows by primary key, never a value."""
        different = [row.pk for batch in self._batches() for row in batch if self._differs(row)]
        if different:
            raise ColumnsDiffer(
                f"{len(different)} rows of {self._encrypted.model._meta.label} hold different values in "
                f"{self._plain.name} and {self._encrypted.name}, among them primary keys "
                f"{', '.join(map(str, different[:10]))}. Find the code that writes one column alone, then "
                "run the copy again."
            )

    def _copy(self, to: Any) -> None:
        left: list[Any] | None = None
        for _ in range(PASSES):
            left = [pk for batch in self._batches(left) for pk in self._write(batch, to)]
            if not left:
                return
        raise ColumnsDiffer(f"{len(left or ())} rows of {to.model._meta.label} kept changing. Run it again.")

    def _batches(self, pks: list[Any] | None = None) -> Iterator[list[Model]]:
        rows = cells.rows([self._encrypted], self._using)
        if pks is not None:
            rows = rows.filter(pk__in=pks)
        return cells.batches(rows, self._batch_size)

    def _write(self, batch: list[Model], to: Any) -> list[Any]:
        """Write the rows of ``batch`` that differ; return the keys of those changed since they were read."""
        with transaction.atomic(using=self._using):
            return [row.pk for row in batch if self._differs(row) and not self._swap(row, to)]

    def _differs(self, row: Model) -> bool:
        try:
            return bool(getattr(row, self._plain.attname) != getattr(row, self._encrypted.attname))
        except EnvelopeError as exc:
            raise ColumnsDiffer(
                f"{self._encrypted.name} of {row._meta.label} {row.pk} cannot be opened: {exc}"
            ) from exc

    def _swap(self, row: Model, to: Any) -> bool:
        unchanged = Q(pk=row.pk)
        unchanged &= self._still(row, self._plain.attname, getattr(row, self._plain.attname))
        stored = row.__dict__[self._encrypted.attname]
        same_cell: Any = Q(**{f"{self._encrypted.attname}__isnull": True})
        if stored is not None:
            same_cell = still_holds(self._encrypted, stored.cell)
        rows: QuerySet[Model] = QuerySet(type(row), using=self._using)
        value = getattr(row, (self._plain if to is self._encrypted else self._encrypted).attname)
        setattr(row, to.attname, value)
        return bool(rows.filter(unchanged, same_cell).update(**{to.attname: to.pre_save(row, add=False)}))

    def _still(self, row: Model, name: str, value: Any) -> Q:
        return Q(**{f"{name}__isnull": True}) if value is None else Q(**{name: value})
