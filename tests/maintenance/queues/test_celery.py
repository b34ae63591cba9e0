"""``vault_reencrypt --celery``: chunks on RabbitMQ, with worker processes that are killed with -9."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection

from django_workos_vault import envelope, vaults
from django_workos_vault.fields import stored_cell
from django_workos_vault.maintenance.engine import runs
from tests.app.models import Person
from tests.maintenance.processes import in_databases_of_test
from tests.maintenance.reencrypting import failing, reencrypt

pytest.importorskip("celery")

BROKER = os.environ.get("VAULT_TEST_BROKER", "amqp://guest:guest@127.0.0.1:5672//")

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

ROWS, CHUNK = 3000, 200


@pytest.fixture
def celery_app(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    queue = f"vault_tests_{os.getpid()}_{time.time_ns()}"
    monkeypatch.setenv("VAULT_TEST_QUEUE", queue)
    in_databases_of_test(monkeypatch)
    sys.modules.pop("tests.maintenance.queues.celery_app", None)
    from tests.maintenance.queues.celery_app import app

    try:
        with app.connection_for_write() as broker:
            broker.ensure_connection(max_retries=1, interval_start=0, timeout=5)
    except Exception as exc:
        pytest.skip(f"no RabbitMQ answers: {type(exc).__name__}")
    yield app
    with app.connection_for_write() as broker:
        broker.default_channel.queue_delete(queue)


def worker(name: str) -> Any:
    """Start a worker: a process that forks two others, which do the work."""
    command = [sys.executable, "-m", "celery", "-A", "tests.maintenance.queues.celery_app", "worker"]
    options = ["--pool", "prefork", "-c", "2", "-n", name, "--loglevel", "ERROR", "--without-mingle"]
    return subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@contextmanager
def workers(*names: str) -> Iterator[list[Any]]:
    started = [worker(name) for name in names]
    try:
        yield started
    finally:
        for process in started:
            process.terminate()
        for process in started:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def at_work(run: Any) -> list[int]:
    """Return the process ids of those who have a chunk, once somebody does."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        names = run.chunks.filter(state="claimed", rows_done__gt=0).values_list("worker", flat=True)
        if names:
            return [int(name.split(":")[1]) for name in names]
        time.sleep(0.02)
    raise AssertionError("nobody works on the run")


def wait_for_its_end(run: Any) -> None:
    until = time.monotonic() + 120
    while run.state == runs.State.RUNNING and time.monotonic() < until:
        time.sleep(0.1)
        run.refresh_from_db()


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one worker")
def test_killed_workers_lose_no_chunk_and_count_none_twice(celery_app: Any) -> None:
    """A forked process and a whole worker die in the middle of a chunk. Their messages come again."""
    from django_workos_vault.maintenance.queues import on_celery

    Person.objects.bulk_create([Person(ssn=f"{n}", notes="n") for n in range(ROWS)])
    old = envelope.parse(stored_cell(Person.objects.all()[0], "ssn")).commitment
    fields = [Person._meta.get_field(name) for name in ("ssn", "notes")]
    options = {"batch_size": 40, "chunk_size": CHUNK, "max_rows_per_second": 600, "workers": 3}
    run = runs.begin(fields, "reseal", using="default", options=options)
    with workers("one", "two") as (one, _):
        for _ in range(3):
            on_celery.send(run.pk, "default")
        os.kill(at_work(run)[0], signal.SIGKILL)
        at_work(run)
        one.kill()
        wait_for_its_end(run)
    told = runs.progress(run)
    assert run.state == "finished", run.reason
    assert (told.rows, run.chunks.filter(state="done").count()) == (ROWS, ROWS // CHUNK)
    assert {counts.renewed for counts in told.counts.values()} == {ROWS}
    vaults["default"].keyring.forget()
    keys = set()
    for number, row in enumerate(Person.objects.order_by("pk")):
        assert (row.ssn, row.notes) == (f"{number}", "n")
        keys.add(envelope.parse(stored_cell(row, "ssn")).commitment)
    assert len(keys) == 1
    assert old not in keys


def test_the_command_sends_tasks_and_messages_hold_numbers_alone(celery_app: Any) -> None:
    """It says how to see what becomes of the run; a message says which run and database."""
    Person.objects.create(ssn="secret")
    assert "is on the queue, 2 at a time" in reencrypt("app.Person.ssn", celery=True, workers=2) or (
        connection.vendor == "sqlite"
    )
    run = runs.newest()[0]
    with celery_app.connection_for_write() as broker:
        message = broker.default_channel.basic_get(celery_app.conf.task_default_queue, no_ack=True)
    assert json.loads(message.body)[0] == [run.pk, "default"]
    assert run.state == "running"


@pytest.mark.parametrize("written_as", ["text", "json"])
def test_the_command_tells_of_files_that_it_leaves_out(celery_app: Any, written_as: str) -> None:
    told = reencrypt("files.FreeFolderFree", celery=True, format=written_as)
    assert "manage.py vault_reencrypt files.FreeFolderFree.file" in told


def test_a_broker_that_does_not_answer_is_told_before_anything_is_written(celery_app: Any) -> None:
    celery_app.conf.broker_write_url = "amqp://guest:guest@127.0.0.1:9//"
    Person.objects.create(ssn="1")
    try:
        error, _ = failing("app.Person.ssn", celery=True)
    finally:
        celery_app.conf.broker_write_url = BROKER
    assert "broker does not answer" in str(error)
    assert runs.newest() == []
