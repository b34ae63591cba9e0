"""One batch of rows: what their cells are replaced by, and what became of them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from random import choice
from typing import Any

from django.db import DatabaseError
from django.db.models import Model, QuerySet

from django_workos_vault.fields.cell import stored_cell
from django_workos_vault.fields.field import EncryptedField
from django_workos_vault.maintenance import bare_rows, cells, row_versions
from django_workos_vault.maintenance.bare_rows import as_instances
from django_workos_vault.maintenance.cells import BadCell, CannotOpen
from django_workos_vault.maintenance.engine.at_once import Together, made_at_once
from django_workos_vault.maintenance.engine.refusals import NOT_WRITTEN, kept_by_database, refusal
from django_workos_vault.maintenance.engine.where import Where
from django_workos_vault.maintenance.operations import AtOnce, NotAsWritten, Operation
from django_workos_vault.maintenance.reencryption.swap import Swap, swap_all


@dataclass(slots=True)
class ColumnCounts:
    """What became of one column's cells. ``renewed`` counts what a dry run would renew.

    ``kept`` are those that were as they should be.
    """

    column: str
    renewed: int = 0
    null: int = 0
    changed_meanwhile: int = 0
    left: int = 0
    kept: int = 0

    def add(self, other: "dict[str, int]") -> None:
        """Add the numbers of another count of the column."""
        for each in fields(self)[1:]:
            setattr(self, each.name, getattr(self, each.name) + other.get(each.name, 0))

    def numbers(self) -> dict[str, int]:
        """Return the numbers by name."""
        return {name: number for name, number in asdict(self).items() if name != "column"}


@dataclass(slots=True)
class Batch:
    """Rows, the swaps to carry out, and what is known of the other cells."""

    rows: Sequence[Any]
    counts: dict[str, ColumnCounts]
    swaps: list[Swap] = field(default_factory=list)
    together: Together | None = None
    left: list[BadCell] = field(default_factory=list)
    #: cells that the database kept, which storing the batch shows
    unwritten: list[BadCell] = field(default_factory=list)

    @property
    def all_left(self) -> list[BadCell]:
        """The cells that stay as they are, of a batch that was stored."""
        return [*self.left, *self.unwritten]

    def leave(self, column: EncryptedField, instance: Model, reason: CannotOpen) -> None:
        """Note a cell that stays as it is."""
        self.counts[column.name].left += 1
        self.left.append(reason.of(column, instance))


class Columns:
    """Encrypted fields of one model in the database ``using``, and the operation that goes through them.

    ``verify`` has every new cell opened again, instead of one in each batch; ``where`` is a condition of
    :class:`Where`, None for all rows.
    """

    #: whether a cell's replacement depends on nothing else of its row than its key context
    takes_bare_rows = True

    def __init__(
        self,
        columns: Sequence[EncryptedField],
        operation: Operation,
        using: str,
        *,
        verify: bool = False,
        where: str | None = None,
    ) -> None:
        self.fields = list(columns)
        self.operation = operation
        self._using = using
        self._verify = verify
        self._where = None if where is None else Where(where, self.fields)
        self._bare = self.takes_bare_rows and bare_rows.suffice(self.fields)

    def rows(self) -> "QuerySet[Model]":
        """Return all rows that are meant, in no order."""
        rows = cells.rows(self.fields, self._using)
        return rows if self._where is None else self._where.of(rows)

    def means(self, column: EncryptedField, instance: Model) -> bool:
        """Return whether one cell of such a row is meant."""
        return self._where is None or self._where.means(column, instance)

    def read(self, some: "QuerySet[Model]") -> list[Any]:
        """Return the rows of ``some`` of :meth:`rows`."""
        return bare_rows.read(self.fields, some, versions=self._versions) if self._bare else list(some)

    @cached_property
    def _versions(self) -> bool:
        return row_versions.are_told(self.fields[0].model, self._using)

    def empty(self, rows: Sequence[Model]) -> Batch:
        """Return a batch of ``rows`` of which nothing is known yet."""
        return Batch(rows, {f.name: ColumnCounts(str(f)) for f in self.fields})

    def prepared(self, rows: Sequence[Model], *, dry_run: bool = False) -> Batch:
        """Make the replacements of the cells of ``rows``. A dry run only examines them.

        Asks Vault, and is no part of a transaction. Raises VaultError in an outage.
        """
        batch = self.empty(rows)
        if self._bare and not dry_run and isinstance(self.operation, AtOnce):
            self._replace_at_once(batch, self.operation)
            return batch
        as_instances(rows)
        if not dry_run:
            for columns in [self.fields] if self._where is None else [[column] for column in self.fields]:
                self.operation.prepare(columns, [row for row in rows if self.means(columns[0], row)])
        for column in self.fields:
            for instance in rows:
                if self.means(column, instance):
                    self.prepare_cell(batch, column, instance, dry_run)
        return batch

    @contextmanager
    def settled(self) -> Iterator[None]:
        """Around the transaction of a batch, whether or not it commits."""
        yield

    def keys_of(self, column: EncryptedField, row: Model) -> tuple[bytes, bytes]:
        """Return the commitment and the wrapped key of a cell, nothing for NULL. Raises CannotOpen."""
        if cells.is_null(column, row):
            return b"", b""
        cell = cells.parsed(column, row)
        return cell.commitment, cell.key_reference

    def store(self, batch: Batch) -> list[ColumnCounts]:
        """Swap the cells of a prepared batch, open some again, and return the counts. Part of a transaction.

        Raises NotAsWritten.
        """
        outcome = {name: replace(counts) for name, counts in batch.counts.items()}
        written: list[Swap] = []
        missed: list[Swap] = []
        if batch.together is not None:
            written, missed = self._store_together(batch.together, outcome)
        for swap, done in zip(batch.swaps, swap_all(batch.swaps, self._using), strict=True):
            outcome[swap.field.name].renewed += done
            (written if done else missed).append(swap)
        self._count_missed(batch, outcome, missed)
        if written:
            self._open_again(written if self._verify else [choice(written)])  # noqa: S311
        return list(outcome.values())

    def _store_together(
        self, together: Together, outcome: dict[str, ColumnCounts]
    ) -> tuple[list[Swap], list[Swap]]:
        done = together.store(self._using)
        for column, swapped in done.items():
            outcome[column.name].renewed += sum(swapped)
        return together.swaps_done(done) if self._verify else together.one_done(done), together.missed(done)

    def _count_missed(self, batch: Batch, outcome: dict[str, ColumnCounts], missed: Sequence[Swap]) -> None:
        """Count cells that were not swapped: those that the database kept are left, others are a writer's."""
        kept = self._kept(missed)
        for swap in missed:
            outcome[swap.field.name].changed_meanwhile += 1
        for swap in kept:
            outcome[swap.field.name].changed_meanwhile -= 1
            outcome[swap.field.name].left += 1
        batch.unwritten = [NOT_WRITTEN.of(swap.field, swap.instance) for swap in kept]

    def _kept(self, missed: Sequence[Swap]) -> list[Swap]:
        """Return those of ``missed`` that are as they were read."""
        return kept_by_database(missed, self._using)

    def refused(self, batch: Batch, error: DatabaseError) -> Batch:
        """Return a batch of one row as it was, of which the database has just refused to store a cell."""
        [row] = batch.rows
        kept = Batch(batch.rows, {name: replace(counts) for name, counts in batch.counts.items()})
        kept.left += batch.left
        for column in self.fields:
            if self.means(column, row) and not any(kept.counts[column.name].numbers().values()):
                kept.leave(column, row, refusal(error))
        return kept

    def _replace_at_once(self, batch: Batch, operation: AtOnce) -> None:
        made = {}
        for column in self.fields:
            meant: Sequence[int] = range(len(batch.rows))
            if self._where is not None:
                meant = [n for n in meant if self.means(column, batch.rows[n])]
            made[column], nulls, others = made_at_once(column, batch.rows, meant, operation)
            batch.counts[column.name].null += nulls
            as_instances(others)
            for row in others:
                self.prepare_cell(batch, column, row, dry_run=False)  # type: ignore[arg-type]
        batch.together = Together.of(batch.rows, made)

    def prepare_cell(self, batch: Batch, column: EncryptedField, instance: Model, dry_run: bool) -> None:
        """Make the replacement of one cell, and add to ``batch`` what became of it."""
        counts = batch.counts[column.name]
        if cells.is_null(column, instance):
            counts.null += 1
            return
        try:
            if dry_run:
                replaced = self.operation.examine(column, instance)
                counts.renewed += replaced
                counts.kept += not replaced
                return
            old = stored_cell(instance, column.attname)
            new = self.operation.replacement(column, instance)
        except CannotOpen as exc:
            batch.leave(column, instance, exc)
            return
        if new is None:
            counts.kept += 1
        else:
            batch.swaps.append(Swap(column, instance, old, new))

    def _open_again(self, swaps: list[Swap]) -> None:
        keys = list({swap.instance.pk for swap in swaps})
        # Without the condition: a row may have left it since it was read.
        rows = cells.rows(self.fields, self._using).filter(pk__in=keys)
        stored: dict[Any, Model] = {row.pk: row for row in rows}
        for swap in swaps:
            row = stored[swap.instance.pk]
            held = row.__dict__[swap.field.attname]
            if held is None or held.cell != swap.new:
                raise NotAsWritten(
                    f"The database does not hold what was written to {swap.field} of row {row.pk}: something "
                    "changes cells on their way, such as a trigger. The batch was taken back."
                )
            as_instances([swap.instance])
            self.operation.check(swap.field, swap.instance, row, self._verify)
