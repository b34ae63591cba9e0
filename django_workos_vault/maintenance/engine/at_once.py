"""Cells of bare rows, replaced column by column and swapped by one statement."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import choice

from django_workos_vault.fields.field import EncryptedField
from django_workos_vault.maintenance.bare_rows import BareRow, cells_of
from django_workos_vault.maintenance.operations import AtOnce
from django_workos_vault.maintenance.reencryption.statements import Column, RowSwaps
from django_workos_vault.maintenance.reencryption.swap import Swap, swap_rows

#: of each column, whether the cell of each row was swapped
Done = Mapping[EncryptedField, Sequence[bool]]


def made_at_once(
    field: EncryptedField, rows: Sequence[BareRow], meant: Sequence[int], operation: AtOnce
) -> tuple[Column, int, list[BareRow]]:
    """Return the new cells of a column; how many are NULL; and the rows whose cell needs a look of its own.

    Only the rows with the numbers ``meant`` are. Raises VaultError in an outage.
    """
    stored = cells_of(field, rows)
    numbers = [n for n in meant if stored[n] is not None] if None in stored else meant
    nulls = len(meant) - len(numbers)
    if len(numbers) == len(rows):
        made = operation.at_once(field, rows, stored)  # type: ignore[arg-type]  # none of them is None
    else:
        made = [None] * len(rows)
        some = [stored[n] for n in numbers]
        for n, new in zip(numbers, operation.at_once(field, [rows[n] for n in numbers], some), strict=True):  # type: ignore[arg-type]
            made[n] = new
    if None not in made:
        return Column(stored, made), nulls, []
    others = [rows[n] for n in numbers if made[n] is None]
    return Column(stored, made, [new is not None for new in made]), nulls, others


@dataclass(slots=True, repr=False)
class Together:
    """Rows, and what one statement swaps in them."""

    rows: Sequence[BareRow]
    swaps: RowSwaps

    @classmethod
    def of(cls, rows: Sequence[BareRow], columns: dict[EncryptedField, Column]) -> "Together | None":
        """Return those of ``rows`` of which a cell is to be swapped, None where there are none."""
        flags = [column.meant for column in columns.values() if column.meant is not None]
        touched = list(range(len(rows)))
        if len(flags) == len(columns):
            touched = [n for n, each in enumerate(zip(*flags, strict=True)) if any(each)]
        if not touched:
            return None
        versions = [row.version for row in rows if row.version is not None]
        swaps = RowSwaps([row.pk for row in rows], columns, versions or None)
        if len(touched) == len(rows):
            return cls(rows, swaps)
        return cls([rows[n] for n in touched], swaps.of(touched))

    def store(self, using: str) -> Done:
        """Swap them, as :func:`swap_rows` does."""
        return swap_rows(self.swaps, using)

    def missed(self, done: Done) -> list[Swap]:
        """Return the swaps that were meant, and not done."""
        return [
            self._swap(field, n)
            for field, swapped in done.items()
            if not all(swapped)
            for n, meant in enumerate(self.swaps.columns[field].meant or [True] * len(swapped))
            if meant and not swapped[n]
        ]

    def swaps_done(self, done: Done) -> list[Swap]:
        """Return all swaps that were done."""
        return [
            self._swap(field, n) for field, swapped in done.items() for n, each in enumerate(swapped) if each
        ]

    def one_done(self, done: Done) -> list[Swap]:
        """Return one swap that was done, any of them; none where none was."""
        fields = [field for field, swapped in done.items() if any(swapped)]
        if not fields:
            return []
        field = choice(fields)  # noqa: S311
        return [self._swap(field, choice([n for n, each in enumerate(done[field]) if each]))]  # noqa: S311

    def _swap(self, field: EncryptedField, n: int) -> Swap:
        column = self.swaps.columns[field]
        return Swap(field, self.rows[n], column.old[n], column.new[n])
