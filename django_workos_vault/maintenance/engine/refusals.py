"""Rows that the database does not take, or does not change: of a table with rules of its own.

Constraints, triggers, policies; and those that somebody keeps locked. Such a row is left as it is, and holds
back no other.
"""

from collections.abc import Sequence
from typing import Any

from django.db import DatabaseError
from django.db.models import Model, QuerySet

from django_workos_vault.maintenance.cells import CannotOpen, StoredBytes
from django_workos_vault.maintenance.engine.transactions import is_locked
from django_workos_vault.maintenance.reencryption.swap import Swap

NOT_WRITTEN = CannotOpen(
    "NotWritten",
    "The database kept the old cell without an error: a trigger, a rule or a policy of the table.",
)


def refusal(error: DatabaseError) -> CannotOpen:
    """Return why a row is left. What the database says of it may quote the row."""
    if is_locked(error):
        return CannotOpen(
            "RowLocked", "Another session keeps the row locked, such as a transaction that was left open."
        )
    return CannotOpen(
        "RefusedByDatabase",
        f"The database refuses the row with its new cells ({type(error).__name__}): a constraint, a trigger, "
        "or a column that is too short.",
    )


def kept_by_database(missed: Sequence[Swap], using: str) -> list[Swap]:
    """Return those of ``missed`` whose cell is the old one all the same."""
    kept = []
    for field in dict.fromkeys(swap.field for swap in missed):
        rows: QuerySet[Model] = QuerySet(field.model, using=using)
        swaps = {swap.instance.pk: swap for swap in missed if swap.field is field}
        held = rows.filter(pk__in=list(swaps)).values_list("pk", StoredBytes(field.attname))
        kept += [swaps[pk] for pk, cell in held if _bytes(cell) == swaps[pk].old]
    return kept


def _bytes(cell: Any) -> bytes | None:
    return None if cell is None else bytes(cell)
