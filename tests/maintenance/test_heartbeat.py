"""A worker that waits longer than its lease keeps its chunk; one that hangs, or is dead, does not."""

import threading
import time
from typing import Any

import pytest
from django.db import connection, connections

from django_workos_vault import vaults
from django_workos_vault.maintenance.engine import chunks, heartbeat, runs
from django_workos_vault.maintenance.engine.work import Worker
from django_workos_vault.models import MaintenanceChunk, MaintenanceRun
from django_workos_vault.testing import RunningEmulator
from tests.app.models import Person
from tests.maintenance.reencrypting import people

LEASE = 3.0
on_a_server = pytest.mark.skipif(connection.vendor == "sqlite", reason="threads have no second connection")


def begun(**options: Any) -> MaintenanceRun:
    fields = [Person._meta.get_field("ssn")]
    return runs.begin(fields, "reseal", using="default", options={"batch_size": 2, **options})


class Thief:
    """A thread of another worker that takes any chunk that is free."""

    def __init__(self, run: MaintenanceRun) -> None:
        self._run = runs.find(run.pk)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._try)
        self.stolen: list[MaintenanceChunk] = []

    def __enter__(self) -> "Thief":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def _try(self) -> None:
        while not self._over.wait(0.05):
            if MaintenanceChunk.objects.filter(state="claimed").exists():
                self.stolen += filter(None, [chunks.claim(self._run, [Person], "thief")])
        connections.close_all()


@pytest.mark.django_db(transaction=True)
@on_a_server
def test_vault_is_slow(remote_vault: RunningEmulator) -> None:
    """A batch that waits for its keys three times as long as the lease is still its worker's."""
    people(4)
    vaults["default"].keyring.forget()
    run = begun(chunk_size=10)
    remote_vault.faults.latency = LEASE
    with Thief(run) as thief:
        Worker(run, lease=LEASE).work()
    assert thief.stolen == []
    assert (run.state, runs.progress(run).rows, runs.progress(run).counts["app.Person.ssn"].renewed) == (
        "finished",
        4,
        4,
    )


@pytest.mark.django_db(transaction=True)
@on_a_server
def test_a_worker_that_hangs(remote_vault: RunningEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a silence that no batch takes, another goes on with its chunk."""
    monkeypatch.setattr(heartbeat, "LONGEST_SILENCE", 0.1)
    people(2)
    vaults["default"].keyring.forget()
    run = begun()
    remote_vault.faults.latency = 1.5 * LEASE
    with Thief(run) as thief:
        Worker(run, lease=LEASE).one_chunk()
    assert thief.stolen


@pytest.mark.django_db
def test_a_limit_of_rows() -> None:
    """Between two batches that a limit keeps apart for longer than the lease, the chunk stays claimed."""
    people(4)
    lease = 1.5
    run = begun(max_rows_per_second=0.8)
    left = []

    def look() -> bool:
        for until in MaintenanceChunk.objects.filter(state="claimed").values_list("lease_until", flat=True):
            left.append(until - time.time())
        return False

    Worker(run, lease=lease, stop=look).work()
    assert len(left) > 10
    assert min(left) > 0


@pytest.mark.django_db
def test_a_long_wait_ends_when_the_run_is_paused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pause is not put off until a limit allows the next batch."""
    people(4)
    run = begun(max_rows_per_second=0.01)
    looks = 0

    def somebody_pauses() -> bool:
        nonlocal looks
        looks += 1
        if looks == 5:
            runs.pause(runs.find(run.pk))
        return False

    began = time.monotonic()
    Worker(run, stop=somebody_pauses).work()
    assert time.monotonic() - began < 60
    run.refresh_from_db()
    assert (run.state, runs.progress(run).rows) == ("paused", 2)
