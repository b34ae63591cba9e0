"""Runs on record: listed, paused, resumed and cancelled from anywhere, and refused where they cannot be."""

import json
import os
import signal
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from django_workos_vault.maintenance.engine import runs
from django_workos_vault.models import MaintenanceRun
from tests.app.models import Organization, Patient, Person
from tests.maintenance.reencrypting import cell_of, failing, key_of, people, reencrypt
from tests.maintenance.test_interrupted_reencryption import once_after

pytestmark = pytest.mark.django_db


def begun(**options: Any) -> MaintenanceRun:
    options = {"batch_size": 2, **options}
    return runs.begin([Person._meta.get_field("ssn")], "reseal", using="default", options=options)


@pytest.mark.parametrize("act", ["pause", "cancel"])
def test_effective_within_one_batch(act: str) -> None:
    """Paused or cancelled by somebody else during a batch, a run has that one done and no other."""
    rows = people(6)
    old = key_of(rows[0])

    def somebody_else() -> None:
        call_command("vault_reencrypt", stdout=StringIO(), **{act: MaintenanceRun.objects.get().pk})

    with once_after("UPDATE", somebody_else, table="app_person"):
        error, _ = failing("app.Person.ssn", batch_size=2)
    run = MaintenanceRun.objects.get()
    assert error.returncode == 1
    assert [key_of(row) == old for row in rows] == [False] * 2 + [True] * 4
    assert runs.progress(run).workers == 0
    if act == "cancel":
        assert (run.state, run.finished_at is None) == ("cancelled", False)
        assert "is cancelled, and over" in str(failing(resume=run.pk)[0])
        assert "is cancelled, and over" in str(failing(cancel=run.pk)[0])
    else:
        assert f"--resume {run.pk}" in str(error)
        assert "not running" in str(failing(pause=run.pk)[0])
        assert f"Run {run.pk} is finished: 6 rows of about 6." in reencrypt(resume=run.pk)
        assert [key_of(row) == old for row in rows] == [False] * 6
        assert "is finished, and over" in str(failing(resume=run.pk)[0])


def test_list_and_status() -> None:
    """Every run is told, as a table and as JSON."""
    assert "There are no runs." in reencrypt(list=True)
    people(3)
    reencrypt("app.Person")
    run = MaintenanceRun.objects.get()
    listed = json.loads(reencrypt(list=True, format="json"))
    assert [(each["run"], each["state"], each["rows"]) for each in listed] == [(run.pk, "finished", 3)]
    assert "app.Person.ssn, app.Person.notes, app.Person.email" in reencrypt(list=True)
    status = json.loads(reencrypt(status=run.pk, format="json"))
    assert (status["finished"], status["operation"], status["workers"]) == (True, "reseal", 0)
    assert f"Run {run.pk} is finished" in reencrypt(status=run.pk)
    assert "There is no run 4711" in str(failing(status=4711)[0])
    assert "name none" in str(failing("app.Person", status=run.pk)[0])


def test_under_way_on_the_same_columns() -> None:
    """A second run on one of the columns is refused in one line, on others it is not."""
    rows = people(2)
    old = cell_of(rows[0])
    run = begun()
    error, out = failing("app.Person")
    assert f"Run {run.pk} is under way on app.Person.ssn" in str(error)
    assert (out, cell_of(rows[0]), MaintenanceRun.objects.count()) == ("", old, 1)
    reencrypt("app.Person.notes")
    runs.pause(run)
    other = begun()
    with pytest.raises(runs.RunRefused, match=f"Run {other.pk} is under way"):
        runs.resume(run)


def test_fields_that_the_code_changed() -> None:
    """A run over columns that are declared otherwise by now does not go on, and no cell is touched."""
    rows = people(2)
    old = cell_of(rows[0])
    run = begun()
    runs.pause(run)
    MaintenanceRun.objects.update(fingerprint="0" * 64)  # what another declaration gives
    assert "has changed fields" in str(failing(resume=run.pk)[0])
    MaintenanceRun.objects.update(targets=["app.Person.gone"])
    assert "cannot go on" in str(failing(resume=run.pk)[0])
    assert cell_of(rows[0]) == old


def test_a_column_is_told_from_another() -> None:
    """What cells are sealed for is in the fingerprint: no two columns of the tests' models have the same."""
    from django.apps import apps

    from django_workos_vault.maintenance.cells import encrypted_fields
    from django_workos_vault.maintenance.engine.fingerprint import fingerprint

    fields = [f for m in apps.get_models() if not m._meta.proxy for f in encrypted_fields(m)]
    assert len({fingerprint([field]) for field in fields}) == len(fields)
    assert fingerprint(fields) == fingerprint(list(reversed(fields)))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_finish_the_batch(ctrl_c_works: None, number: signal.Signals) -> None:
    """Ctrl-C and SIGTERM both end with status 130, a paused run, and the way on."""
    rows = people(4)
    old = key_of(rows[0])
    with once_after("UPDATE", lambda: os.kill(os.getpid(), number), table="app_person"):
        error, _ = failing("app.Person.ssn", batch_size=2)
    run = MaintenanceRun.objects.get()
    assert (error.returncode, run.state, run.reason) == (130, "paused", "Interrupted.")
    assert f"--resume {run.pk}" in str(error)
    assert [key_of(row) == old for row in rows] == [False, False, True, True]


def test_a_trigger_that_changes_cells() -> None:
    """What the database does not hold as it was written fails the run, and the batch is taken back."""
    if connection.vendor != "sqlite":
        pytest.skip("the trigger is written for SQLite")
    rows = people(2)
    old = [cell_of(row) for row in rows]
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TRIGGER mangle AFTER UPDATE OF ssn ON app_person WHEN length(NEW.ssn) > 10 BEGIN "
            "UPDATE app_person SET ssn = x'00' WHERE id = NEW.id; END"
        )
    error, _ = failing("app.Person.ssn")
    run = MaintenanceRun.objects.get()
    assert run.state == "failed"
    assert "does not hold what was written" in run.reason
    assert "The batch was taken back." in str(error)
    assert [cell_of(row) for row in rows] == old


def test_all_columns_of_an_app_and_everything() -> None:
    """An app, or all there is, goes in one run, model after model; what is empty costs nothing."""
    people(3)
    organization = Organization.objects.create(name="o", workos_id="org_1")
    Patient.objects.create(organization=organization, ssn="1")
    document = json.loads(reencrypt("app", format="json"))
    assert (document["finished"], document["rows"]) == (True, 4)
    assert {c["column"]: c["renewed"] for c in document["columns"] if c["renewed"]} == {
        "app.Person.ssn": 3,
        "app.Person.notes": 3,
        "app.Person.email": 3,
        "app.Patient.ssn": 1,
    }
    for wrong in ({"targets": ["app"], "all": True}, {"targets": [], "all": False}):
        with pytest.raises(CommandError, match="or give --all"):
            call_command("vault_reencrypt", *wrong["targets"], all=wrong["all"])


def test_batches_steer_themselves() -> None:
    """Batches grow towards the time they aim at, and limits hold whatever their size."""
    from django_workos_vault.maintenance.engine.pace import LARGEST, SMALLEST, Pace

    pace = Pace({"batch_seconds": 0.5}, lambda: 0)
    for seconds, size in ((0.25, 1000), (0.01, 2000), (1.0, 1000), (10.0, 500), (0.5, 500)):
        pace.done(pace.size, seconds)
        assert pace.size == size
    pace.crowded(500)
    assert pace.size == 250
    pace.done(250, 0.1)
    assert pace.size == 500
    for seconds, limit in ((0.001, LARGEST), (100, SMALLEST)):
        for _ in range(12):
            pace.done(pace.size, seconds)
        assert pace.size == limit
    few = Pace({}, lambda: 0)
    few.crowded(6)
    assert few.size == 3
    made = iter([0, 30, 30])
    limited = Pace(
        {"batch_size": 7, "max_rows_per_second": 100, "max_requests_per_second": 10, "workers": 2},
        lambda: next(made),
    )
    assert limited.done(7, 0.5) == 5.5  # thirty requests at five a second
    assert limited.done(7, 0.04) == pytest.approx(0.1)
    assert limited.size == 7
