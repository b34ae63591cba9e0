"""``vault_reencrypt`` on a real database: what it renews, leaves, and says."""

import json
import os
import termios
from typing import Any

import pytest
from django.db import connection
from django.test import override_settings

from django_workos_vault import envelope, vaults
from django_workos_vault.fields import stored_cell
from django_workos_vault.models import DataKeyRecord
from example_project import models as clinic
from tests.app.models import Account, Device, Organization, Patient, Person
from tests.maintenance.reencrypting import cell_of, failing, key_of, people, reencrypt, store

pytestmark = pytest.mark.django_db


def test_every_row_gets_a_new_key_and_keeps_its_value() -> None:
    """All columns of the model move to one new data key, batch by batch, and open to what they held."""
    rows = people(7)
    old = key_of(rows[0])
    before = vaults["default"].backend.requests_made
    text = reencrypt("app.Person", batch_size=3)
    assert {key_of(row) for row in rows} == {key_of(row, "notes") for row in rows}
    assert old not in {key_of(row) for row in rows}
    assert vaults["default"].backend.requests_made == before + 1
    assert [p.ssn for p in Person.objects.order_by("pk")] == [f"123-45-{n:04}" for n in range(7)]
    assert "app.Person.ssn               7     0" in text
    assert "New data keys: 1." in text
    assert "123-45" not in text


def test_one_field_alone() -> None:
    """With a field's name, its column alone is touched; NULL stays NULL."""
    row, empty = Person.objects.create(ssn="1"), Person.objects.create(ssn=None)
    notes, ssn = cell_of(row, "notes"), cell_of(row)
    report = json.loads(reencrypt("app.Person.ssn", format="json"))
    assert cell_of(row, "notes") == notes
    assert cell_of(row) != ssn
    assert report["columns"] == [
        {"column": "app.Person.ssn", "renewed": 1, "null": 1, "changed_meanwhile": 0, "left": 0}
    ]
    empty.refresh_from_db()
    assert empty.ssn is None


def test_rows_choose_their_keys_without_a_query_each() -> None:
    """A row-aware column gets one new key per organization, and relations are read a batch at a time."""
    for name in ("org_1", "org_2"):
        organization = Organization.objects.create(name=name, workos_id=name)
        for _ in range(3):
            Patient.objects.create(organization=organization, ssn=name)
    statements: list[str] = []

    def note(execute: Any, statement: str, *args: Any) -> Any:
        statements.append(statement)
        return execute(statement, *args)

    with connection.execute_wrapper(note):
        text = reencrypt("app.Patient")
    assert "New data keys: 2." in text
    assert DataKeyRecord.objects.count() == 4
    assert len({key_of(p) for p in Patient.objects.all()}) == 2
    assert all(p.ssn == p.organization.workos_id for p in Patient.objects.all())
    organizations = f"FROM {connection.ops.quote_name('app_organization')}"
    batch, opened_again = 1, 1
    assert sum(organizations in statement for statement in statements) == batch + opened_again


def test_rows_that_cannot_be_opened_stay_as_they_are() -> None:
    """Flipped, truncated, swapped and empty cells are listed with the reason; others are sealed again."""
    flipped, cut, swapped, empty, good = people(5)
    bad = {
        flipped.pk: cell_of(flipped)[:-1] + bytes([cell_of(flipped)[-1] ^ 1]),
        cut.pk: cell_of(cut)[:100],
        swapped.pk: cell_of(swapped, "notes"),
        empty.pk: b"",
    }
    for row in (flipped, cut, swapped, empty):
        store(row, bad[row.pk])
    old = key_of(good)
    error, out = failing("app.Person.ssn", format="json")
    assert error.returncode == 1
    assert "4 cells were left" in str(error)
    assert {cell["pk"]: cell["reason"] for cell in json.loads(out)["left"]} == {
        flipped.pk: "TamperedEnvelope",
        cut.pk: "MalformedEnvelope",
        swapped.pk: "WrongBinding",
        empty.pk: "MalformedEnvelope",
    }
    assert {row.pk: cell_of(row) for row in (flipped, cut, swapped, empty)} == bad
    assert key_of(good) != old
    _, text = failing("app.Person.ssn")
    assert "app.Person.ssn, MalformedEnvelope: 2. " in text
    assert f"primary keys: {cut.pk}, {empty.pk}" in text


def test_revoked_key_is_asked_for_a_few_times_not_for_every_row() -> None:
    """An organization that withdrew its key costs its own rows only, and not a request for each of them."""
    rows = []
    for name in ("org_1", "org_2"):
        organization = Organization.objects.create(name=name, workos_id=name)
        rows += [Patient.objects.create(organization=organization, ssn=str(n)) for n in range(20)]
    vaults["default"].keyring.forget()
    backend: Any = vaults["default"].backend
    backend.revoke("organization_id", "org_1")
    before = backend.requests_made
    _, out = failing("app.Patient", format="json")
    report = json.loads(out)
    assert [cell["pk"] for cell in report["left"]] == [row.pk for row in rows[:20]]
    assert {cell["reason"] for cell in report["left"]} == {"VaultPermissionDenied"}
    assert report["columns"][0]["renewed"] == 20
    assert backend.requests_made - before <= 5


def test_damaged_wrapped_key_is_asked_for_a_few_times_not_for_every_row() -> None:
    """Cells whose wrapped key Vault refuses share one answer."""
    rows = people(8)
    for row in rows:
        damaged = envelope.parse(cell_of(row)).key_reference[:-1]
        store(row, envelope.with_key_reference(cell_of(row), damaged))
    vaults["default"].keyring.forget()
    before = vaults["default"].backend.requests_made
    _, out = failing("app.Person.ssn", format="json")
    assert [cell["reason"] for cell in json.loads(out)["left"]] == ["WrongKey"] * 8
    assert vaults["default"].backend.requests_made - before <= 2


def test_dry_run_writes_nothing_and_makes_no_key() -> None:
    """A dry run opens every cell and says what it would do."""
    good, bad = people(2)
    store(bad, cell_of(bad)[:-1])
    cell = cell_of(good)
    _, out = failing("app.Person.ssn", dry_run=True, format="json")
    report = json.loads(out)
    assert (report["columns"][0]["renewed"], report["columns"][0]["left"], report["keys_made"]) == (1, 1, 0)
    assert cell_of(good) == cell
    assert DataKeyRecord.objects.count() == 1


def test_start_after_a_row() -> None:
    """A run can be taken up behind a row."""
    rows = people(3)
    old = key_of(rows[0])
    reencrypt("app.Person.ssn", start_after=str(rows[1].pk))
    assert [key_of(row) == old for row in rows] == [True, True, False]
    error, _ = failing("app.Person.ssn", start_after="seven")
    assert "--start-after" in str(error)


@pytest.mark.parametrize(
    "target", ["nowhere", "app.Person.name", "app.Nobody", "app.Person.ssn.x", "nowhere.X"]
)
def test_a_wrong_target_is_one_clear_error(target: str) -> None:
    """What is no encrypted column is refused."""
    error, out = failing(target)
    assert target in str(error)
    assert out == ""


def test_rekeying_leaves_the_ciphertext_alone() -> None:
    """After a change of key context, one request per key moves the cells to it; old KEKs are not needed."""
    organization = Organization.objects.create(name="org_old", workos_id="org_old")
    rows = [Patient.objects.create(organization=organization, ssn=str(n)) for n in range(5)]
    before = [envelope.parse(cell_of(row)) for row in rows]
    Organization.objects.update(workos_id="org_new")
    backend: Any = vaults["default"].backend
    requests = backend.requests_made
    text = reencrypt("app.Patient", rekey=True)
    assert "Data keys wrapped again: 1." in text
    assert backend.requests_made == requests + 1
    after = [envelope.parse(cell_of(row)) for row in rows]
    for old, new in zip(before, after, strict=True):
        assert (new.ciphertext, new.nonce, new.commitment) == (old.ciphertext, old.nonce, old.commitment)
        assert new.key_reference != old.key_reference
    vaults["default"].keyring.forget()
    backend.revoke("organization_id", "org_old")
    assert [p.ssn for p in Patient.objects.order_by("pk")] == ["0", "1", "2", "3", "4"]


def test_rekeying_a_key_kept_in_the_registry_is_refused() -> None:
    """Keys in the registry are shared with other columns; cells do not hold them."""
    local = {
        "BACKEND": "django_workos_vault.backends.local.LocalVault",
        "KEY_CONTEXT": {"app": "tests"},
        "OPTIONS": {"master_key": bytes(32)},
        "DATA_KEYS": {"envelope": "reference"},
    }
    with override_settings(WORKOS_VAULTS={"default": local}):
        row = Person.objects.create(ssn="1")
        error, _ = failing("app.Person.ssn", rekey=True)
        assert "registry" in str(error)
        reencrypt("app.Person.ssn")
        assert Person.objects.get(pk=row.pk).ssn == "1"


@pytest.mark.django_db(databases=["default", "other"])
def test_another_database() -> None:
    """``--database`` picks where the rows are; the same row elsewhere is not touched."""
    here = Person.objects.create(ssn="here")
    there = Person.objects.using("other").create(pk=here.pk, ssn="there")
    cell = cell_of(here)
    reencrypt("app.Person.ssn", database="other")
    assert cell_of(here) == cell
    assert Person.objects.using("other").get(pk=there.pk).ssn == "there"


def test_cells_bound_to_their_row_stay_bound() -> None:
    """A bound cell is sealed again for its own row; one that was swapped with another row's is left."""
    organization = Organization.objects.create(name="org_1", workos_id="org_1")
    devices = [Device.objects.create(organization=organization, pin=str(n)) for n in range(3)]
    reencrypt("app.Device")
    assert [Device.objects.get(pk=device.pk).pin for device in devices] == ["0", "1", "2"]
    Device.objects.filter(pk=devices[1].pk).update(name="swapped")
    binary = connection.Database.Binary(stored_cell(Device.objects.get(pk=devices[0].pk), "pin"))
    with connection.cursor() as cursor:
        cursor.execute("UPDATE app_device SET pin = %s WHERE name = 'swapped'", [binary])
    _, out = failing("app.Device.pin", format="json")
    assert [(cell["pk"], cell["reason"]) for cell in json.loads(out)["left"]] == [
        (str(devices[1].pk), "WrongBinding")
    ]


@pytest.mark.parametrize("rekey", [False, True])
def test_blind_indexes_go_along(rekey: bool) -> None:
    """A searchable column is found by the same searches afterwards."""
    account = Account.objects.create(login="Ada", email="Ada@b.example", ssn="123-45-6789")
    digests = envelope.parse(cell_of(account, "login")).digests
    reencrypt("app.Account", rekey=rekey)
    assert envelope.parse(cell_of(account, "login")).digests == digests
    assert Account.objects.get(login="Ada") == Account.objects.get(email="ada@b.example") == account
    assert Account.objects.get().ssn == "123-45-6789"


def test_progress_is_shown_on_a_terminal_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The bar goes to stderr when that is a terminal, and nowhere otherwise; the report stays plain."""
    people(2)
    reencrypt("app.Person")
    assert capsys.readouterr().err == ""
    reader, writer = os.openpty()
    os.set_blocking(reader, False)
    termios.tcsetwinsize(writer, (24, 80))
    with open(writer, "w") as terminal, monkeypatch.context() as patch:
        patch.setattr("sys.stderr", terminal)
        text = reencrypt("app.Person")
        shown = os.read(reader, 4096).decode()
    os.close(reader)
    assert "/2 [" in shown
    assert "\x1b" not in text


def test_a_row_whose_related_row_is_gone_is_told() -> None:
    """A foreign key that leads nowhere chooses no key: the row is named, and the others are renewed."""
    stays, goes = (
        clinic.Organization.objects.create(name=name, workos_id=name) for name in ("org_1", "org_2")
    )
    row, orphan = (
        clinic.Patient.objects.create(organization=organization, name="Ada", ssn="123-45-6789")
        for organization in (stays, goes)
    )
    kept, old = stored_cell(orphan, "ssn"), stored_cell(row, "ssn")
    with connection.constraint_checks_disabled():
        clinic.Organization.objects.filter(pk=goes.pk)._raw_delete(using="default")  # type: ignore[attr-defined]
        exc, text = failing("clinic.Patient.ssn")
        report = json.loads(failing("clinic.Patient.ssn", format="json")[1])
        goes.save(force_insert=True)
    assert [(left["pk"], left["reason"]) for left in report["left"]] == [(orphan.pk, "MissingKeyContext")]
    assert "1 cells were left as they are" in str(exc)
    assert "organization.workos_id" in text
    assert cell_of(orphan) == kept
    assert cell_of(row) != old
