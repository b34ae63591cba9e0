"""Runs as records: begun, found, paused, taken up again, cancelled. Any process of any machine may."""

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

from django.db import DatabaseError, connections, models, router, transaction
from django.db.models import Model

from django_workos_vault.fields.field import EncryptedField
from django_workos_vault.maintenance.cells import BadCell
from django_workos_vault.maintenance.engine.columns import ColumnCounts
from django_workos_vault.maintenance.engine.estimate import estimated_rows
from django_workos_vault.maintenance.engine.fingerprint import fingerprint
from django_workos_vault.maintenance.engine.keys import from_text
from django_workos_vault.maintenance.engine.names import is_dead
from django_workos_vault.maintenance.engine.transactions import in_transaction
from django_workos_vault.maintenance.engine.where import Where
from django_workos_vault.maintenance.files.columns import named_file_field
from django_workos_vault.maintenance.operations import NAMES
from django_workos_vault.maintenance.reencryption.target import UnknownTarget, fields_of, model_of
from django_workos_vault.models import MaintenanceChunk, MaintenanceRun
from django_workos_vault.registry.rows import as_stored

State = MaintenanceRun.State
#: what can be gone on with
UNFINISHED = (State.RUNNING, State.PAUSED, State.FAILED)


class RunRefused(Exception):
    """A run cannot be begun, found, or gone on with. The message is one line that says what to do."""


def begin(
    fields: Sequence[EncryptedField],
    operation: str,
    *,
    using: str,
    start_after: str = "",
    options: dict[str, Any] | None = None,
) -> MaintenanceRun:
    """Write down a run over ``fields`` in the database ``using``; :mod:`~.work` then does it.

    ``start_after`` is a primary key as text of :mod:`~.keys`. Raises RunRefused where a run is under way on
    one of the columns, or where the tables are not there.
    """
    columns = [*map(str, fields)]
    runs = MaintenanceRun.objects.using(using)
    try:
        with transaction.atomic(using=using):
            run = runs.create(
                operation=operation,
                targets=columns,
                options=options or {},
                fingerprint=fingerprint(fields),
                created_at=as_stored(datetime.now(UTC)),
                rows_estimate=sum(
                    estimated_rows(of_model[0].model, using, _meant(of_model, options))
                    for of_model in by_model(fields).values()
                ),
                next_lower=start_after,
            )
    except DatabaseError as exc:
        raise _no_tables(using) from exc
    # Looked for after it was written: of two that begin at once, at least one sees the other.
    other = in_transaction(using, partial(_other_under_way, run))
    if other is not None:
        run.delete(using=using)
        raise refused_for(other)
    return run


def by_model(fields: Sequence[EncryptedField]) -> dict[type[Model], list[EncryptedField]]:
    """Return the fields of each model, in their order."""
    found: dict[type[Model], list[EncryptedField]] = {}
    for each in fields:
        found.setdefault(each.model, []).append(each)
    return found


def _meant(fields: Sequence[EncryptedField], options: dict[str, Any] | None) -> Where | None:
    where = (options or {}).get("where")
    return None if where is None else Where(where, fields)


def _other_under_way(run: MaintenanceRun) -> MaintenanceRun | None:
    """Return a run other than ``run`` on one of its columns. Until the transaction ends, none is resumed."""
    rows = MaintenanceRun.objects.using(run._state.db).filter(state__in=UNFINISHED).order_by("pk")
    running = (each for each in rows.select_for_update() if each.state == State.RUNNING and each.pk != run.pk)
    return next((each for each in running if not set(run.targets).isdisjoint(each.targets)), None)


def refused_for(other: MaintenanceRun) -> RunRefused:
    """Return the refusal of what would run beside ``other`` on the same columns."""
    return RunRefused(
        f"Run {other.pk} is under way on {', '.join(other.targets)}. See --status {other.pk}; "
        f"should its process have died, --resume {other.pk} or --cancel {other.pk}."
    )


def find(number: int, using: str | None = None) -> MaintenanceRun:
    """Return a run by its number. Raises RunRefused."""
    using = using or usual_database()
    try:
        return MaintenanceRun.objects.using(using).get(pk=number)
    except MaintenanceRun.DoesNotExist:
        raise RunRefused(f"There is no run {number} in database {using!r}. See --list.") from None
    except DatabaseError as exc:
        raise _no_tables(using) from exc


def usual_database() -> str:
    """Return the alias of the database where a run is looked for."""
    return str(router.db_for_write(MaintenanceRun))


def newest(using: str | None = None, number: int = 20) -> list[MaintenanceRun]:
    """Return the newest runs. Raises RunRefused."""
    using = using or usual_database()
    try:
        return list(MaintenanceRun.objects.using(using).order_by("-pk")[:number])
    except DatabaseError as exc:
        raise _no_tables(using) from exc


def note_workers(run: MaintenanceRun, number: int) -> None:
    """Note how many workers share the run's limits."""
    run.options = {**run.options, "workers": number}
    run.save(using=run._state.db, update_fields=["options"])


def fields_of_run(run: MaintenanceRun) -> list[EncryptedField]:
    """Return the columns of a run. Raises RunRefused where the code has changed them since it was begun."""
    try:
        fields: list[Any] = []
        for target in run.targets:
            file_field = named_file_field(target)
            fields += fields_of(target) if file_field is None else [file_field]
    except UnknownTarget as exc:
        raise RunRefused(f"Run {run.pk} cannot go on: {exc} Cancel it, and begin another.") from None
    if run.operation not in NAMES:
        raise RunRefused(
            f"Run {run.pk} cannot go on: this release knows no operation {run.operation!r}. Go on with the "
            f"release that began it, or --cancel {run.pk}."
        )
    if fingerprint(fields) != run.fingerprint:
        raise RunRefused(
            f"The code has changed fields of run {run.pk} ({', '.join(run.targets)}) since it was begun. "
            f"Go back to that code, or --cancel {run.pk} and begin another."
        )
    return fields


def pause(run: MaintenanceRun, reason: str = "") -> bool:
    """Have every worker stop within one batch. False where the run was not running."""
    return _turn(run, [State.RUNNING], State.PAUSED, reason=reason)


def resume(run: MaintenanceRun) -> None:
    """Let a run go on that was paused, or whose workers died; beside those that work on it.

    Raises RunRefused where it has ended, the code has changed its fields, or another is under way.
    """
    fields_of_run(run)
    if not in_transaction(run._state.db or "default", partial(_turn_alone, run)):
        raise RunRefused(f"Run {run.pk} is {run.state}, and over. Begin another.")


def _turn_alone(run: MaintenanceRun) -> bool:
    other = _other_under_way(run)
    if other is not None:
        raise refused_for(other)
    return _turn(run, list(UNFINISHED), State.RUNNING, reason="")


def cancel(run: MaintenanceRun) -> bool:
    """End a run for good, within one batch. What is done stays. False where it had ended."""
    return _turn(run, list(UNFINISHED), State.CANCELLED, finished_at=as_stored(datetime.now(UTC)))


def finish(run: MaintenanceRun) -> bool:
    """Note that every chunk is done."""
    return _turn(run, [State.RUNNING], State.FINISHED, finished_at=as_stored(datetime.now(UTC)))


def fail(run: MaintenanceRun, reason: str) -> bool:
    """Stop a run that wrote something wrong. A person must look before it is resumed."""
    return _turn(run, [State.RUNNING], State.FAILED, reason=reason)


def _turn(run: MaintenanceRun, states: "list[State]", to: str, **changes: Any) -> bool:
    rows = MaintenanceRun.objects.using(run._state.db).filter(pk=run.pk, state__in=states)
    turned = bool(rows.update(state=to, **changes))
    run.refresh_from_db()
    return turned


def _no_tables(using: str) -> RunRefused:
    """Return the refusal after a database error: of missing tables, where they are what is missing."""
    with suppress(DatabaseError):
        if MaintenanceRun._meta.db_table in connections[using].introspection.table_names():
            return RunRefused(f"Database {using!r} does not keep the run, or did not answer: see its log.")
        return _migrate(using)
    return RunRefused(f"Database {using!r} does not answer.")


def _migrate(using: str) -> RunRefused:
    return RunRefused(
        f"Database {using!r} has no tables for runs, which stand beside the rows: run manage.py migrate "
        f"django_workos_vault --database {using}."
    )


@dataclass
class Progress:
    """What became of a run so far. ``position`` is the key, as text, up to which every row is done."""

    rows: int = 0
    keys_made: int = 0
    workers: int = 0
    position: str = ""
    left_number: int = 0
    counts: dict[str, ColumnCounts] = field(default_factory=dict)


def progress(run: MaintenanceRun) -> Progress:
    """Add up the chunks of a run."""
    told = Progress(counts={column: ColumnCounts(column) for column in run.targets})
    gap = False
    now = time.time()
    chunks = MaintenanceChunk.objects.using(run._state.db).filter(run=run).order_by("ordinal")
    for chunk in chunks.defer("left").iterator():
        told.rows += chunk.rows_done
        told.keys_made += chunk.keys_made
        claimed = chunk.state == chunk.State.CLAIMED and chunk.lease_until > now
        told.workers += claimed and not is_dead(chunk.worker)
        for column, numbers in chunk.counts.items():
            told.counts.setdefault(column, ColumnCounts(column)).add(numbers)
        if not gap:
            told.position = chunk.position or told.position
        gap = gap or chunk.state != chunk.State.DONE
    told.left_number = sum(counts.left for counts in told.counts.values())
    return told


def rows_done(run: MaintenanceRun) -> int:
    """Return the number of rows that a run has gone through."""
    chunks = MaintenanceChunk.objects.using(run._state.db).filter(run=run)
    return chunks.aggregate(rows=models.Sum("rows_done"))["rows"] or 0


def left_cells(run: MaintenanceRun) -> Iterator[BadCell]:
    """Yield every cell that was left as it is, in the order of chunks."""
    chunks = (
        MaintenanceChunk.objects.using(run._state.db).filter(run=run).exclude(left=[]).order_by("ordinal")
    )
    for chunk in chunks.iterator():
        model = model_of(chunk.model)
        for group in chunk.left:
            for key in group["keys"]:
                yield BadCell(group["column"], from_text(model, key), group["reason"], group["message"])
