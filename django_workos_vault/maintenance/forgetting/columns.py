"""The cells that a customer's keys opened: in their rows, and in those of others."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from django.db.models import F, Model, Q, QuerySet

from django_workos_vault.envelope import DIGEST_BYTES, LABEL_ID_BYTES, MAX_DIGESTS, digests_front
from django_workos_vault.fields.field import EncryptedField
from django_workos_vault.indexes import DigestAt
from django_workos_vault.maintenance import cells
from django_workos_vault.maintenance.cells import CannotOpen
from django_workos_vault.maintenance.forgetting.counts import Counting, Counts
from django_workos_vault.maintenance.forgetting.subject import Subject, context_for

_ROWS_AT_A_TIME = 500
#: Commitments that a query is asked for; with more, every row is looked at.
_FEW = 100


@dataclass(slots=True)
class Cells(Counts):
    """The cells of one column. ``with_digests`` counts those of the context that blind indexes still find."""

    with_digests: int = 0


class CommitmentAt(DigestAt):
    """The commitment of a cell that carries ``slot`` digests; other bytes of a cell with more or fewer."""

    def first_byte(self) -> int:
        digests = 1 + DIGEST_BYTES * self.slot if self.slot else 0
        return 1 + digests + 3 + LABEL_ID_BYTES


class Mark(DigestAt):
    """The first byte of a cell, which tells how many digests it carries."""

    length = 1

    def first_byte(self) -> int:
        return 1


def survey(subject: Subject, keys: Collection[str]) -> Iterator[Cells]:
    """Yield what is found in each column, where there is something.

    ``keys`` are the commitments, in hexadecimal, of the data keys to be destroyed. Nothing is opened.
    """
    for model, using in subject.models():
        fields = subject.fields(model, EncryptedField)
        sealed = subject.sealed(model)
        rows = _rows(subject, fields, sealed, keys, using) if fields else None
        if rows is not None:
            yield from _surveyed(subject, fields, sealed, keys, rows, using)


def _rows(
    subject: Subject, fields: list[EncryptedField], sealed: list[Any], keys: Collection[str], using: str
) -> QuerySet[Model] | None:
    """Return the rows that have something to do with the context, or more; None where there can be none."""
    condition = subject.rows_of(sealed)
    if condition is None and not keys:
        return None
    rows = cells.rows(sealed, using)
    if len(keys) > _FEW or condition == Q():
        return rows
    condition = condition or Q()
    commitments = [bytes.fromhex(key) for key in keys]
    for each in fields if keys else ():
        declared = min(len(each.blind_indexes), MAX_DIGESTS)
        for count in range(declared + 1):
            name = f"_{each.name}_{count}"
            rows = rows.alias(**{name: CommitmentAt(F(each.name), count)})
            condition |= Q(**{f"{name}__in": commitments})
        # Of an index that was removed, cells carry the digests still: those are looked at one by one.
        rows = rows.alias(**{f"_{each.name}_mark": Mark(F(each.name), 0)})
        more = [digests_front(bytes(DIGEST_BYTES * n))[:1] for n in range(declared + 1, MAX_DIGESTS + 1)]
        condition |= Q(**{f"_{each.name}_mark__in": more})
    return rows.filter(condition)


def _surveyed(
    subject: Subject,
    fields: list[EncryptedField],
    sealed: list[Any],
    keys: Collection[str],
    rows: QuerySet[Model],
    using: str,
) -> Iterator[Cells]:
    found = {each.name: Cells(str(each), using) for each in fields}
    counting = Counting(subject, keys)
    for batch in cells.batches(rows, _ROWS_AT_A_TIME):
        with counting.batch():
            for row in batch:
                is_mine = subject.has(row, sealed)
                for each in fields:
                    counts, context = found[each.name], context_for(each, row)
                    try:
                        cell = None if cells.is_null(each, row) else cells.parsed(each, row)
                    except CannotOpen as exc:
                        if is_mine:
                            counts.count_unread(exc.reason, is_mine=True)
                        continue
                    if cell is not None:
                        counts.with_digests += bool(cell.digests) and context == subject.context
                        counting.count(counts, cell, row, context, is_mine=is_mine)
    yield from (counts for counts in found.values() if counts.found)
