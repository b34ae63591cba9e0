"""Encrypted columns in a moment: about how many rows, and which keys seal a sample of them."""

import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.apps import apps
from django.db import DatabaseError, models, router

from django_workos_vault.fields.field import EncryptedField
from django_workos_vault.maintenance import cells
from django_workos_vault.maintenance.cells import CannotOpen
from django_workos_vault.maintenance.engine.estimate import estimated_rows
from django_workos_vault.maintenance.tables import Tables
from django_workos_vault.models import DataKeyRecord

#: rows of a table that are looked at
SAMPLE = 300
#: seconds after which no further table is
BUDGET = 0.15
#: keys of a column that are shown by themselves
SHOWN = 8

#: commitment, version and way of storing of a cell
_Kind = tuple[str, int, str]


@dataclass(frozen=True, slots=True)
class KeyShare:
    """What one data key has of a column: ``cells`` of those looked at."""

    key: str
    context: str
    made_at: datetime | None
    version: int
    stored: str
    cells: int
    percent: float


@dataclass(slots=True)
class ColumnSample:
    """What was seen of a column. ``rows`` is None where there was no time to look."""

    column: str
    rows: int | None = None
    looked_at: int = 0
    null: int = 0
    malformed: int = 0
    shares: list[KeyShare] = field(default_factory=list)
    others: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether every row was looked at."""
        return self.rows == self.looked_at


def sampled_columns(sample: int = SAMPLE, budget: float | None = None) -> list[ColumnSample]:
    """Look at ``sample`` rows of each table, for ``budget`` seconds. No cell is opened."""
    ends_at = time.monotonic() + (BUDGET if budget is None else budget)
    tables: dict[str, Tables | None] = {}
    told: list[ColumnSample] = []
    kinds: list[Counter[_Kind]] = []
    for model in apps.get_models():
        fields = cells.encrypted_fields(model)
        columns = [ColumnSample(str(each)) for each in fields]
        counted: list[Counter[_Kind]] = [Counter() for _ in fields]
        told += columns
        kinds += counted
        if fields and time.monotonic() < ends_at:
            using = router.db_for_read(model)
            with suppress(DatabaseError):  # of one database, which takes no other along
                if using not in tables:
                    tables[using] = None  # not asked again, should it be down
                    tables[using] = Tables(using)
                found = tables[using]
                if found is not None and found.have(model):
                    _look(model, using, fields, columns, counted, sample)
    _share(told, kinds)
    return told


def _look(
    model: type[models.Model],
    using: str,
    fields: list[EncryptedField],
    columns: list[ColumnSample],
    counted: list[Counter[_Kind]],
    size: int,
) -> None:
    total, instances = _sample(model, using, fields, size)
    for column, seen, kinds in zip(fields, columns, counted, strict=True):
        seen.rows, seen.looked_at = total, len(instances)
        for instance in instances:
            if cells.is_null(column, instance):
                seen.null += 1
                continue
            try:
                cell = cells.parsed(column, instance)
            except CannotOpen:
                seen.malformed += 1
                continue
            kinds[cell.commitment.hex(), cell.version, "inline" if cell.key_reference else "reference"] += 1


def _sample(
    model: type[models.Model], using: str, fields: list[EncryptedField], size: int
) -> tuple[int, list[models.Model]]:
    """Return about how many rows there are, and ``size`` of them.

    They are spread over the table where its keys are numbers and most of those still there, else the first.
    """
    rows: Any = models.QuerySet(model, using=using).only("pk", *(each.attname for each in fields))
    found = list(rows.order_by("pk")[: size + 1])
    if len(found) <= size:
        return len(found), found
    total = max(estimated_rows(model, using), len(found))
    if isinstance(model._meta.pk, models.IntegerField):
        first, last = found[0].pk, rows.order_by("-pk").values_list("pk", flat=True)[0]
        spread = list(rows.filter(pk__in=range(first, last + 1, max(1, (last - first) // size))))
        if len(spread) * 2 >= size:
            return total, spread
    return total, found[:size]


def _share(told: list[ColumnSample], kinds: list[Counter[_Kind]]) -> None:
    most = [counter.most_common(SHOWN) for counter in kinds]
    commitments = {commitment for kinds in most for (commitment, _, _), _ in kinds}
    records = DataKeyRecord.objects.defer("wrapped").filter(commitment__in=commitments)
    filed = {record.commitment: record for record in records} if commitments else {}
    for column, counter, shown in zip(told, kinds, most, strict=True):
        column.shares = [
            _key_share(kind, number, 100 * number / counter.total(), filed.get(kind[0]))
            for kind, number in shown
        ]
        column.others = counter.total() - sum(number for _, number in shown)


def _key_share(kind: _Kind, number: int, percent: float, record: DataKeyRecord | None) -> KeyShare:
    commitment, version, stored = kind
    context = record.key_context if record and isinstance(record.key_context, dict) else {}
    return KeyShare(
        key=record.key_id if record else commitment[:16],
        context=", ".join(f"{name}={value}" for name, value in context.items()),
        made_at=record.created_at if record else None,
        version=version,
        stored=stored,
        cells=number,
        percent=percent,
    )
