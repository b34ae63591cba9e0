"""Which cells nobody can open once a customer's keys are destroyed, and which stay readable, and why."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from django.db.models import F, Model, Q, QuerySet

from django_workos_vault.envelope import DIGEST_BYTES, LABEL_ID_BYTES, MAX_DIGESTS, Envelope, digests_front
from django_workos_vault.fields.field import EncryptedField
from django_workos_vault.indexes import DigestAt
from django_workos_vault.maintenance import cells
from django_workos_vault.maintenance.cells import CannotOpen
from django_workos_vault.maintenance.forgetting.subject import Subject, context_for
from django_workos_vault.registry.destruction import contexts_by_commitment

_ROWS_AT_A_TIME = 500
#: Commitments that a query is asked for; with more, every row is looked at.
_FEW = 100


@dataclass(slots=True)
class Cells:
    """The cells of one column. ``with_digests`` counts those of the context that blind indexes still find.

    ``by_key`` counts the ``destroyed`` ones by the commitment of their key. ``carries`` are commitments of
    such keys that inline cells here have with them.
    """

    column: str
    database: str
    destroyed: int = 0
    destroyed_of_others: int = 0
    gone: int = 0
    inline: int = 0
    elsewhere: int = 0
    wider: int = 0
    with_digests: int = 0
    by_key: dict[str, int] = field(default_factory=dict)
    carries: set[str] = field(default_factory=set)
    #: primary keys of other contexts' rows whose cells the keys opened, a few of them
    others: list[str] = field(default_factory=list)


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
        rows = _rows(subject, fields, keys, using) if fields else None
        if rows is not None:
            yield from _surveyed(subject, fields, keys, rows, using)


def _rows(
    subject: Subject, fields: list[EncryptedField], keys: Collection[str], using: str
) -> QuerySet[Model] | None:
    """Return the rows that have something to do with the context, or more; None where there can be none."""
    conditions = [condition for each in fields if (condition := subject.rows_of(each)) is not None]
    if not keys and not conditions:
        return None
    rows = cells.rows(fields, using)
    if len(keys) > _FEW or not all(conditions):
        return rows
    commitments = [bytes.fromhex(key) for key in keys]
    for each in fields if keys else ():
        declared = min(len(each.blind_indexes), MAX_DIGESTS)
        for count in range(declared + 1):
            name = f"_{each.name}_{count}"
            rows = rows.alias(**{name: CommitmentAt(F(each.name), count)})
            conditions.append(Q(**{f"{name}__in": commitments}))
        # Of an index that was removed, cells carry the digests still: those are looked at one by one.
        rows = rows.alias(**{f"_{each.name}_mark": Mark(F(each.name), 0)})
        more = [digests_front(bytes(DIGEST_BYTES * n))[:1] for n in range(declared + 1, MAX_DIGESTS + 1)]
        conditions.append(Q(**{f"_{each.name}_mark__in": more}))
    condition = conditions[0]
    for other in conditions[1:]:
        condition |= other
    return rows.filter(condition)


def _surveyed(
    subject: Subject,
    fields: list[EncryptedField],
    keys: Collection[str],
    rows: QuerySet[Model],
    using: str,
) -> Iterator[Cells]:
    found = {each.name: Cells(cells.column_name(each), using) for each in fields}
    for batch in cells.batches(rows, _ROWS_AT_A_TIME):
        referred = []
        for row in batch:
            contexts = {each.name: context_for(each, row) for each in fields}
            mine = subject.context in contexts.values()
            for each in fields:
                try:
                    cell = None if cells.is_null(each, row) else cells.parsed(each, row)
                except CannotOpen:
                    continue
                if cell is None:
                    continue
                counts, context = found[each.name], contexts[each.name]
                is_own = context == subject.context
                counts.with_digests += is_own and bool(cell.digests)
                commitment = cell.commitment.hex()
                if commitment in keys and not cell.key_reference:
                    counts.destroyed += 1
                    counts.by_key[commitment] = counts.by_key.get(commitment, 0) + 1
                    if not is_own:
                        _note_other(counts, row)
                elif cell.key_reference and (is_own or commitment in keys):
                    counts.inline += 1
                    if commitment in keys:
                        counts.carries.add(commitment)
                elif is_own:
                    referred.append((counts, cell))
                elif subject.is_wider(context):
                    counts.wider += 1
                elif mine:
                    counts.elsewhere += 1
        _count_referred(referred)
    for counts in found.values():
        if any((counts.destroyed, counts.gone, counts.inline, counts.elsewhere, counts.wider)):
            yield counts


def _note_other(counts: Cells, row: Model) -> None:
    counts.destroyed_of_others += 1
    if len(counts.others) < 20:
        counts.others.append(str(row.pk))


def _count_referred(referred: list[tuple[Cells, Envelope]]) -> None:
    """Tell cells whose key another context has on record from those whose key nobody has any more."""
    known = contexts_by_commitment({cell.commitment.hex() for _, cell in referred})
    for counts, cell in referred:
        if cell.commitment.hex() in known:
            counts.elsewhere += 1
        else:
            counts.gone += 1
