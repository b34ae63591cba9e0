"""One pass over a model's rows, batch by batch, that replaces cells nobody else has changed meanwhile."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db.models import Model

from django_workos_vault.fields.cell import stored_cell
from django_workos_vault.fields.field import EncryptedField
from django_workos_vault.maintenance import cells
from django_workos_vault.maintenance.cells import BadCell, CannotOpen
from django_workos_vault.maintenance.reencryption.renewals import Renewal
from django_workos_vault.maintenance.reencryption.swap import Swap, swap_all


@dataclass(slots=True)
class ColumnCounts:
    """What became of one column's cells. ``renewed`` counts what a dry run would renew."""

    column: str
    renewed: int = 0
    null: int = 0
    changed_meanwhile: int = 0
    left: int = 0


class Run:
    """Replaces the cells of ``fields``, encrypted fields of one model, in the database ``using``.

    ``renewal`` makes the replacements; ``start_after`` is the primary key behind which to begin; a dry run
    examines every cell and writes nothing. A batch is stored whole or, when it is interrupted, not at all,
    so a run can be stopped at any moment and taken up again behind ``last_pk``.
    """

    def __init__(
        self,
        fields: list[EncryptedField],
        renewal: Renewal,
        *,
        using: str,
        batch_size: int = 500,
        start_after: Any = None,
        dry_run: bool = False,
    ) -> None:
        self._fields = fields
        self._renewal = renewal
        self._using = using
        self._batch_size = batch_size
        self._start_after = start_after
        self._dry_run = dry_run
        self._counts = {field.name: ColumnCounts(cells.column_name(field)) for field in fields}
        self.left: list[BadCell] = []
        #: primary key of the last row that is done
        self.last_pk = start_after

    @property
    def columns(self) -> list[ColumnCounts]:
        """What became of the cells so far, column by column."""
        return list(self._counts.values())

    def total(self) -> int:
        """Return the number of rows to go through."""
        rows = cells.rows(self._fields, self._using)
        return (rows if self._start_after is None else rows.filter(pk__gt=self._start_after)).count()

    def batches(self) -> Iterator[int]:
        """Do the work, yielding the number of rows after each batch.

        Raises VaultError when Vault cannot be reached, limits the rate or refuses the API key.
        """
        rows = cells.rows(self._fields, self._using)
        for batch in cells.batches(rows, self._batch_size, self._start_after):
            swaps = [
                swap for instance in batch for field in self._fields for swap in self._swap(field, instance)
            ]
            for swap, done in zip(swaps, swap_all(swaps, self._using), strict=True):
                counts = self._counts[swap.field.name]
                counts.renewed += done
                counts.changed_meanwhile += not done
            self.last_pk = batch[-1].pk
            yield len(batch)

    def _swap(self, field: EncryptedField, instance: Model) -> Iterator[Swap]:
        counts = self._counts[field.name]
        if cells.is_null(field, instance):
            counts.null += 1
            return
        try:
            if self._dry_run:
                self._renewal.examine(field, instance)
                counts.renewed += 1
            else:
                old = stored_cell(instance, field.attname)
                yield Swap(field, instance, old, self._renewal.replacement(field, instance))
        except CannotOpen as exc:
            counts.left += 1
            self.left.append(exc.of(field, instance))
