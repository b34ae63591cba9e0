"""Compare-and-swap on the stored bytes: a cell is replaced only while it is still the one that was read."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connections
from django.db.models import BinaryField, Model, Value
from django.db.models.lookups import Exact

from django_workos_vault.fields.field import EncryptedField
from django_workos_vault.maintenance.cells import StoredBytes
from django_workos_vault.maintenance.reencryption.statements import RowSwap, swapped_rows

#: a row, and a column
_Place = tuple[RowSwap, str]
#: a model, and how many swaps of the same cell come first
_Turn = tuple[type[Model], int]
_NO_ROW = None, 0


@dataclass(slots=True, repr=False)
class Swap:
    """One cell's old and new bytes, None for NULL. Of ``instance``, only the primary key is used."""

    field: EncryptedField
    instance: Any
    old: bytes | None
    new: bytes | None


def still_holds(field: EncryptedField, cell: bytes) -> Exact:
    """Return the condition that the column holds exactly these bytes."""
    return Exact(StoredBytes(field.attname), Value(cell, output_field=BinaryField()))


def swap_all(swaps: Iterable[Swap], using: str) -> list[bool]:
    """Carry out ``swaps``, with one statement for the rows of a model. To be called in a short transaction.

    Returns for each whether it was done: False stands for a cell that changed meanwhile, and holds back no
    other.

    Another writer wins: several rows are not waited for longer than half a second, which is less than
    PostgreSQL's ``deadlock_timeout``, and on MariaDB not at all. Then OperationalError is raised. After it,
    fewer rows have a better chance.
    """
    swaps = list(swaps)
    places, batches = _grouped(swaps)
    connection = connections[using]
    if connection.vendor == "postgresql" and len(swaps) > 1:
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '500ms'")
    _keep_keys(swaps, using)
    done: dict[int, Collection[str]] = {}
    for (model, _), batch in batches.items():
        done |= _swapped_cells(connection, model, batch)
    return [row.number in done and column in done[row.number] for row, column in places]


def _grouped(swaps: Iterable[Swap]) -> tuple[list[_Place], dict[_Turn, list[RowSwap]]]:
    """Return the place of each swap, and the rows of each model, each row once."""
    places: list[_Place] = []
    rows: dict[type[Model], dict[Any, tuple[RowSwap, int]]] = {}
    batches: dict[_Turn, list[RowSwap]] = {}
    for number, swap in enumerate(swaps):
        model, column, pk = swap.field.model, str(swap.field.column), swap.instance.pk
        of_model = rows.setdefault(model, {})
        row, turn = of_model.get(pk, _NO_ROW)
        if row is None or column in row.cells:  # the same cell again is swapped afterwards
            turn += row is not None
            row = RowSwap(number, pk, {})
            of_model[pk] = row, turn
            batches.setdefault((model, turn), []).append(row)
        row.cells[column] = swap.old, swap.new
        places.append((row, column))
    return places, batches


def _swapped_cells(connection: Any, model: type[Model], batch: list[RowSwap]) -> dict[int, Collection[str]]:
    """Return the columns that were swapped, by the number of their row."""
    whole = swapped_rows(connection, model, batch)
    done: dict[int, Any] = {row.number: row.cells.keys() for row in batch if row.number in whole}
    rest = [row for row in batch if row.number not in whole and len(row.cells) > 1]
    for column in dict.fromkeys(column for row in rest for column in row.cells):
        alone = [
            RowSwap(row.number, row.pk, {column: row.cells[column]}) for row in rest if column in row.cells
        ]
        for number in swapped_rows(connection, model, alone):
            done.setdefault(number, set()).add(column)
    return done


def _keep_keys(swaps: Sequence[Swap], using: str) -> None:
    """Have no cell commit without its key."""
    for field in {id(swap.field): swap.field for swap in swaps}.values():
        if field.cipher.refers:
            for swap in swaps:
                if swap.new is not None:
                    swap.field.cipher.secure(swap.new, using)
            return
