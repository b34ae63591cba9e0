"""What a run would find and cost: rows by state, keys, requests, minutes, bytes. Writes nothing."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

from django.db import connections
from django.db.models import Model, QuerySet

from django_workos_vault import envelope
from django_workos_vault.backends.rate_limit import REQUESTS
from django_workos_vault.exceptions import WrongKey
from django_workos_vault.fields.field import EncryptedField
from django_workos_vault.maintenance import cells
from django_workos_vault.maintenance.cells import BadCell, CannotOpen, CellReader
from django_workos_vault.maintenance.disk import free_for_database
from django_workos_vault.maintenance.engine.columns import Columns
from django_workos_vault.maintenance.engine.estimate import estimated_rows
from django_workos_vault.maintenance.engine.failing_keys import FailingKeys
from django_workos_vault.maintenance.operations import Operation
from django_workos_vault.models import DataKeyRecord
from django_workos_vault.registry.rows import as_moment

#: Rows of a model that are looked at: all where there are no more, else half the oldest and half the newest.
SAMPLE = 2_000
_AT_A_TIME = 500


@dataclass
class ColumnPlan:
    """One column. ``states`` counts cells by what they are in a respect: ``{"envelope": {"inline": 3}}``.

    ``rows`` is the table's number of rows, counted or estimated; the rest is of the ``looked_at``.
    """

    column: str
    rows: int
    looked_at: int = 0
    null: int = 0
    renewed: int = 0
    bytes: int = 0
    states: dict[str, dict[str, int]] = field(default_factory=dict)
    unreadable: list[BadCell] = field(default_factory=list)

    def count(self, **respects: str) -> None:
        """Count one cell in several respects."""
        for respect, state in respects.items():
            counts = self.states.setdefault(respect, {})
            counts[state] = counts.get(state, 0) + 1


@dataclass
class Plan:
    """All columns. ``requests`` are to Vault, ``disk`` the bytes of the rewrite until they are cleaned up.

    ``disk_free`` are the bytes there are, None where the database does not tell. Where rows were sampled,
    ``is_sample``, keys and requests are at least that many.
    """

    columns: list[ColumnPlan]
    is_sample: bool = False
    keys: int = 0
    contexts: int = 0
    requests: int = 0
    disk: int = 0
    disk_free: int | None = None

    @property
    def minutes(self) -> float:
        """How long the requests take at the published limit of an API key, with nobody else's."""
        return self.requests / REQUESTS


class Planner:
    """Looks at the cells that an operation would go through. ``columns`` are those of each model."""

    def __init__(self, columns: Sequence[Columns], operation: Operation, name: str, using: str) -> None:
        self._columns = columns
        self._operation = operation
        self._name = name
        self._using = using
        self._reader = CellReader()
        self._failing_keys = FailingKeys([field for each in columns for field in each.fields])
        self._keys: set[tuple[str, bytes, bytes]] = set()
        self._foreign: set[tuple[bytes, bytes]] = set()
        self._contexts: set[tuple[str, str]] = set()
        self._pairs: set[tuple[Any, ...]] = set()
        self._filed: dict[str, DataKeyRecord] = {}

    def plan(self) -> Plan:
        """Return the plan. Raises VaultError in an outage."""
        plan = Plan([], disk_free=free_for_database(self._using))
        for columns in self._columns:
            total = estimated_rows(columns.fields[0].model, self._using)
            plans = {f.name: ColumnPlan(cells.column_name(f), total) for f in columns.fields}
            looked_at = 0
            for rows in _looked_at(columns.rows(), total):
                looked_at += len(rows)
                self._read_records(columns.fields, rows)
                for instance in rows:
                    for column in columns.fields:
                        if columns.means(column, instance):
                            self._look(plans[column.name], columns, column, instance)
            plan.is_sample |= total > SAMPLE
            plan.columns += plans.values()
            plan.disk += self._disk(columns, list(plans.values()), looked_at)
        plan.keys, plan.contexts = len(self._keys), len(self._contexts)
        opened = 0 if self._name == "rekey" else plan.keys
        plan.requests = opened + (len(self._pairs) if self._name == "rekey" else 0)
        plan.requests += plan.contexts if self._name in ("reseal", "move") else 0
        plan.requests += len(self._foreign) if opened else 0  # which the field's vault refuses first
        return plan

    def _look(self, plan: ColumnPlan, columns: Columns, column: EncryptedField, instance: Model) -> None:
        plan.looked_at += 1
        if cells.is_null(column, instance):
            plan.null += 1
            return
        try:
            cell = cells.parsed(column, instance)
        except CannotOpen as exc:
            plan.unreadable.append(exc.of(column, instance))
            return
        plan.bytes += len(instance.__dict__[column.attname].cell)
        self._keys.add((column.vault_alias, cell.commitment, cell.key_reference))
        context = next(iter(column.scheme.contexts_of([instance])), None)
        record = self._filed.get(cell.commitment.hex())
        also_reads = column.vault.also_reads
        if record and record.vault in also_reads:
            self._foreign.add((cell.commitment, cell.key_reference))
        own = context is not None and record is not None and record.context_digest == context.digest
        plan.count(
            vault=str(record.vault) if record else "not on record" if also_reads else column.vault_alias,
            version=str(cell.version),
            envelope="inline" if cell.key_reference else "reference",
            label="its own" if cell.label_id == envelope.label_id(column.label) else "another",
            key=_age(record, column),
            context="its own" if own else "unknown" if record is None else "another",
        )
        if context is not None:
            self._contexts.add((column.vault_alias, context.digest))
            self._pairs.add((column.vault_alias, cell.commitment, cell.key_reference, context.digest))
        try:
            ask = partial(self._failing_keys.try_cell, columns, column, instance)
            value = ask(partial(self._reader.open, column, instance))
            if column.digests.slots:
                with cells.faults_of_row():
                    found = column.digests.is_found(cell.digests, value, instance)
                plan.count(index="found" if found else "outdated")
            plan.renewed += ask(partial(self._operation.examine, column, instance))
        except CannotOpen as exc:
            plan.unreadable.append(exc.of(column, instance))
        except WrongKey as exc:
            plan.unreadable.append(BadCell(plan.column, instance.pk, type(exc).__name__, str(exc)))

    def _read_records(self, fields: Sequence[EncryptedField], rows: Sequence[Model]) -> None:
        held = (row.__dict__[column.attname] for row in rows for column in fields)
        found = set()
        for each in held:
            if each is not None:
                front = envelope.digests_end(each.cell)
                found.add(each.cell[front + 11 : front + 43].hex())
        missing = sorted(found - self._filed.keys())
        for start in range(0, len(missing), _AT_A_TIME):
            records = DataKeyRecord.objects.filter(commitment__in=missing[start : start + _AT_A_TIME])
            self._filed |= {record.commitment: record for record in records.defer("wrapped", "key_context")}

    def _disk(self, columns: Columns, plans: list[ColumnPlan], looked_at: int) -> int:
        if not looked_at:
            return 0
        connection = connections[self._using]
        table = connection.ops.quote_name(columns.fields[0].model._meta.db_table)
        if connection.vendor == "postgresql":  # a new version of every row, and of its index entries
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_total_relation_size(to_regclass(%s))", [table])
                size = cursor.fetchone()[0]
            return int(size * max(plan.renewed / looked_at for plan in plans))
        return round(sum(plan.bytes * plan.rows / looked_at for plan in plans if plan.renewed))


def _age(record: DataKeyRecord | None, column: EncryptedField) -> str:
    if record is None:
        return "not on record"
    days = (datetime.now(UTC) - as_moment(record.created_at)).days
    limit = column.vault.policy.rotate_after.days
    return f"made within {limit} days" if days < limit else f"older than {limit} days"


def _looked_at(rows: "QuerySet[Model]", total: int) -> Iterator[list[Model]]:
    if total <= SAMPLE:
        yield from cells.batches(rows, _AT_A_TIME)
        return
    oldest = list(rows.order_by("pk")[: SAMPLE // 2])
    yield oldest
    seen = {row.pk for row in oldest}
    yield [row for row in rows.order_by("-pk")[: SAMPLE // 2] if row.pk not in seen]
