"""One batch of rows of which a plaintext column is copied into an encrypted one, or back."""

from collections.abc import Sequence
from dataclasses import replace
from random import choice
from typing import Any

from django.db.models import Model, Q, QuerySet

from django_workos_vault.fields.cell import stored_cell
from django_workos_vault.fields.field import EncryptedField
from django_workos_vault.files.fields import EncryptedFileField
from django_workos_vault.maintenance.cells import CannotOpen, is_null
from django_workos_vault.maintenance.engine.columns import Batch, ColumnCounts, Columns
from django_workos_vault.maintenance.engine.stored_files import StoredFiles
from django_workos_vault.maintenance.operations import Copying, Operation, Rekeying, Resealing
from django_workos_vault.maintenance.reencryption.swap import Swap, still_holds, swap_all

_GONE = object()


class CopiedColumns(Columns):
    """Writes a row only if neither of its two columns changed since it was read."""

    operation: Copying
    takes_bare_rows = False  # a plaintext column is needed as well
    #: primary keys of the rows that had changed when the last batch was stored
    missed: list[Any]

    def store(self, batch: Batch) -> list[ColumnCounts]:
        outcome = {name: replace(counts) for name, counts in batch.counts.items()}
        done = self._written_back(batch.swaps) if self.operation.back else self._sealed(batch.swaps)
        for swap, written in zip(batch.swaps, done, strict=True):
            outcome[swap.field.name].renewed += written
        missed = [swap for swap, written in zip(batch.swaps, done, strict=True) if not written]
        self.missed = [swap.instance.pk for swap in missed]
        self._count_missed(batch, outcome, missed)
        opened = [swap for swap, written in zip(batch.swaps, done, strict=True) if written and swap.new]
        if opened and not self.operation.back:
            self._open_again(opened if self._verify else [choice(opened)])  # noqa: S311
        return list(outcome.values())

    def prepare_cell(self, batch: Batch, column: EncryptedField, instance: Model, dry_run: bool) -> None:
        counts, operation = batch.counts[column.name], self.operation
        try:
            if not operation.examine(column, instance):
                nothing = is_null(column, instance)
                counts.null += nothing
                counts.kept += not nothing
            elif dry_run:
                counts.renewed += 1
            else:
                old = None if is_null(column, instance) else stored_cell(instance, column.attname)
                new = old if operation.back else operation.replacement(column, instance)
                batch.swaps.append(Swap(column, instance, old, new))
        except CannotOpen as exc:
            batch.leave(column, instance, exc)

    def _sealed(self, swaps: Sequence[Swap]) -> list[bool]:
        done = swap_all(swaps, self._using)
        written = {swap.instance.pk: swap for swap, each in zip(swaps, done, strict=True) if each}
        stored = self._plain_values(list(written))
        stale = [
            swap for pk, swap in written.items() if stored[pk] != self.operation.plain_value(swap.instance)
        ]
        swap_all([Swap(swap.field, swap.instance, swap.new, swap.old) for swap in stale], self._using)
        lost = {swap.instance.pk for swap in stale}
        return [each and swap.instance.pk not in lost for swap, each in zip(swaps, done, strict=True)]

    def _written_back(self, swaps: Sequence[Swap]) -> list[bool]:
        # Compared here: a collation of the database's may take another value for the same.
        stored = self._plain_values([swap.instance.pk for swap in swaps])
        return [
            stored.get(swap.instance.pk, _GONE) == self.operation.plain_value(swap.instance)
            and self._write_back(swap)
            for swap in swaps
        ]

    def _write_back(self, swap: Swap) -> bool:
        same_cell: Any = Q(**{f"{swap.field.attname}__isnull": True})
        if swap.old is not None:
            same_cell = still_holds(swap.field, swap.old)
        rows: QuerySet[Model] = QuerySet(swap.field.model, using=self._using)
        attname = self.operation.plain_field(swap.instance).attname
        value = getattr(swap.instance, swap.field.attname)
        return bool(rows.filter(same_cell, pk=swap.instance.pk).update(**{attname: value}))

    def _kept(self, missed: Sequence[Swap]) -> list[Swap]:
        """Return those of ``missed`` that hold in both columns what they held when they were read."""
        kept = super()._kept(missed)
        stored = self._plain_values([swap.instance.pk for swap in kept])
        return [
            swap
            for swap in kept
            if stored.get(swap.instance.pk, _GONE) == self.operation.plain_value(swap.instance)
        ]

    def _plain_values(self, keys: Sequence[Any]) -> dict[Any, Any]:
        """Return the plaintext of rows, which nobody else can write until the transaction ends."""
        held: QuerySet[Any] = QuerySet(self.fields[0].model, using=self._using).select_for_update()
        attname = self.operation.plain_field(self.fields[0].model).attname
        return dict(held.filter(pk__in=keys).order_by().values_list("pk", attname))


def columns_for(
    fields: Sequence[EncryptedField],
    operation: Operation,
    using: str,
    *,
    verify: bool = False,
    where: str | None = None,
) -> Columns:
    """Return what carries ``operation`` out on ``fields`` of one model."""
    if isinstance(fields[0], EncryptedFileField) and isinstance(operation, Resealing | Rekeying):
        return StoredFiles(fields, operation, using, verify=verify, where=where)
    kind = CopiedColumns if isinstance(operation, Copying) else Columns
    return kind(fields, operation, using, verify=verify, where=where)
