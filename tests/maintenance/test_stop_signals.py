"""Signals that come again while real processes finish their batches: what is one request stays one."""

import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection

from django_workos_vault.maintenance.engine import runs
from django_workos_vault.models import MaintenanceRun
from tests.maintenance.reencrypting import reencrypt
from tests.maintenance.test_worker_processes import all_renewed, before, command, paused_run

__all__ = ["before", "command"]  # fixtures

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.slow,
    pytest.mark.skipif(connection.vendor != "postgresql", reason="the trigger is written for PostgreSQL"),
]

#: rows of a batch of :func:`paused_run`
BATCH = 5


@pytest.fixture
def slow_writes(before: set[str]) -> Iterator[None]:
    """Have a batch be written for two seconds, in which signals can meet it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION slowly() RETURNS trigger AS "
            "$$ BEGIN PERFORM pg_sleep(0.4); RETURN NEW; END $$ LANGUAGE plpgsql"
        )
        cursor.execute(
            "CREATE TRIGGER slow BEFORE UPDATE ON app_person FOR EACH ROW EXECUTE FUNCTION slowly()"
        )
    yield
    fast_writes()


def fast_writes() -> None:
    with connection.cursor() as cursor:
        cursor.execute("DROP FUNCTION IF EXISTS slowly CASCADE")


def begin_to_write(workers: int) -> None:
    """Wait until so many workers are at the beginning of a batch's statement."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*), max(now() - query_start) < interval '1 second' FROM pg_stat_activity "
                "WHERE datname = current_database() AND wait_event = 'PgSleep'"
            )
            number, young = cursor.fetchone()
        if number == workers and young:
            return
        time.sleep(0.02)
    raise AssertionError("the workers never wrote at one time")


def ended_as_interrupted(told: Any, run: MaintenanceRun) -> int:
    """Return how many rows are done in a run that a signal stopped, and whose workers are gone."""
    assert told.ended() == 130, told.err.read_text()
    assert "Traceback" not in told.err.read_text()
    assert f"--resume {run.pk}" in told.err.read_text()
    run.refresh_from_db()
    progress = runs.progress(run)
    assert (run.state, run.reason, progress.workers) == ("paused", "Interrupted.", 0)
    return progress.rows


def goes_on(run: MaintenanceRun, old_keys: set[str]) -> None:
    fast_writes()
    run.options["max_rows_per_second"] = 10_000
    run.save(update_fields=["options"])
    reencrypt(resume=run.pk)
    all_renewed(run, old_keys)


@pytest.mark.parametrize("signals", ["Ctrl-C for all", "SIGTERM twice", "SIGTERM, then Ctrl-C for all"])
def test_workers_finish_their_batches(
    before: set[str], slow_writes: None, command: Any, signals: str
) -> None:
    """At a terminal Ctrl-C reaches workers twice, from it and from their parent; a second signal for the
    command alone reaches none. Each worker commits the batch that it is in.
    """
    run = paused_run(rate=10_000)
    told = command("--resume", str(run.pk), "--workers", "2")
    begin_to_write(2)
    done = runs.progress(run).rows
    if signals == "Ctrl-C for all":
        os.killpg(told.process.pid, signal.SIGINT)
    else:
        told.process.terminate()
        time.sleep(0.7)  # it looks every half second, and tells its workers
        if signals == "SIGTERM twice":
            told.process.terminate()
        else:
            os.killpg(told.process.pid, signal.SIGINT)
    assert ended_as_interrupted(told, run) == done + 2 * BATCH
    goes_on(run, before)


def test_the_same_again_interrupts(
    before: set[str], slow_writes: None, command: Any, ctrl_c_works: None
) -> None:
    """One worker, Ctrl-C twice: the batch is taken back, nothing is lost or counted, and the run goes on."""
    run = paused_run(rate=10_000)
    told = command("--resume", str(run.pk))
    begin_to_write(1)
    done = runs.progress(run).rows
    for _ in range(2):
        told.process.send_signal(signal.SIGINT)
        time.sleep(0.3)
    assert ended_as_interrupted(told, run) == done
    goes_on(run, before)
