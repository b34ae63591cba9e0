"""What the command tells of runs: tables, documents for JSON, and the way on."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from django.db import DatabaseError

from django_workos_vault.maintenance.cells import BadCell
from django_workos_vault.maintenance.engine import runs
from django_workos_vault.maintenance.engine.columns import ColumnCounts
from django_workos_vault.maintenance.engine.keys import as_argument, from_text
from django_workos_vault.maintenance.engine.runs import Progress
from django_workos_vault.maintenance.reencryption.target import model_of
from django_workos_vault.management.files_beside import of_files
from django_workos_vault.management.output import table
from django_workos_vault.models import MaintenanceRun

#: operations that renew every cell, and what they call it
_VERBS = {"reseal": "re-encrypted", "rekey": "rekeyed"}


def verb(operation: str) -> str:
    """Return what an operation does to cells, as a heading."""
    return _VERBS.get(operation, "renewed")


def columns(counts: Sequence[ColumnCounts], operation: str) -> list[str]:
    """Return the table of what became of each column's cells."""
    headings = ["column", verb(operation), "null", "changed meanwhile", "left"]
    rows = [[c.column, c.renewed, c.null, c.changed_meanwhile, c.left] for c in counts]
    if operation not in _VERBS:
        headings.append("kept")
        rows = [[*row, c.kept] for row, c in zip(rows, counts, strict=True)]
    return table(headings, rows)


def text(run: MaintenanceRun, told: Progress) -> list[str]:
    """Return the lines that tell of one run."""
    counts = list(told.counts.values())
    lines = columns(counts, run.operation)
    lines.append(
        f"{'Data keys wrapped again' if run.operation == 'rekey' else 'New data keys'}: {told.keys_made}."
    )
    if any(c.changed_meanwhile for c in counts):
        lines.append("Changed meanwhile: another writer's newer value stands.")
    lines.append(_state(run, told))
    return [*lines, *of_files(**left_out(run))]


def listed(found: Sequence[MaintenanceRun]) -> list[str]:
    """Return a table of runs."""
    if not found:
        return ["There are no runs."]
    headings = ["run", "operation", "state", "begun", "rows", "of about", "columns"]
    rows = [
        [
            run.pk,
            run.operation,
            run.state,
            f"{run.created_at:%Y-%m-%d %H:%M}",
            runs.rows_done(run),
            run.rows_estimate,
            ", ".join(run.targets),
        ]
        for run in found
    ]
    return table(headings, rows)


def summary(run: MaintenanceRun) -> dict[str, Any]:
    """Return what a list of runs tells of one, for JSON."""
    return {
        "run": run.pk,
        "operation": run.operation,
        "state": run.state,
        "reason": run.reason,
        "created_at": run.created_at,
        "finished_at": run.finished_at,
        "rows": runs.rows_done(run),
        "rows_estimate": run.rows_estimate,
        "targets": run.targets,
    }


def document(run: MaintenanceRun, told: Progress) -> dict[str, Any]:
    """Return everything about one run, for JSON."""
    return {
        "finished": run.state == runs.State.FINISHED,
        "dry_run": False,
        "keys_made": told.keys_made,
        "last_pk": _last_key(run, told),
        "columns": [_numbers(counts, run.operation) for counts in told.counts.values()],
        "left": [asdict(cell) for cell in runs.left_cells(run)],
        **summary(run),
        "workers": told.workers,
        **left_out(run),
    }


def left_out(run: MaintenanceRun) -> dict[str, Any]:
    """Return the commands for the file fields that a run over columns leaves out, for JSON."""
    return {"left_out": run.options.get("left_out", [])}


def rehearsed(
    counts: Sequence[ColumnCounts], left: Sequence[BadCell], operation: str, last_pk: Any, *, finished: bool
) -> dict[str, Any]:
    """Return what a dry run found, for JSON."""
    return {
        "finished": finished,
        "dry_run": True,
        "keys_made": 0,
        "last_pk": last_pk,
        "columns": [_numbers(each, operation) for each in counts],
        "left": [asdict(cell) for cell in left],
    }


def way_on(run: MaintenanceRun) -> str:
    """Return how to go on with a run that was stopped."""
    where = "" if run._state.db == runs.usual_database() else f" --database {run._state.db}"
    on = f"--resume {run.pk}{where}"
    try:
        told = runs.progress(run)
    except DatabaseError:  # which may be what stopped it
        return f"Go on with: {on}"
    if run.state == runs.State.CANCELLED:
        return "What is done stays."
    if told.workers:
        return f"Other workers go on with run {run.pk}. Come back with: {on}"
    if not told.rows:
        return f"No row was changed. Go on with: {on}"
    last = _last_key(run, told)
    if last is None:
        return f"{told.rows} rows are done. Go on with: {on}"
    row = as_argument(last)
    return f"Everything up to row {row} is done. Go on with: {on}, or a new run with: --start-after {row}"


def _state(run: MaintenanceRun, told: Progress) -> str:
    line = f"Run {run.pk} is {run.state}: {told.rows} rows of about {max(run.rows_estimate, told.rows)}"
    if told.workers:
        line += f", {told.workers} workers"
    return f"{line}. {run.reason}".rstrip()


def _numbers(counts: ColumnCounts, operation: str) -> dict[str, Any]:
    numbers = asdict(counts)
    if operation in _VERBS:
        del numbers["kept"]  # every cell that can be opened is renewed
    return numbers


def _last_key(run: MaintenanceRun, told: Progress) -> Any:
    """Return the key up to which everything is done, in a run over one model."""
    models = {target.rpartition(".")[0] for target in run.targets}
    return from_text(model_of(models.pop()), told.position) if len(models) == 1 else None
