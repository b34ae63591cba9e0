"""One pass over a model's rows without a run on record: to try an operation out, or to do it at once."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from django_workos_vault.fields.field import EncryptedField
from django_workos_vault.maintenance.cells import BadCell
from django_workos_vault.maintenance.engine.columns import ColumnCounts
from django_workos_vault.maintenance.engine.copied import columns_for
from django_workos_vault.maintenance.engine.failing_keys import FailingKeys
from django_workos_vault.maintenance.engine.keys import between
from django_workos_vault.maintenance.engine.transactions import in_transaction
from django_workos_vault.maintenance.operations import Operation
from django_workos_vault.maintenance.patience import patiently


class Pass:
    """Goes through ``fields``, encrypted fields of one model, in the database ``using``.

    ``start_after`` is the primary key behind which to begin; a dry run examines every cell and writes
    nothing. What is found stands in ``counts`` and ``left``.
    """

    def __init__(
        self,
        fields: Sequence[EncryptedField],
        operation: Operation,
        *,
        using: str,
        batch_size: int = 500,
        start_after: Any = None,
        dry_run: bool = False,
        where: str | None = None,
    ) -> None:
        self._columns = columns_for(fields, operation, using, where=where)
        self._failing_keys = FailingKeys(fields)
        self._using = using
        self._batch_size = batch_size
        self._dry_run = dry_run
        self.counts = {field.name: ColumnCounts(str(field)) for field in fields}
        self.left: list[BadCell] = []
        #: primary key of the last row that is done
        self.last_pk = start_after

    def total(self) -> int:
        """Return the number of rows to go through."""
        return between(self._columns.rows(), self.last_pk).count()

    def batches(self) -> Iterator[int]:
        """Do the work, yielding the number of rows after each batch. Raises VaultError in an outage."""
        while rows := self._columns.read(between(self._columns.rows(), self.last_pk)[: self._batch_size]):
            if self.last_pk is not None and rows[-1].pk == self.last_pk:
                return  # as in cells.batches
            prepared = partial(self._failing_keys.prepared, self._columns, rows, dry_run=self._dry_run)
            batch = patiently(prepared)
            counts = list(batch.counts.values())
            if not self._dry_run:
                with self._columns.settled():
                    counts = in_transaction(self._using, partial(self._columns.store, batch))
            for each, name in zip(counts, self.counts, strict=True):
                self.counts[name].add(each.numbers())
            self.left += batch.all_left
            self.last_pk = batch.rows[-1].pk
            yield len(batch.rows)
