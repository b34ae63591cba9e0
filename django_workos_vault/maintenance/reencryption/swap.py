"""Compare-and-swap on the stored bytes: a cell is replaced only while it is still the one that was read."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db import OperationalError, transaction
from django.db.models import BinaryField, F, Model, QuerySet, Value
from django.db.models.expressions import Col
from django.db.models.lookups import Exact

from django_workos_vault.fields.cell import Sealed
from django_workos_vault.fields.field import EncryptedField


@dataclass(frozen=True, slots=True, repr=False)
class Swap:
    """One cell's old and new bytes."""

    field: EncryptedField
    instance: Model
    old: bytes
    new: bytes


class StoredBytes(F):
    """An encrypted column as the bytes it holds, for comparing them in the database."""

    def resolve_expression(self, *args: Any, **kwargs: Any) -> Any:
        column: Any = super().resolve_expression(*args, **kwargs)
        return Col(column.alias, column.target, BinaryField())


def still_holds(field: EncryptedField, cell: bytes) -> Exact:
    """Return the condition that the column holds exactly these bytes."""
    return Exact(StoredBytes(field.attname), Value(cell, output_field=BinaryField()))


def swap_all(swaps: Iterable[Swap], using: str) -> list[bool]:
    """Carry out ``swaps`` in one short transaction. False stands for a cell that changed meanwhile."""
    swaps = list(swaps)
    try:
        with transaction.atomic(using=using):
            return [_swap(swap, using) for swap in swaps]
    except OperationalError:
        # A deadlock with another writer, who wins. One by one, no lock is held while waiting for another.
        return [_swap(swap, using) for swap in swaps]


def _swap(swap: Swap, using: str) -> bool:
    still_as_read = still_holds(swap.field, swap.old)
    row: QuerySet[Model] = QuerySet(swap.field.model, using=using).filter(still_as_read, pk=swap.instance.pk)
    return bool(row.update(**{swap.field.attname: Sealed(swap.new, swap.field)}))
