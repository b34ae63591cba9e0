"""A run does what was asked, on the rows that were asked for, whatever else happens to them."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction
from django.test import override_settings

from django_workos_vault.maintenance.engine import runs
from django_workos_vault.maintenance.engine.work import Worker
from django_workos_vault.models import MaintenanceChunk, MaintenanceRun
from tests.app.models import NumberedNote, Person
from tests.maintenance.noting import begin, notes
from tests.maintenance.reencrypting import cell_of, failing, people, reencrypt

pytestmark = pytest.mark.django_db(transaction=True)


@contextmanager
def before_first(table: str, what: Callable[[], Any]) -> Iterator[None]:
    """Do ``what`` just before the first batch is written to ``table``."""
    todo = [what]

    def wrapper(execute: Any, statement: str, *args: Any) -> Any:
        if (
            todo
            and table in statement
            and "UPDATE" in statement
            and not statement.startswith("SELECT")
            and connection.in_atomic_block
        ):
            todo.pop()()
        return execute(statement, *args)

    with connection.execute_wrapper(wrapper):
        yield


@pytest.mark.parametrize("options", [{"dry_run": True}, {"plan": True}, {"where": "name=Eve"}])
def test_going_on_takes_no_options_of_a_new_run(options: dict[str, Any]) -> None:
    """``--resume RUN --dry-run`` would write what it says that it does not."""
    [row] = people(1)
    run = runs.begin([Person._meta.get_field("ssn")], "reseal", using="default")  # type: ignore[list-item]
    runs.pause(run)
    old = cell_of(row)
    error, _ = failing(resume=run.pk, **options)
    assert f"--{next(iter(options)).replace('_', '-')}" in str(error)
    run.refresh_from_db()
    assert (cell_of(row), run.state) == (old, "paused")


@pytest.mark.parametrize("asked", [("pause", "cancel"), ("status", "resume"), ("list", "pause")])
def test_one_thing_at_a_time(asked: tuple[str, str]) -> None:
    """Of two things that were asked for, none is left out in silence."""
    run = runs.begin([Person._meta.get_field("ssn")], "reseal", using="default")  # type: ignore[list-item]
    error, _ = failing(**{each: each == "list" or run.pk for each in asked})
    assert all(f"--{each}" in str(error) for each in asked)
    run.refresh_from_db()
    assert run.state == "running"


def test_a_column_of_whole_rows_beside_one_of_some() -> None:
    """A column whose static context is meant is gone through whole, whatever its neighbours' contexts say."""
    with override_settings(
        WORKOS_VAULTS={"default": {**_vault(), "KEY_CONTEXT": {"organization_id": "org_0"}}}
    ):
        notes(NumberedNote, 4)
        for row in NumberedNote.objects.all():
            row.extra = "extra"
            row.save()
        told = json.loads(reencrypt("app.NumberedNote", where="organization_id=org_0", format="json"))
    assert {c["column"]: c["renewed"] for c in told["columns"]} == {
        "app.NumberedNote.text": 1,
        "app.NumberedNote.extra": 4,
    }


def test_a_row_that_is_meant_no_longer() -> None:
    """Its plain column changes between reading and writing: the run goes on, and the cell opens."""
    rows = people(3)
    run = runs.begin(
        [Person._meta.get_field("ssn")],  # type: ignore[list-item]
        "reseal",
        using="default",
        options={"where": "name=Ada", "verify": True},
    )
    with before_first("app_person", lambda: Person.objects.filter(pk=rows[1].pk).update(name="Eve")):
        Worker(run).work()
    run.refresh_from_db()
    assert run.state == "finished"
    assert runs.progress(run).counts["app.Person.ssn"].renewed == 3
    assert [row.ssn for row in Person.objects.order_by("pk")] == [row.ssn for row in rows]


def test_a_worker_does_not_go_on_as_another() -> None:
    """Silent between a batch and the next one for longer than its lease, it lets go of the chunk."""
    notes(NumberedNote, 6)
    run = begin(NumberedNote, "reseal", chunk_size=6)

    def taken() -> None:
        MaintenanceChunk.objects.filter(run=run).update(worker="another", lease_until=2**33)

    done: list[int] = []
    with before_first("django_workos_vault_maintenancechunk", lambda: transaction.on_commit(taken)):
        worker = Worker(run, stop=lambda: len(done) > 5, told=done.append)
        assert worker.one_chunk()
    chunk = MaintenanceChunk.objects.get()
    assert (chunk.worker, chunk.state, chunk.rows_done) == ("another", "claimed", 2)


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -1.0])
def test_no_number_of_seconds(seconds: float) -> None:
    """Of which JSON knows no more than of a batch that never ends."""
    error, _ = failing("app.Person", batch_seconds=seconds)
    assert str(error) == "--batch-seconds is a number of seconds."


@pytest.mark.parametrize("key", ["a", "[1", "7", '["a"]', '["a", "b"]'])
def test_no_primary_key_of_two_columns(key: str) -> None:
    """One line."""
    error, _ = failing("app.PlacedNote", start_after=key)
    assert str(error).startswith("--start-after: ")
    assert not MaintenanceRun.objects.exists()


def test_tables_that_are_there_are_not_called_missing() -> None:
    """Another fault of the database is not mended by migrating."""

    def refuse(execute: Any, statement: str, *args: Any) -> Any:
        if "maintenancerun" in statement:
            raise OperationalError("too many connections")
        return execute(statement, *args)

    with connection.execute_wrapper(refuse):
        error, _ = failing("app.Person")
    assert "migrate" not in str(error)
    assert "did not answer" in str(error)


def _vault() -> dict[str, Any]:
    from django.conf import settings

    return dict(settings.WORKOS_VAULTS["default"])
