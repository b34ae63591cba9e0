"""``vault_reencrypt --workers 2`` as a command of its own: progress, signals, and workers that die."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from django_workos_vault import envelope, vaults
from django_workos_vault.fields import stored_cell
from django_workos_vault.maintenance.engine import runs
from django_workos_vault.models import MaintenanceRun
from tests.app.models import Person
from tests.maintenance.noting import keys
from tests.maintenance.processes import in_databases_of_test
from tests.maintenance.reencrypting import reencrypt

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

ROWS = 300
on_a_server = pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one worker")


@pytest.fixture
def before(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Store rows for processes to go over; return the data keys that there are."""
    in_databases_of_test(monkeypatch)
    Person.objects.bulk_create([Person(ssn=f"123-45-{n:04}") for n in range(ROWS)])
    return keys()


class Command:
    """``manage.py vault_reencrypt`` in a session of its own, with files for what it says."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.out, self.err = folder / "out", folder / "err"
        command = [sys.executable, "-m", "django", "vault_reencrypt", *arguments]
        with self.out.open("w") as out, self.err.open("w") as err:
            self.process = subprocess.Popen(command, stdout=out, stderr=err, start_new_session=True)

    def ended(self) -> int:
        return self.process.wait(120)

    def at_work(self, number: int) -> MaintenanceRun:
        """Wait until ``number`` workers have committed a batch each; return the run."""
        until = time.monotonic() + 60
        while time.monotonic() < until and self.process.poll() is None:
            for run in runs.newest():
                if len(workers(run)) >= number:
                    return run
            time.sleep(0.1)
        raise AssertionError(self.err.read_text())


def workers(run: MaintenanceRun) -> set[int]:
    claimed = run.chunks.filter(state="claimed", rows_done__gt=0)
    return {int(name.split(":")[1]) for name in claimed.values_list("worker", flat=True)}


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Any]:
    begun: list[Command] = []

    def begin(*arguments: str) -> Command:
        begun.append(Command(tmp_path, *arguments))
        return begun[-1]

    yield begin
    for each in begun:
        if each.process.poll() is None:
            os.killpg(each.process.pid, signal.SIGKILL)
            each.process.wait()


def paused_run(rate: int) -> MaintenanceRun:
    options = {"batch_size": 5, "chunk_size": 20, "max_rows_per_second": rate}
    run = runs.begin([Person._meta.get_field("ssn")], "reseal", using="default", options=options)
    runs.pause(run)
    return run


def all_renewed(run: MaintenanceRun, before: set[str]) -> None:
    """Every row once, all under one new key, and as they were."""
    run.refresh_from_db()
    told = runs.progress(run)
    assert (run.state, told.rows, told.counts["app.Person.ssn"].renewed) == ("finished", ROWS, ROWS)
    made = keys() - before
    assert len(made) == 1
    vaults["default"].keyring.forget()
    rows = list(Person.objects.order_by("pk"))
    assert [row.ssn for row in rows] == [f"123-45-{n:04}" for n in range(ROWS)]
    assert {envelope.parse(stored_cell(row, "ssn")).commitment.hex() for row in rows} == made


def test_progress_and_the_document(before: set[str], command: Any) -> None:
    """JSON lines every few seconds while it runs, a document at the end, and nothing of a value in either."""
    run = paused_run(rate=40)
    told = command("--resume", str(run.pk), "--workers", "2", "--format", "json")
    assert told.ended() == 0, told.err.read_text()
    document = json.loads(told.out.read_text())
    assert (document["finished"], document["rows"], document["left"]) == (True, ROWS, [])
    said = told.err.read_text().splitlines()
    if connection.vendor == "sqlite":
        assert said.pop(0) == "SQLite has one writer: one worker."
    lines = [json.loads(line) for line in said]
    assert lines
    for line in lines:
        assert (line["run"], line["of"]) == (run.pk, ROWS)
        assert 0 <= line["rows"] <= ROWS
    assert 0 < lines[-1]["rows_per_second"] < ROWS
    assert "123-45" not in told.out.read_text() + told.err.read_text()
    all_renewed(run, before)


def test_lines_in_a_log(before: set[str], command: Any) -> None:
    """Where stderr is no terminal, a line of text every few seconds."""
    run = paused_run(rate=40)
    told = command("--resume", str(run.pk))
    assert told.ended() == 0, told.err.read_text()
    line = rf"Run {run.pk}: \d+ of {ROWS} rows, \d+ rows a second, about \d+ seconds left"
    lines = told.err.read_text().splitlines()
    assert lines
    assert all(re.fullmatch(line, each) for each in lines), lines
    assert f"Run {run.pk} is finished: {ROWS} rows of about {ROWS}." in told.out.read_text()


@on_a_server
@pytest.mark.parametrize("to_all", [False, True], ids=["SIGTERM", "Ctrl-C"])
def test_signals_are_passed_on(before: set[str], command: Any, to_all: bool) -> None:
    """SIGTERM for the command, or Ctrl-C for all at a terminal: workers finish a batch, and it can go on."""
    run = paused_run(rate=40)
    told = command("--resume", str(run.pk), "--workers", "2")
    told.at_work(2)
    if to_all:
        os.killpg(told.process.pid, signal.SIGINT)
    else:
        told.process.terminate()
    assert told.ended() == 130, told.err.read_text()
    run.refresh_from_db()
    progress = runs.progress(run)
    assert (run.state, run.reason, progress.workers) == ("paused", "Interrupted.", 0)
    assert 0 < progress.rows < ROWS
    assert progress.rows % 5 == 0
    error = told.err.read_text()
    assert f"--resume {run.pk}" in error
    assert "Traceback" not in error
    run.options["max_rows_per_second"] = 10_000
    run.save(update_fields=["options"])
    reencrypt(resume=run.pk)
    all_renewed(run, before)


@on_a_server
def test_every_worker_dies(before: set[str], command: Any) -> None:
    """Killed with -9, all of them: the command ends at once with status 1, the reason and the way on."""
    run = paused_run(rate=40)
    told = command("--resume", str(run.pk), "--workers", "2")
    told.at_work(2)
    for pid in workers(run):
        os.kill(pid, signal.SIGKILL)
    assert told.ended() == 1
    run.refresh_from_db()
    assert (run.state, run.reason) == ("paused", "Every worker process has died.")
    error = told.err.read_text()
    assert "Stopped: Every worker process has died." in error
    assert f"Go on with: --resume {run.pk}" in error
    run.options["max_rows_per_second"] = 10_000
    run.save(update_fields=["options"])
    reencrypt(resume=run.pk)
    all_renewed(run, before)
