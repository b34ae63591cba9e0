"""Compare-and-swap on the stored bytes: a cell is replaced only while it is still the one that was read."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db import connections
from django.db.models import BinaryField, F, Value
from django.db.models.expressions import Col
from django.db.models.lookups import Exact

from django_workos_vault.fields.field import EncryptedField
from django_workos_vault.maintenance.reencryption.statements import RowSwap, swapped_rows

#: a row's number, and a field
_Cell = tuple[int, EncryptedField]


@dataclass(frozen=True, slots=True, repr=False)
class Swap:
    """One cell's old and new bytes, None for NULL. Of ``instance``, only the primary key is used."""

    field: EncryptedField
    instance: Any
    old: bytes | None
    new: bytes | None


class StoredBytes(F):
    """An encrypted column as the bytes it holds, for comparing them in the database."""

    def resolve_expression(self, *args: Any, **kwargs: Any) -> Any:
        column: Any = super().resolve_expression(*args, **kwargs)
        return Col(column.alias, column.target, BinaryField())


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
    rows, batches = _grouped(swaps)
    done = _carried_out(batches, using)
    return [cell in done for cell in rows]


def _grouped(swaps: Iterable[Swap]) -> tuple[list[_Cell], list[list[RowSwap]]]:
    """Return the place of each swap, and the rows in batches: of one model, and each row once."""
    places: list[_Cell] = []
    rows: dict[Any, RowSwap] = {}
    batches: dict[Any, list[RowSwap]] = {}
    seen: Counter[Any] = Counter()
    for swap in swaps:
        pk = swap.instance.pk
        turn = seen[swap.field, pk]  # the same cell again is swapped afterwards
        seen[swap.field, pk] += 1
        batch = swap.field.model, turn
        row = rows.get((*batch, pk))
        if row is None:
            row = rows[(*batch, pk)] = RowSwap(len(rows), pk, {})
            batches.setdefault(batch, []).append(row)
        row.cells[swap.field] = swap.old, swap.new
        places.append((row.number, swap.field))
    return places, list(batches.values())


def _carried_out(batches: list[list[RowSwap]], using: str) -> set[_Cell]:
    connection = connections[using]
    done: set[_Cell] = set()
    if connection.vendor == "postgresql" and _are_several(batches):
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '500ms'")
    for batch in batches:
        _keep_keys(batch, using)
        whole = swapped_rows(connection, batch)
        done.update((row.number, field) for row in batch if row.number in whole for field in row.cells)
        rest = [row for row in batch if row.number not in whole and len(row.cells) > 1]
        for field in dict.fromkeys(field for row in rest for field in row.cells):
            alone = [
                RowSwap(row.number, row.pk, {field: row.cells[field]}) for row in rest if field in row.cells
            ]
            done.update((number, field) for number in swapped_rows(connection, alone))
    return done


def _are_several(batches: list[list[RowSwap]]) -> bool:
    return sum(map(len, batches)) > 1


def _keep_keys(batch: list[RowSwap], using: str) -> None:
    for row in batch:
        for field, (_, new) in row.cells.items():
            if new is not None:
                field.cipher.secure(new, using)
