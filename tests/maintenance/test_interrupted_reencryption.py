"""``vault_reencrypt`` with other writers at work, interrupts and outages."""

import json
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection, connections
from django.test import override_settings

from django_workos_vault import vaults
from django_workos_vault.models import MaintenanceRun
from django_workos_vault.testing import RunningEmulator
from tests.app.models import Organization, Patient, Person
from tests.keyring.rings import fail_at_once
from tests.maintenance.reencrypting import cell_of, failing, key_of, people, reencrypt

pytestmark = pytest.mark.django_db


@contextmanager
def once_after(sql: str, act: Callable[[], None], calls: int = 1, table: str = "") -> Iterator[None]:
    """Run ``act`` after the ``calls``-th statement that begins with ``sql``, before its rows are used.

    ``table`` is one that the statement names.
    """
    seen = 0

    def wrapper(execute: Any, statement: str, *args: Any) -> Any:
        nonlocal seen
        result = execute(statement, *args)
        if sql in statement[:80] and table in statement:
            seen += 1
            if seen == calls:
                act()
        return result

    with connection.execute_wrapper(wrapper):
        yield


def in_thread(work: Callable[[], None]) -> threading.Thread:
    def run() -> None:
        try:
            work()
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


@pytest.mark.django_db(transaction=True)
def test_writer_between_reading_and_storing_keeps_its_value() -> None:
    """A row saved by another connection after it was read keeps what that one saved."""
    _, theirs, nulled = people(3)

    q = connection.ops.quote_name

    def write() -> None:
        Person.objects.filter(pk=theirs.pk).update(ssn="newer")
        Person.objects.filter(pk=nulled.pk).update(ssn=None)

    cells = f"{q('app_person')}.{q('ssn')} AS"
    with once_after("SELECT", lambda: in_thread(write).join(), table=cells):
        report = json.loads(reencrypt("app.Person.ssn", format="json"))
    assert report["columns"][0]["changed_meanwhile"] == 2
    assert report["columns"][0]["renewed"] == 1
    assert [p.ssn for p in Person.objects.order_by("pk")] == ["123-45-0000", "newer", None]


@pytest.mark.django_db(transaction=True)
def test_no_update_of_a_busy_writer_is_lost() -> None:
    """Rows rewritten all the time while the run goes over them end with the writer's last values."""
    expected = {row.pk: row.ssn for row in people(40)}
    done = threading.Event()

    def write() -> None:
        turn = 0
        while not done.is_set():
            turn += 1
            for pk in list(expected)[::3]:
                Person.objects.filter(pk=pk).update(ssn=f"turn {turn}")
                expected[pk] = f"turn {turn}"

    thread = in_thread(write)
    try:
        for _ in range(3):
            reencrypt("app.Person.ssn", batch_size=5)
    finally:
        done.set()
        thread.join()
    assert {p.pk: p.ssn for p in Person.objects.all()} == expected


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "postgresql", reason="needs PostgreSQL's list of waiting statements")
def test_writer_that_holds_the_row_wins() -> None:
    """A row locked by a transaction that has written but not committed is waited for, then left to it."""
    first, second = people(2)
    other = connection.copy()
    with other.cursor() as cursor:
        cursor.execute("BEGIN")
        binary = cell_of(first)  # an intact cell: that of the other row
        cursor.execute("UPDATE app_person SET ssn = %s WHERE id = %s", [binary, second.pk])

        def commit_when_waited_for() -> None:
            with connection.cursor() as watch:
                while True:
                    watch.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
                    if watch.fetchone()[0]:
                        break
            cursor.execute("COMMIT")

        thread = in_thread(commit_when_waited_for)
        report = json.loads(reencrypt("app.Person.ssn", format="json"))
        thread.join()
    other.close()
    assert report["columns"][0]["changed_meanwhile"] == 1
    assert cell_of(second) == binary


@pytest.mark.django_db(transaction=True)
def test_ctrl_c_finishes_the_batch_and_says_how_to_go_on(ctrl_c_works: None) -> None:
    """After an interrupt in the first batch it is done, the second as it was, and the run can go on."""
    rows = people(4)
    old = key_of(rows[0])
    interrupt = lambda: signal.raise_signal(signal.SIGINT)  # noqa: E731
    with once_after("UPDATE", interrupt, table="app_person"):
        error, _ = failing("app.Person.ssn", batch_size=2)
    assert error.returncode == 130
    run = MaintenanceRun.objects.get()
    assert f"--start-after {rows[1].pk}" in str(error)
    assert f"--resume {run.pk}" in str(error)
    assert [key_of(row) == old for row in rows] == [False, False, True, True]
    assert len({p.ssn for p in Person.objects.all()}) == 4
    first = cell_of(rows[0])
    text = reencrypt(resume=run.pk)
    assert "app.Person.ssn             4" in text
    assert "New data keys: 1." in text
    assert cell_of(rows[0]) == first
    assert key_of(rows[3]) == key_of(rows[0])


def emulated(emulator: RunningEmulator, **options: Any) -> Any:
    return override_settings(
        WORKOS_VAULTS={
            "default": {
                "BACKEND": "django_workos_vault.backends.workos.WorkOSVault",
                "KEY_CONTEXT": {"app": "tests"},
                "OPTIONS": {
                    "base_url": emulator.url,
                    "api_key": emulator.api_key,
                    **options,
                },
            }
        }
    )


def test_outage_stops_the_run_and_says_where(vault_emulator: RunningEmulator) -> None:
    """When Vault goes away midway, what is done is done, nothing else is touched, and the way on is named."""
    with emulated(vault_emulator):
        for name in ("org_1", "org_2"):
            organization = Organization.objects.create(name=name, workos_id=name)
            Patient.objects.create(organization=organization, ssn=name)
        first, second = Patient.objects.order_by("pk")
        cell = cell_of(second)
        vaults["default"].keyring.forget()

        def go_away() -> None:
            fail_at_once(vault_emulator)

        with once_after("UPDATE", go_away, table="app_patient"):
            error, out = failing("app.Patient", batch_size=1)
        assert "Stopped: " in str(error)
        assert f"--start-after {first.pk}" in str(error)
        assert cell_of(second) == cell
        assert vault_emulator.api_key not in out + str(error)


def test_wrong_api_key_changes_nothing(vault_emulator: RunningEmulator) -> None:
    """A refused API key ends the run before anything is written."""
    with emulated(vault_emulator):
        row = Person.objects.create(ssn="1")
    cell = cell_of(row)
    with emulated(vault_emulator, api_key="sk_test_wrong"):
        error, out = failing("app.Person.ssn")
    assert "No row was changed" in str(error)
    assert "sk_test_wrong" not in out + str(error)
    assert cell_of(row) == cell
