"""However a run or its report ends: the run can be gone on with, and what was done is told."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command, load_command_class
from django.db import OperationalError, connection
from django.test import override_settings

from django_workos_vault import vaults
from django_workos_vault.access import Entry
from django_workos_vault.maintenance.engine import runs
from django_workos_vault.management.output import tell
from django_workos_vault.models import DataKeyRecord, IndexKeyRecord, MaintenanceChunk, MaintenanceRun
from tests.app.models import Organization, Patient, Person
from tests.maintenance.forgetting.forgetting import CONTEXT, LOCAL, customer, vault_of
from tests.maintenance.forgetting.forgetting import failing as failing_to_forget
from tests.maintenance.processes import in_databases_of_test
from tests.maintenance.reencrypting import failing, people, reencrypt
from tests.maintenance.test_interrupted_reencryption import once_after

CHECKOUT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")


def begun(**changes: Any) -> MaintenanceRun:
    people(2)
    run = runs.begin([Person._meta.get_field("ssn")], "reseal", using="default")
    MaintenanceRun.objects.filter(pk=run.pk).update(state="paused", **changes)
    return run


def state() -> str:
    return MaintenanceRun.objects.get().state


def test_an_operation_of_another_release() -> None:
    """Its run is not taken up, and can be cancelled."""
    run = begun(operation="shred")
    error, _ = failing(resume=run.pk)
    assert "this release knows no operation 'shred'" in str(error)
    assert state() == "paused"
    reencrypt(cancel=run.pk)
    assert state() == "cancelled"


def test_a_condition_that_the_code_has_no_column_for_any_more() -> None:
    """The run is paused again, and does not stand in the way of others as one that is under way."""
    run = begun(options={"where": "surname=Lovelace"})
    error, _ = failing(resume=run.pk)
    assert "'surname' is no item of a key context" in str(error)
    assert (state(), MaintenanceRun.objects.get().reason) == ("paused", "UnknownCondition.")
    reencrypt("app.Person.ssn")


@pytest.mark.parametrize(
    "where", ["name=\udcff", "name=a\0b", "email=x", "id=abc", "id=1.5"], ids=lambda where: ascii(where)
)
@pytest.mark.parametrize("how", [{}, {"plan": True}, {"dry_run": True}], ids=lambda how: "".join(how))
def test_conditions_that_no_row_can_meet(where: str, how: dict[str, Any]) -> None:
    """Bytes that are no text, or what the column's type does not hold, are refused in one line."""
    error, _ = failing("app.Person", where=where, **how)
    assert "holds no such value" in str(error) or "no plain column" in str(error)
    assert not MaintenanceRun.objects.exists()


def test_a_row_to_start_after_that_is_no_text() -> None:
    error, _ = failing("app.Unit", start_after="\udcff")
    assert "is no primary key" in str(error)


def test_a_database_that_fails_when_the_end_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where it went away in the middle: one line, with the way to go on."""
    people(3)

    def away(execute: Any, sql: str, *rest: Any) -> Any:
        if ("app_person" in sql and sql.startswith("UPDATE")) or failed:
            failed.append(sql)
            raise OperationalError("the server has gone away")
        return execute(sql, *rest)

    failed: list[str] = []
    with connection.execute_wrapper(away), pytest.raises(CommandError) as caught:
        call_command("vault_reencrypt", "app.Person.ssn", batch_size=1)
    run = MaintenanceRun.objects.get()
    assert str(caught.value) == f"Stopped by the database: OperationalError. Go on with: --resume {run.pk}"
    MaintenanceChunk.objects.update(lease_until=0)  # or it waits for this process, which is there still
    assert f"Run {run.pk} is finished: 3 rows" in reencrypt(resume=run.pk)


def of_too_many_rows(execute: Any, sql: str, *rest: Any) -> Any:
    """Give statements the time that some rows take, as a server does that has a limit for it."""
    limit = re.search(r" LIMIT ([0-9]+)$", sql)
    if limit and "app_person" in sql and int(limit[1]) > 4:
        raise OperationalError("canceling statement due to statement timeout")
    return execute(sql, *rest)


def test_rows_that_are_not_found_in_time() -> None:
    """Fewer are asked for, as where they cannot be written in time."""
    people(12)
    with connection.execute_wrapper(of_too_many_rows):
        document = json.loads(reencrypt("app.Person.ssn", format="json", batch_size=10))
    assert (document["state"], document["columns"][0]["renewed"]) == ("finished", 12)


@pytest.mark.parametrize("how", ["dry_run", "plan"])
def test_a_look_that_the_database_ends(how: str) -> None:
    people(2)
    with connection.execute_wrapper(of_too_many_rows):
        error, _ = failing("app.Person.ssn", **{how: True})
    assert str(error).startswith("Stopped by the database: OperationalError. No")


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Any]:
    """Run a command in the databases of the test, with some of its streams closed."""
    in_databases_of_test(monkeypatch)

    def run(*arguments: str, closed: tuple[int, ...]) -> Any:
        closing = "".join(f" {number}>&-" for number in closed)
        return subprocess.run(
            ["/bin/sh", "-c", f'exec "$@"{closing}', "sh", sys.executable, "-m", "django", *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
            capture_output=True,
            check=False,
            timeout=120,
        )

    return run


@pytest.mark.parametrize("closed", [(1,), (2,), (0, 1, 2)], ids=str)
@pytest.mark.parametrize("workers", ["1", "2"])
def test_streams_that_were_closed(command: Any, closed: tuple[int, ...], workers: str) -> None:
    """As a daemon's may be, before the command began: it does its work, and says what it can."""
    people(3)
    done = command("vault_reencrypt", "app.Person", "--workers", workers, closed=closed)
    assert (done.returncode, state()) == (0, "finished")
    assert (b"is finished: 3 rows" in done.stdout) is (closed == (2,))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_progress_that_no_disk_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not what a run ends for."""
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stderr", full)
        tell("Run 1: 5 of 10 rows")
        tell("Run 1: 10 of 10 rows")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
@pytest.mark.parametrize("form", ["text", "json"])
def test_a_report_that_no_disk_takes(form: str) -> None:
    """What was destroyed is told all the same, and that the file has nothing of it."""
    with vault_of("reference"):
        vaults["default"].rotate({"organization_id": "org_1"})
        customer("org_1")
        error, out = failing_to_forget(CONTEXT, report=Path("/dev/full"), format=form)
    assert str(error).startswith("The report above was not written to /dev/full: [Errno 28]")
    if form == "json":
        assert json.loads(out)["done"]["finished"]
    else:
        assert "Destroyed:" in out
    assert not DataKeyRecord.objects.filter(key_context={"organization_id": "org_1"}).exists()


@pytest.mark.parametrize("when", ["looking", "keys", "roots"])
def test_a_database_that_fails_while_a_customer_is_forgotten(when: str) -> None:
    """What is destroyed by then is told; run again, it does the rest."""
    table = {"looking": "app_patient", "keys": "datakeyrecord", "roots": "indexkeyrecord"}[when]
    verb = "SELECT" if when == "looking" else "DELETE"

    def fails(execute: Any, sql: str, *rest: Any) -> Any:
        if sql.startswith(verb) and table in sql:
            raise OperationalError("canceling statement due to lock timeout")
        return execute(sql, *rest)

    alone = {**LOCAL, "KEY_CONTEXT": {"organization_id": "org_1"}}  # no field is of it: so its root key goes
    with override_settings(WORKOS_VAULTS={"default": {**LOCAL, "KEY_CONTEXT": {"app": "x"}}, "alone": alone}):
        vaults["alone"].rotate({"organization_id": "org_1"})
        vaults["alone"].index_keys.key(1, b"x")
        with connection.execute_wrapper(fails):
            error, out = failing_to_forget(CONTEXT, format="json")
        if when == "looking":
            assert str(error) == "Nothing was changed. The database: OperationalError."
        else:
            assert str(error).startswith("Stopped by the database: OperationalError. Run it again")
            done = json.loads(out)["done"]
            assert (len(done["data_keys"]), done["index_root_keys"], done["finished"]) == (
                int(when == "roots"),
                [],
                False,
            )
        assert DataKeyRecord.objects.exists() is (when != "roots")
        out = StringIO()
        call_command("vault_forget", CONTEXT, yes=True, stdout=out)
    assert not DataKeyRecord.objects.exists()
    assert not IndexKeyRecord.objects.exists()


LOOKS = {
    "vault_check": ["--sample", "1"],
    "vault_index_plan": ["app.Person.ssn"],
    "vault_access_records": ["--prune", "--before", "2020-01-01"],
    "vault_reencrypt": ["app.Person", "--plan"],
}


@pytest.mark.parametrize("name", LOOKS)
def test_ctrl_c_while_it_looks(name: str, ctrl_c_works: None, capsys: pytest.CaptureFixture[str]) -> None:
    """One line, and the exit status that the page names: no traceback, and no death by a signal."""
    people(1)
    vaults.access_records().append([Entry("reveal")])
    command = load_command_class("django_workos_vault", name)
    interrupt = lambda: signal.raise_signal(signal.SIGINT)  # noqa: E731
    table = "django_workos_vault_accessrecord" if name == "vault_access_records" else "app_person"
    with once_after("SELECT", interrupt, table=table), pytest.raises(SystemExit) as ended:
        command.run_from_argv(["manage.py", name, *LOOKS[name]])
    assert (ended.value.code, capsys.readouterr().err.strip()) == (130, "Interrupted.")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_dry_run_that_is_stopped(number: signal.Signals, ctrl_c_works: None) -> None:
    """It tells what it found by then, and how to go on: after the row of this model, then with the others."""
    first = Patient.objects.create(
        organization=Organization.objects.create(name="A", workos_id="org_1"), ssn="1"
    )
    people(3)
    stop = lambda: signal.raise_signal(number)  # noqa: E731
    with once_after("SELECT", stop, calls=2, table="app_patient"):
        error, told = failing("app.Patient", "app.Person.ssn", dry_run=True, batch_size=1)
    assert error.returncode == 130
    assert "app.Patient.ssn" in told
    assert str(error).endswith(
        f"Go on with: app.Patient.ssn --start-after {first.pk}, then with: app.Person.ssn"
    )
    reencrypt("app.Patient.ssn", start_after=f"{first.pk}", dry_run=True)
    reencrypt("app.Person.ssn", dry_run=True)
