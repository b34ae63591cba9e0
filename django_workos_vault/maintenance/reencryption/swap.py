"""Compare-and-swap on the stored bytes: a cell is replaced only while it is still the one that was read."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.db import connections
from django.db.models import BinaryField, Model, Value
from django.db.models.lookups import Exact

from django_workos_vault.fields.field import EncryptedField
from django_workos_vault.maintenance.cells import StoredBytes
from django_workos_vault.maintenance.reencryption.statements import Column, RowSwaps, swapped_rows


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
    other. Raises as :func:`swap_rows` does.
    """
    swaps = list(swaps)
    done = [False] * len(swaps)
    for rows in _in_turns(swaps):
        fields = dict.fromkeys(field for row in rows.values() for field in row)
        columns, places = {}, {}
        for field in fields:
            numbers = places[field] = [row.get(field) for row in rows.values()]
            columns[field] = Column(
                [None if n is None else swaps[n].old for n in numbers],
                [None if n is None else swaps[n].new for n in numbers],
                None if None not in numbers else [n is not None for n in numbers],
            )
        for field, swapped in swap_rows(RowSwaps(list(rows), columns), using).items():
            for number, each in zip(places[field], swapped, strict=True):
                if number is not None:
                    done[number] = each
    return done


def swap_rows(rows: RowSwaps, using: str) -> dict[EncryptedField, Sequence[bool]]:
    """Carry out ``rows``, with one statement. To be called in a short transaction.

    Returns for each column in which rows its cell was swapped. One that changed holds back no other.

    Another writer wins: several rows are not waited for longer than half a second, which is less than
    PostgreSQL's ``deadlock_timeout``, and on MariaDB not at all. Then OperationalError is raised. After it,
    fewer rows have a better chance.
    """
    connection = connections[using]
    if connection.vendor == "postgresql" and len(rows.keys) > 1:
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '500ms'")
    _keep_keys(rows, using)
    whole = swapped_rows(connection, rows)
    if len(whole) == len(rows.keys):
        return {field: column.meant or [True] * len(whole) for field, column in rows.columns.items()}
    if rows.versions:  # another version may hold the same cells
        whole |= _swapped(connection, replace(rows, versions=None), whole)
    done: dict[EncryptedField, Sequence[bool]] = {}
    for field, column in rows.columns.items():
        alone = replace(rows, columns={field: column}, versions=None) if len(rows.columns) > 1 else None
        swapped = whole if alone is None else whole | _swapped(connection, alone, whole)
        meant = column.meant or [True] * len(rows.keys)
        done[field] = [n in swapped and each for n, each in enumerate(meant)]
    return done


def _swapped(connection: Any, rows: RowSwaps, done: Collection[int]) -> set[int]:
    """Carry out those of ``rows`` that are not ``done`` yet, and are meant to be."""
    meant = [column.meant for column in rows.columns.values()]
    rest = [
        n
        for n in range(len(rows.keys))
        if n not in done and any(column is None or column[n] for column in meant)
    ]
    return {rest[n] for n in swapped_rows(connection, rows.of(rest))}


def _in_turns(swaps: Sequence[Swap]) -> Iterator[dict[Any, dict[EncryptedField, int]]]:
    """Yield for each model its rows by key, with the number of the swap of each field's cell.

    The same cell again is swapped afterwards, in another turn.
    """
    turns: dict[tuple[type[Model], int], dict[Any, dict[EncryptedField, int]]] = {}
    for number, swap in enumerate(swaps):
        turn = 0
        while swap.field in (
            row := turns.setdefault((swap.field.model, turn), {}).setdefault(swap.instance.pk, {})
        ):
            turn += 1
        row[swap.field] = number
    yield from turns.values()


def _keep_keys(rows: RowSwaps, using: str) -> None:
    """Have no cell commit without its key."""
    for field, column in rows.columns.items():
        if field.cipher.refers:
            for cell in column.new:
                if cell is not None:
                    field.cipher.secure(cell, using)
