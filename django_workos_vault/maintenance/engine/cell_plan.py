"""A plan of columns: looks at their cells, and writes nothing."""

from collections.abc import Iterator, Sequence
from functools import partial

from django.db import connections
from django.db.models import Model

from django_workos_vault import envelope
from django_workos_vault.exceptions import WrongKey
from django_workos_vault.fields.field import EncryptedField
from django_workos_vault.maintenance import cells
from django_workos_vault.maintenance.cells import BadCell, CannotOpen, CellReader
from django_workos_vault.maintenance.disk import free_for_database
from django_workos_vault.maintenance.engine.columns import Columns
from django_workos_vault.maintenance.engine.estimate import PARTS, estimated_rows
from django_workos_vault.maintenance.engine.failing_keys import FailingKeys
from django_workos_vault.maintenance.engine.plan import ColumnPlan, Plan, is_sampled, looked_at
from django_workos_vault.maintenance.engine.seen_keys import SeenKeys
from django_workos_vault.maintenance.operations import Operation
from django_workos_vault.maintenance.patience import patiently


class CellPlanner:
    """Looks at the cells that an operation would go through. ``columns`` are those of each model."""

    def __init__(self, columns: Sequence[Columns], operation: Operation, name: str, using: str) -> None:
        self._columns = columns
        self._operation = operation
        self._name = name
        self._using = using
        self._reader = CellReader()
        self._failing_keys = FailingKeys([field for each in columns for field in each.fields])
        self._seen = SeenKeys()

    def plan(self) -> Plan:
        """Return the plan. Raises VaultError in an outage."""
        plan = Plan([], disk_free=free_for_database(self._using))
        for columns in self._columns:
            total = estimated_rows(columns.fields[0].model, self._using)
            plans = {f.name: ColumnPlan(str(f), total) for f in columns.fields}
            rows_seen = 0
            for rows in looked_at(columns.rows(), total):
                rows_seen += len(rows)
                self._seen.read_records(_commitments(columns.fields, rows))
                for instance in rows:
                    for column in columns.fields:
                        if columns.means(column, instance):
                            self._look(plans[column.name], columns, column, instance)
            plan.is_sample |= is_sampled(total)
            plan.columns += plans.values()
            plan.disk += self._disk(columns, list(plans.values()), rows_seen)
        plan.keys, plan.contexts = self._seen.keys, self._seen.contexts
        plan.requests = self._seen.requests(self._name, opened=self._name != "rekey")
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
        context = next(iter(column.scheme.contexts_of([instance])), None)
        self._seen.note(plan, column, cell, context)
        try:
            ask = partial(self._failing_keys.try_cell, columns, column, instance)
            value = patiently(partial(ask, partial(self._reader.open, column, instance)))
            if column.digests.slots:
                with cells.faults_of_row():
                    found = column.digests.is_found(cell.digests, value, instance)
                plan.count(index="found" if found else "outdated")
            plan.renewed += patiently(partial(ask, partial(self._operation.examine, column, instance)))
        except CannotOpen as exc:
            plan.unreadable.append(exc.of(column, instance))
        except WrongKey as exc:
            plan.unreadable.append(BadCell(plan.column, instance.pk, type(exc).__name__, str(exc)))

    def _disk(self, columns: Columns, plans: list[ColumnPlan], rows_seen: int) -> int:
        if not rows_seen:
            return 0
        connection = connections[self._using]
        table = connection.ops.quote_name(columns.fields[0].model._meta.db_table)
        if connection.vendor == "postgresql":  # a new version of every row, and of its index entries
            with connection.cursor() as cursor:
                cursor.execute(f"SELECT sum(pg_total_relation_size(oid)) FROM ({PARTS}) AS parts", [table])  # noqa: S608
                size = int(cursor.fetchone()[0] or 0)
            return int(size * max(plan.renewed / rows_seen for plan in plans))
        return round(sum(plan.bytes * plan.rows / rows_seen for plan in plans if plan.renewed))


def _commitments(fields: Sequence[EncryptedField], rows: Sequence[Model]) -> Iterator[bytes]:
    for row in rows:
        for column in fields:
            if (held := row.__dict__[column.attname]) is not None:
                front = envelope.digests_end(held.cell)
                yield held.cell[front + 11 : front + 43]
