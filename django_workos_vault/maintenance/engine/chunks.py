"""Ranges of primary keys: made one after the other, claimed by one worker each, given up when it dies.

A chunk is found by keyset: the query for the next one begins behind the last key of the one before.
"""

import time
from collections.abc import Sequence

from django.db import connections, transaction
from django.db.models import Model, Q, QuerySet

from django_workos_vault.maintenance.engine.keys import as_text, between, from_text
from django_workos_vault.maintenance.engine.names import is_dead
from django_workos_vault.models import MaintenanceChunk, MaintenanceRun

#: Seconds that a worker may be silent. Each batch renews them, and a heartbeat during one that takes long.
LEASE = 60.0
#: Rows in a chunk.
CHUNK_SIZE = 10_000

_WAITING, _CLAIMED = MaintenanceChunk.State.WAITING, MaintenanceChunk.State.CLAIMED


def claim(
    run: MaintenanceRun, models: Sequence[type[Model]], worker: str, lease: float = LEASE
) -> MaintenanceChunk | None:
    """Take a chunk of a running run for ``worker``: one given up by another, else the next one.

    ``models`` are the run's, in order. None where every row is in a chunk that is done or somebody's.
    """
    return _given_up(run, worker, lease) or _next(run, models, worker, lease)


def release(chunk: MaintenanceChunk) -> None:
    """Give a chunk up at its position, for any worker to go on with."""
    mine(chunk).update(state=_WAITING, worker="", lease_until=0)


def renew(chunk: MaintenanceChunk, lease: float) -> None:
    """Have the chunk stay this worker's for ``lease`` seconds from now, if it still is."""
    mine(chunk).update(lease_until=time.time() + lease)


def mine(chunk: MaintenanceChunk) -> "QuerySet[MaintenanceChunk]":
    """Return the chunk's row, as long as it is this worker's."""
    rows = MaintenanceChunk.objects.using(chunk._state.db)
    return rows.filter(pk=chunk.pk, state=_CLAIMED, worker=chunk.worker)


def others_at_work(run: MaintenanceRun) -> bool:
    """Whether a chunk is claimed, so that the run may not be over."""
    chunks = MaintenanceChunk.objects.using(run._state.db)
    return chunks.filter(run=run).exclude(state=MaintenanceChunk.State.DONE).exists()


def _given_up(run: MaintenanceRun, worker: str, lease: float) -> MaintenanceChunk | None:
    using = run._state.db or "default"
    chunks = MaintenanceChunk.objects.using(using).filter(run=run)
    free = Q(state=_WAITING) | Q(state=_CLAIMED, lease_until__lt=time.time())
    dead = [name for name in _workers(chunks) if is_dead(name)]
    if dead:
        free |= Q(state=_CLAIMED, worker__in=dead)
    with transaction.atomic(using=using):
        waiting = chunks.filter(free).order_by("ordinal")
        if connections[using].features.has_select_for_update_skip_locked:
            waiting = waiting.select_for_update(skip_locked=True)
        chunk = waiting.first()
        if chunk is None:
            return None
        # The condition again: without SKIP LOCKED another may have been faster.
        taken = chunks.filter(pk=chunk.pk, worker=chunk.worker, lease_until=chunk.lease_until)
        claimed = {"state": _CLAIMED, "worker": worker, "lease_until": time.time() + lease}
        if not taken.update(**claimed):
            return None
        chunk.refresh_from_db()
    return chunk


def _workers(chunks: "QuerySet[MaintenanceChunk]") -> list[str]:
    return list(chunks.filter(state=_CLAIMED).values_list("worker", flat=True))


def _next(
    run: MaintenanceRun, models: Sequence[type[Model]], worker: str, lease: float
) -> MaintenanceChunk | None:
    using = run._state.db or "default"
    rows = MaintenanceRun.objects.using(using).filter(pk=run.pk, state=MaintenanceRun.State.RUNNING)
    while True:
        run.refresh_from_db()
        if run.next_model >= len(models):
            return None
        model, made = models[run.next_model], run.next_ordinal
        found = _bounds(run, model)
        upper = found or ""
        last = not upper  # what follows the last whole chunk is one chunk without an end
        turn = {
            "next_model": run.next_model + last,
            "next_lower": upper,
            "next_ordinal": made + (found is not None),
        }
        with transaction.atomic(using=using):
            if not rows.filter(next_ordinal=made, next_model=run.next_model).update(**turn):
                if not rows.exists():
                    return None
                continue  # another worker made it
            if found is not None:
                return MaintenanceChunk.objects.using(using).create(
                    run=run,
                    ordinal=made,
                    model=model._meta.label,
                    lower=run.next_lower,
                    upper=upper,
                    position=run.next_lower,
                    state=_CLAIMED,
                    worker=worker,
                    lease_until=time.time() + lease,
                )


def _bounds(run: MaintenanceRun, model: type[Model]) -> str | None:
    """Return the last key of the next chunk, no text where nothing would follow it; None where no row is."""
    size = run.options.get("chunk_size", CHUNK_SIZE)
    rows = between(QuerySet(model, using=run._state.db), from_text(model, run.next_lower))
    keys = list(rows.values_list("pk", flat=True)[size - 1 : size + 1])
    if len(keys) == 2:
        return as_text(keys[0])
    return "" if keys or rows.exists() else None
