"""Runs that an outage, another worker, one customer's key or a new deployment gets in the way of."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import stamina
from django.apps import apps
from django.db import connection, models
from django.test.utils import isolate_apps

from django_workos_vault import envelope, vaults
from django_workos_vault.fields import EncryptedCharField, stored_cell
from django_workos_vault.maintenance.engine import chunks, runs
from django_workos_vault.maintenance.engine.work import Worker
from django_workos_vault.maintenance.operations import rekeying
from django_workos_vault.models import MaintenanceChunk
from django_workos_vault.testing import RunningEmulator
from tests.app.models import Organization, Patient, Person
from tests.keyring.rings import fail_at_once
from tests.keyring.test_failing_key import FailingFor, fail_for, vault  # noqa: F401
from tests.maintenance.noting import keys
from tests.maintenance.reencrypting import cell_of, failing, key_of, people, reencrypt
from tests.maintenance.test_interrupted_reencryption import emulated, once_after

pytestmark = pytest.mark.django_db


def patients(organizations: int, each: int) -> list[Patient]:
    found = [Organization.objects.create(name=f"org_{n}", workos_id=f"org_{n}") for n in range(organizations)]
    return [
        Patient.objects.create(organization=organization, ssn=f"{organization.pk}-{n}")
        for n in range(each)
        for organization in found
    ]


def keys_by_organization() -> dict[int, set[str]]:
    """Return the data keys of each organization's cells, having opened all of them."""
    vaults["default"].keyring.forget()
    found: dict[int, set[str]] = {}
    for row in Patient.objects.all():
        assert str(row.ssn).startswith(f"{row.organization_id}-")
        cell = envelope.parse(stored_cell(row, "ssn"))
        found.setdefault(row.organization_id, set()).add(cell.commitment.hex())
    return found


@pytest.mark.parametrize("batches", [0, 1, 2])
def test_an_outage_and_back(vault_emulator: RunningEmulator, batches: int) -> None:
    """Wherever Vault goes away, a resumed run ends as one that was never stopped: one new key a context."""
    with emulated(vault_emulator):
        rows = patients(3, each=3)
        before = keys()
        vaults["default"].keyring.forget()
        fail = lambda: fail_at_once(vault_emulator)  # noqa: E731
        if batches:
            with once_after("UPDATE", fail, calls=batches, table="app_patient"):
                error, out = failing("app.Patient", batch_size=1)
        else:
            fail()
            error, out = failing("app.Patient", batch_size=1)
        [run] = runs.newest()
        assert (run.state, run.reason.partition(":")[0]) == ("paused", "VaultUnavailable")
        assert f"--resume {run.pk}" in str(error)
        assert f"Run {run.pk} is paused: {batches} rows of about 9. VaultUnavailable" in out
        vault_emulator.faults.fail = 0.0
        vaults.reset()  # another process
        document = json.loads(reencrypt(resume=run.pk, format="json"))
        [column] = [each for each in document["columns"] if each["column"] == "app.Patient.ssn"]
        counted = (column["renewed"], column["null"], column["changed_meanwhile"], column["left"])
        assert (document["finished"], document["rows"], document["reason"]) == (True, len(rows), "")
        assert counted == (9, 0, 0, 0)
        assert document["keys_made"] == 3
        found = keys_by_organization()
        assert [len(each) for each in found.values()] == [1, 1, 1]
        assert set().union(*found.values()) == keys() - before


@contextmanager
def once_before(wanted: Callable[[str], bool], act: Callable[[], None]) -> Iterator[list[str]]:
    """Run ``act`` before the first statement that is ``wanted``."""
    seen: list[str] = []

    def wrapper(execute: Any, statement: str, *args: Any) -> Any:
        if not seen and wanted(statement):
            seen.append(statement)
            act()
        return execute(statement, *args)

    with connection.execute_wrapper(wrapper):
        yield seen


def noting(statement: str) -> bool:
    """Whether it is a worker's note of a batch."""
    return statement.startswith("UPDATE") and "maintenancechunk" in statement and "rows_done" in statement


@pytest.mark.parametrize("moment", ["while it reads", "after it committed"])
def test_a_stolen_lease(moment: str) -> None:
    """A worker that was silent for too long notes nothing more in what is another's, and keeps it claimed."""
    rows = people(6)
    options = {"batch_size": 2, "chunk_size": 10}
    run = runs.begin([Person._meta.get_field("ssn")], "reseal", using="default", options=options)
    committed: list[str] = []

    def steal() -> None:
        MaintenanceChunk.objects.update(lease_until=1)
        assert chunks.claim(run, [Person], "thief") is not None

    def is_moment(statement: str) -> bool:
        if noting(statement):
            committed.append(statement)
        elif committed and statement.startswith("SELECT"):
            return ("maintenancechunk" if moment == "after it committed" else "app_person") in statement
        return False

    with once_before(is_moment, steal) as seen:
        Worker(run, name="slow").one_chunk()
    assert seen
    chunk = MaintenanceChunk.objects.get()
    assert (chunk.worker, chunk.state, chunk.rows_done) == ("thief", "claimed", 2)
    MaintenanceChunk.objects.update(lease_until=1)
    Worker(run, name="next").work()
    told = runs.progress(run)
    counts = told.counts["app.Person.ssn"]
    assert (run.state, told.rows, counts.renewed, counts.changed_meanwhile) == ("finished", 6, 6, 0)
    assert len({key_of(row) for row in rows}) == 1


def test_one_key_down(vault: FailingFor) -> None:  # noqa: F811
    """A key that fails while others are answered leaves its own cells, listed; the others are renewed."""
    rows = list(Patient.objects.order_by("pk"))
    old = [cell_of(row) for row in rows]
    fail_for(vault, 3)
    with stamina.set_testing(True, attempts=2):
        error, out = failing("app.Patient", format="json")
    document = json.loads(out)
    assert error.returncode == 1
    assert "1 cells were left as they are" in str(error)
    assert (document["finished"], document["rows"]) == (True, len(rows))
    left = [(each["column"], each["pk"], each["reason"]) for each in document["left"]]
    assert left == [("app.Patient.ssn", rows[3].pk, "VaultUnavailable")]
    unchanged = [n for n, (row, cell) in enumerate(zip(rows, old, strict=True)) if cell_of(row) == cell]
    assert unchanged == [3]


def changed(**declaration: Any) -> Any:
    """Return the model of people as other code declares it."""
    with isolate_apps("tests.app"):
        meta = type("Meta", (), {"app_label": "app", "db_table": "app_person"})
        field = EncryptedCharField(**{"max_length": 11, "null": True, "blank": True, **declaration})
        return type("Person", (models.Model,), {"__module__": Person.__module__, "ssn": field, "Meta": meta})


@pytest.mark.parametrize(
    ("declaration", "refused"),
    [
        ({"mask": "last4"}, False),
        ({"max_length": 12}, False),
        ({"label": "people.ssn"}, True),
        ({"previous_labels": ("app.Human.ssn",)}, True),
        ({"key_context": {"app": "others"}}, True),
        ({"db_column": "email"}, True),
        ({"vault": "other"}, True),
    ],
    ids=repr,
)
def test_a_declaration_that_changed(
    declaration: dict[str, Any],
    refused: bool,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    """A resumed run whose code would seal otherwise is refused in one line; what changes no cell is not."""
    row = people(1)[0]
    old = cell_of(row)
    run = runs.begin([Person._meta.get_field("ssn")], "reseal", using="default")
    runs.pause(run)
    monkeypatch.setitem(apps.all_models["app"], "person", changed(**declaration))
    request.addfinalizer(lambda: (monkeypatch.undo(), apps.clear_cache()))  # which may hold the changed one
    if not refused:
        assert f"Run {run.pk} is finished" in reencrypt(resume=run.pk)
        return
    error, out = failing(resume=run.pk)
    assert f"The code has changed fields of run {run.pk} (app.Person.ssn)" in str(error)
    assert f"--cancel {run.pk}" in str(error)
    assert "\n" not in str(error)
    assert out == ""
    assert cell_of(row) == old
    run.refresh_from_db()
    assert run.state == "paused"


@pytest.mark.parametrize("workers", [1, 2])
def test_what_rekeying_asks(vault_emulator: RunningEmulator, workers: int) -> None:
    """Each worker asks once for each wrapped key, and its cells of one data key get one new wrapping."""
    with emulated(vault_emulator):
        rows = people(6)
        options = {"batch_size": 1, "chunk_size": 3}
        run = runs.begin([Person._meta.get_field("ssn")], "rekey", using="default", options=options)
        crew = [Worker(run, name=f"w{n}") for n in range(workers)]
        made = vaults["default"].backend.requests_made
        for n in range(2):
            crew[n % workers].one_chunk()
        assert vaults["default"].backend.requests_made - made == workers
        run.refresh_from_db()
        assert (run.state, runs.progress(run).keys_made) == ("finished", workers)
        wrapped = {envelope.parse(cell_of(row)).key_reference for row in rows}
        assert len(wrapped) == workers
        assert len({key_of(row) for row in rows}) == 1


def test_rekeying_remembers_so_many_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a worker keeps of the keys it wrapped is bounded, and it counts them all."""
    monkeypatch.setattr(rekeying, "REMEMBERED", 3)
    patients(8, each=1)
    fields = [Patient._meta.get_field("ssn")]
    worker = Worker(runs.begin(fields, "rekey", using="default", options={"batch_size": 2}))
    worker.work()
    operation: Any = worker._operation
    assert operation.keys_made == 8
    assert max(map(len, (operation._first, operation._wrapped, operation._starts))) <= 3
