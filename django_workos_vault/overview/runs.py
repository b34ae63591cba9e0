"""Runs of maintenance and how far they are, of every database that has encrypted columns."""

from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.db import DatabaseError, models, router

from django_workos_vault.maintenance import cells
from django_workos_vault.maintenance.engine import runs
from django_workos_vault.models import MaintenanceChunk, MaintenanceRun

#: runs of a database that are shown
SHOWN = 5


@dataclass(frozen=True, slots=True)
class RunStatus:
    """A run, where it is, and how much of it is done: ``percent`` of the rows estimated when it began."""

    run: MaintenanceRun
    using: str
    rows: int
    percent: float

    @property
    def targets(self) -> str:
        return ", ".join(self.run.targets)

    @property
    def verbs(self) -> list[str]:
        """What may be done to it."""
        if self.run.state == runs.State.RUNNING:
            return ["pause", "cancel"]
        return ["resume", "cancel"] if self.run.state in runs.UNFINISHED else []


def databases() -> list[str]:
    """Return the aliases of the databases where runs may be."""
    used = {router.db_for_write(model) for model in apps.get_models() if cells.encrypted_fields(model)}
    return sorted(used | {runs.usual_database()})


def newest_runs() -> list[RunStatus]:
    """Return the newest runs of each database, the newest first."""
    found: list[RunStatus] = []
    for using in databases():
        try:
            newest = runs.newest(using, SHOWN)
        except runs.RunRefused:  # no tables: vault_check tells
            continue
        done = _rows_done(newest, using) if newest else {}
        found += [_status(run, using, done.get(run.pk, 0)) for run in newest]
    return sorted(found, key=lambda status: status.run.created_at, reverse=True)


def _rows_done(newest: list[MaintenanceRun], using: str) -> dict[Any, int]:
    chunks = MaintenanceChunk.objects.using(using).filter(run__in=newest).order_by()
    try:
        return dict(chunks.values_list("run").annotate(models.Sum("rows_done")))
    except DatabaseError:
        return {}


def _status(run: MaintenanceRun, using: str, rows: int) -> RunStatus:
    if run.state == runs.State.FINISHED:
        return RunStatus(run, using, rows, 100.0)
    return RunStatus(run, using, rows, min(99.0, 100 * rows / max(1, run.rows_estimate)))
