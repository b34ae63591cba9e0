"""``--plan`` tells what a run would find and cost, and ``--where`` keeps it to one key context."""

import json
import shutil
from typing import Any

import pytest
from django.db import connection

from django_workos_vault import vaults
from django_workos_vault.models import DataKeyRecord, MaintenanceRun
from tests.app.models import NumberedNote, Organization, Patient, Person
from tests.maintenance.noting import OPERATIONS, keys, notes
from tests.maintenance.reencrypting import cell_of, failing, key_of, people, reencrypt, store

pytestmark = pytest.mark.django_db


def patients(*counts: int) -> list[Patient]:
    rows = []
    for number, count in enumerate(counts):
        organization = Organization.objects.create(name="an org", workos_id=f"org_{number}")
        rows += [Patient.objects.create(organization=organization, ssn=f"{n}") for n in range(count)]
    return rows


def planned(*targets: str, **options: Any) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(reencrypt(*targets, plan=True, format="json", **options))
    return document


class TestPlan:
    def test_states_and_cost(self) -> None:
        """Cells are counted in every respect, and requests as many as the run then makes."""
        rows = patients(3, 2)
        store(rows[0], cell_of(rows[0])[:50])
        DataKeyRecord.objects.filter(key_context={"organization_id": "org_1"}).delete()
        vaults["default"].keyring.forget()
        before = [cell_of(row) for row in rows], keys()
        plan = planned("app.Patient")
        assert ([cell_of(row) for row in rows], keys()) == before
        assert not MaintenanceRun.objects.exists()
        column = plan["columns"][0]
        assert (column["rows"], column["looked_at"], column["renewed"]) == (5, 5, 4)
        assert [(cell["pk"], cell["reason"]) for cell in column["unreadable"]] == [
            (rows[0].pk, "MalformedEnvelope")
        ]
        assert column["states"] == {
            "vault": {"default": 4},
            "version": {"1": 4},
            "envelope": {"inline": 4},
            "label": {"its own": 4},
            "key": {"made within 30 days": 2, "not on record": 2},
            "context": {"its own": 2, "unknown": 2},
        }
        assert (plan["is_sample"], plan["keys"], plan["contexts"], plan["requests"]) == (False, 2, 2, 4)
        assert plan["minutes"] == 4 / 6000
        assert plan["disk"] > 0
        vaults["default"].keyring.forget()
        requests = vaults["default"].backend.requests_made
        failing("app.Patient")
        assert vaults["default"].backend.requests_made == requests + plan["requests"]

    def test_rekeying_costs_a_request_for_each_key(self) -> None:
        """As many as the command then makes."""
        patients(3, 2)
        requests = vaults["default"].backend.requests_made
        assert planned("app.Patient", rekey=True)["requests"] == 2
        assert vaults["default"].backend.requests_made == requests
        reencrypt("app.Patient", rekey=True)
        assert vaults["default"].backend.requests_made == requests + 2

    def test_another_context_and_sample(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Cells of a context that the field gave once are told; of a large table, a sample is."""
        rows = patients(4)
        Organization.objects.update(workos_id="org_new")
        assert planned("app.Patient")["columns"][0]["states"]["context"] == {"another": 4}
        monkeypatch.setattr("django_workos_vault.maintenance.engine.plan.SAMPLE", 2)
        plan = planned("app.Patient")
        column = plan["columns"][0]
        assert (plan["is_sample"], column["looked_at"], column["rows"]) == (True, 2, 4)
        assert "Sampled, the oldest and the newest rows: at least 1 distinct data keys" in reencrypt(
            "app.Patient", plan=True
        )
        assert rows

    @pytest.mark.parametrize("operation", OPERATIONS)
    def test_it_says_what_the_run_does(self, operation: str) -> None:
        """As many cells as would be renewed then are."""
        notes(NumberedNote, 5, operation)
        target = "app.NumberedNote.text"
        expected = planned(target, operation=operation)["columns"][0]["renewed"]
        document = json.loads(reencrypt(target, operation=operation, format="json"))
        assert document["columns"][0]["renewed"] == expected == (0 if operation == "envelope" else 4)

    def test_text(self) -> None:
        """The table, the states, and no value."""
        people(2)
        text = reencrypt("app.Person.ssn", plan=True)
        assert "envelope: inline 2" in text
        assert "Counted: 1 distinct data keys, 1 key contexts, 2 requests" in text
        assert "123-45" not in text


class TestWhere:
    @pytest.mark.parametrize("where", ["organization_id=org_1", "organization__workos_id=no", "id=no"])
    def test_one_key_context(self, where: str) -> None:
        """Rows of others are not touched, and no key is made for them."""
        rows = patients(3, 2)
        old = keys()
        if where.endswith("no"):
            error, _ = failing("app.Patient", where=where)
            assert where.partition("=")[0] in str(error)
            assert not MaintenanceRun.objects.exists()
            return
        document = json.loads(reencrypt("app.Patient", where=where, format="json"))
        assert document["columns"][0]["renewed"] == document["rows_estimate"] == 2
        assert [key_of(row).hex() in old for row in rows] == [True] * 3 + [False] * 2
        assert len(keys() - old) == 1

    def test_a_plain_column(self) -> None:
        """A column of the row picks rows, and a run taken up goes on with them alone."""
        rows = people(4)
        Person.objects.filter(pk__in=[rows[1].pk, rows[2].pk]).update(name="Eve")
        old = key_of(rows[0])
        document = json.loads(reencrypt("app.Person", where="name=Eve", format="json"))
        assert document["rows"] == 2
        assert [key_of(row) == old for row in rows] == [True, False, False, True]

    def test_a_static_context(self) -> None:
        """Of a column whose context no row chooses, all rows or none are meant."""
        people(2)
        for value, rows in (("tests", 2), ("other", 0)):
            assert json.loads(reencrypt("app.Person", where=f"app={value}", format="json"))["rows"] == rows

    @pytest.mark.parametrize("where", ["nonsense", "nobody=1", "ssn=1", "=1", "name="])
    def test_nonsense(self, where: str) -> None:
        """One line, before anything is written; encrypted columns are not asked for."""
        error, out = failing("app.Person", where=where)
        assert where.partition("=")[0] in str(error)
        assert (out, MaintenanceRun.objects.count()) == ("", 0)


def test_a_disk_that_is_too_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """On SQLite a plan tells the free disk, and fails where it is too little. A server does not tell."""
    people(3)
    if connection.vendor != "sqlite":
        assert json.loads(reencrypt("app.Person", plan=True, format="json"))["disk_free"] is None
        assert " free" not in reencrypt("app.Person", plan=True)
        return
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=5_000_000_000))
    assert "of 5 GB free." in reencrypt("app.Person", plan=True)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=10))
    error, out = failing("app.Person", plan=True)
    assert "of 10 bytes free." in out
    assert "The disk has 10 bytes free" in str(error)
