"""``vault_check``: it finds what is wrong, says what to do, and tells no secret."""

import json
from io import StringIO
from secrets import token_hex
from typing import Any

import pytest
from django.core import checks
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import override_settings

from django_workos_vault import vaults
from django_workos_vault.fields import stored_cell
from django_workos_vault.models import DataKeyRecord, IndexKeyRecord
from django_workos_vault.testing import RunningEmulator
from tests.app.models import Account, Organization, Patient, Person
from tests.maintenance.few_turns import FewTurns, NobodySaysWhen, with_turns

pytestmark = pytest.mark.django_db(databases="__all__")

LOCAL = {
    "BACKEND": "django_workos_vault.backends.local.LocalVault",
    "KEY_CONTEXT": {"app": "tests"},
    "OPTIONS": {"master_key": bytes(32)},
}


def remote(**options: Any) -> dict[str, Any]:
    return {
        "BACKEND": "django_workos_vault.backends.workos.WorkOSVault",
        "KEY_CONTEXT": {"app": "tests"},
        "OPTIONS": {"deadline": 1.0, **options},
    }


def vault_check(**options: Any) -> str:
    out = StringIO()
    call_command("vault_check", stdout=out, **options)
    return out.getvalue()


def problems(**options: Any) -> list[dict[str, Any]]:
    """Run a check that must fail, and return its problems."""
    out = StringIO()
    with pytest.raises(CommandError) as caught:
        call_command("vault_check", stdout=out, format="json", **options)
    assert caught.value.returncode == 1
    report = json.loads(out.getvalue())
    assert not report["ok"]
    found = [finding for finding in report["findings"] if finding["status"] == "problem"]
    assert all(finding["advice"] for finding in found)
    return found


def store(row: Any, cell: bytes) -> None:
    with connection.cursor() as cursor:
        binary = connection.Database.Binary(cell)
        cursor.execute(f"UPDATE {row._meta.db_table} SET ssn = %s WHERE id = %s", [binary, row.pk])


def cell_of(row: Any) -> bytes:
    return bytes(stored_cell(type(row).objects.get(pk=row.pk), "ssn"))


def test_a_sound_installation_passes() -> None:
    """Every step is told, cells are counted by data key, version and kind, and no value is printed."""
    for n in range(3):
        Person.objects.create(ssn=f"123-45-{n:04}")
    text = vault_check()
    key_id = DataKeyRecord.objects.get().key_id
    assert "request        default: <LocalVault> answers" in text
    assert text.count("the same key came back") == 2
    assert "All 1 data keys unwrap" in text
    assert f"app.Person.ssn    {key_id}  version 1  inline      3" in text
    assert "app.Person.ssn: 3 of 3 rows: every value opens." in text
    assert "Everything that was checked is in order." in text
    assert "123-45" not in text
    assert "\x1b" not in text


def test_json() -> None:
    """The same as one document."""
    Person.objects.create(ssn="123-45-6789")
    report = json.loads(vault_check(format="json"))
    assert report["ok"]
    assert {finding["status"] for finding in report["findings"]} == {"ok"}
    column = next(c for c in report["columns"] if c["column"] == "app.Person.ssn")
    assert (column["rows"], column["null"], column["opened"], column["cannot_be_opened"]) == (1, 0, 1, [])
    key_id = DataKeyRecord.objects.get().key_id
    assert column["cells"] == [{"data_key": key_id, "version": 1, "stored": "inline", "cells": 1}]
    assert "123-45" not in json.dumps(report)


def test_sample_takes_the_oldest_and_the_newest_rows() -> None:
    """A broken cell in the middle escapes a sample but not ``--all``; one at the end is seen."""
    rows = [Person.objects.create(ssn=str(n)) for n in range(9)]
    whole = cell_of(rows[4])
    store(rows[4], whole[:-1])
    assert "app.Person.ssn: 4 of 9 rows" in vault_check(sample=4)
    assert [p["subject"] for p in problems(all=True)] == ["app.Person.ssn"]
    store(rows[4], whole)
    store(rows[8], whole[:-1])
    assert "4 of 9 rows: 1 cells cannot be opened" in problems(sample=4)[0]["message"]


def test_cells_that_cannot_be_opened_are_listed() -> None:
    """Each by primary key, with the class of the reason."""
    tampered, cut, _ = (Person.objects.create(ssn=str(n)) for n in range(3))
    store(tampered, cell_of(tampered)[:-1] + bytes([cell_of(tampered)[-1] ^ 1]))
    store(cut, b"\x01")
    out = StringIO()
    with pytest.raises(CommandError, match="problem"):
        call_command("vault_check", stdout=out)
    assert "app.Person.ssn, TamperedEnvelope: 1. " in out.getvalue()
    assert f"primary keys: {tampered.pk}\n" in out.getvalue()
    assert "app.Person.ssn, MalformedEnvelope: 1. " in out.getvalue()
    assert "2 cells cannot be opened" in out.getvalue()


def test_value_of_another_type_is_not_quoted() -> None:
    """A cell that opens to no value of its field's type is listed without the plaintext."""
    row = Person.objects.create(ssn="1")
    field = Person._meta.get_field("ssn")
    store(row, field.cipher.seal(b"123-45-\xff", field.context_for(None)))
    out = StringIO()
    with pytest.raises(CommandError):
        call_command("vault_check", stdout=out)
    assert "opens, but holds no value of a CharField" in out.getvalue()
    assert "123-45" not in out.getvalue()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"context_digest": "0" * 64}, "another key context"),
        ({"proof": "0" * 64}, "does not belong to the key context"),
        ({"proof": "no hexadecimal"}, "cannot be read"),
        ({"wrapped": b"WOS.EKM.v1\x00"}, "wrapped data key"),
    ],
)
def test_changed_registry_records_are_found(change: dict[str, Any], told: str) -> None:
    """Every record must unwrap to the key it names, under the context it is filed under."""
    Person.objects.create(ssn="1")
    DataKeyRecord.objects.update(**change)
    found = problems()
    assert [finding["step"] for finding in found] == ["registry"]
    assert told in found[0]["message"]


def test_record_with_another_keys_blob_is_found() -> None:
    """A record whose wrapped key was replaced by another one's, of the same context, is told."""
    Person.objects.create(ssn="1")
    other = vaults["default"].backend.create_data_key({"app": "tests"})
    DataKeyRecord.objects.update(wrapped=other.wrapped)
    assert "unwraps to another key" in problems()[0]["message"]


def test_changed_index_root_key_is_found() -> None:
    """The root key of the blind indexes is checked like the data keys."""
    Account.objects.create(
        organization=Organization.objects.create(name="o"), login="ada", email="a@b.example"
    )
    vault_check()
    IndexKeyRecord.objects.update(proof="0" * 64)
    assert "index root key 1 was changed" in problems()[0]["message"]


def test_keys_of_another_vault_are_told(vault_emulator: RunningEmulator) -> None:
    """Pointed at a vault that did not make the keys on record, the check asks whether it is the right one."""
    Account.objects.create(
        organization=Organization.objects.create(name="o"), login="ada", email="a@b.example"
    )
    elsewhere = remote(base_url=vault_emulator.url, api_key=vault_emulator.api_key)
    with override_settings(DEBUG=True, WORKOS_VAULTS={"default": elsewhere}):
        found = [problem for problem in problems() if problem["step"] == "registry"]
    assert ["Index root key" in problem["message"] for problem in found] == [False, True]
    assert all("Is this the vault that made the key?" in problem["advice"] for problem in found)


def test_withdrawn_key_is_told_for_registry_and_rows() -> None:
    """A customer's key that was revoked shows where its data are."""
    organization = Organization.objects.create(name="org_1", workos_id="org_1")
    patient = Patient.objects.create(organization=organization, ssn="1")
    backend: Any = vaults["default"].backend
    backend.revoke("organization_id", "org_1")
    vaults["default"].keyring.forget()
    found = problems()
    assert [finding["step"] for finding in found] == ["registry", "columns"]
    assert "revoked" in found[0]["message"]
    assert patient.pk


def test_against_the_emulator(vault_emulator: RunningEmulator) -> None:
    """Over HTTP the same checklist passes, and the API key is not printed."""
    with override_settings(
        DEBUG=True,
        WORKOS_VAULTS={"default": remote(base_url=vault_emulator.url, api_key=vault_emulator.api_key)},
    ):
        Person.objects.create(ssn="1")
        text = vault_check()
    assert "Everything that was checked is in order." in text
    assert vault_emulator.api_key not in text


def test_refused_api_key(vault_emulator: RunningEmulator) -> None:
    """A key that Vault does not take is told once, and what needs Vault is skipped."""
    api_key = f"sk_test_{token_hex(16)}"
    settings = {"default": remote(base_url=vault_emulator.url, api_key=api_key)}
    with override_settings(DEBUG=True, WORKOS_VAULTS=settings):
        found = problems()
    assert [finding["step"] for finding in found] == ["request"]
    assert "dashboard" in found[0]["advice"]
    assert api_key not in json.dumps(found)


def test_unreachable_vault() -> None:
    """A dead address is an outage, with what to look at."""
    settings = {"default": remote(base_url="http://127.0.0.1:9", api_key=f"sk_test_{token_hex(16)}")}
    with override_settings(DEBUG=True, WORKOS_VAULTS=settings):
        found = problems()
    assert [finding["step"] for finding in found] == ["request"]
    assert "firewall" in found[0]["advice"]


def test_back_after_an_outage(vault_emulator: RunningEmulator) -> None:
    """The command asks Vault itself, even where its process has just seen it fail."""
    settings = {"default": remote(base_url=vault_emulator.url, api_key=vault_emulator.api_key)}
    with override_settings(DEBUG=True, WORKOS_VAULTS=settings):
        vault_emulator.faults.fail, vault_emulator.faults.fail_status = 1, 401
        assert [finding["step"] for finding in problems()] == ["request"]
        vault_emulator.faults.fail = 0
        assert vaults["default"].stats().asks_again_in > 0
        assert "Everything that was checked is in order." in vault_check()


def test_more_keys_than_the_rate_limit_has_turns_for() -> None:
    """It waits for the next turn: run again, it would need as many. A sample of the keys needs few."""
    with override_settings(WORKOS_VAULTS={"default": LOCAL}):
        for number in range(9):
            organization = Organization.objects.create(name="o", workos_id=f"org_{number}")
            Patient.objects.create(organization=organization, ssn="1")
    with override_settings(WORKOS_VAULTS=with_turns(FewTurns)):
        text = vault_check(all=True)
        assert "All 9 data keys unwrap" in text
        assert "app.Patient.ssn: 9 of 9 rows: every value opens." in text
        assert "4 of 9 data keys unwrap" in vault_check(sample=4)
    with override_settings(WORKOS_VAULTS=with_turns(NobodySaysWhen)):
        found = [problem for problem in problems(all=True) if problem["step"] == "registry"]
        assert [problem["message"] for problem in found] == ["Stopped: Not now."]


def test_a_sample_of_the_registry() -> None:
    """A changed record in the middle escapes a sample but not ``--all``; one at the end is seen."""
    for number in range(9):
        vaults["default"].rotate({"organization_id": f"org_{number}"})
    keys = list(DataKeyRecord.objects.order_by("pk"))
    DataKeyRecord.objects.filter(pk=keys[4].pk).update(proof="0" * 64)
    vault_check(sample=4)
    assert [finding["step"] for finding in problems(all=True)] == ["registry"]
    DataKeyRecord.objects.filter(pk=keys[8].pk).update(proof="0" * 64)
    [found] = problems(sample=4)
    assert keys[8].key_id in found["subject"]


def test_missing_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table that is not there is told, with the command to run."""
    monkeypatch.setattr(Patient._meta, "db_table", "not_migrated_yet")
    (finding,) = problems()
    assert (finding["subject"], finding["advice"]) == ("app.Patient", "Run migrate.")


@pytest.mark.parametrize(
    ("debug", "settings", "ids"),
    [
        (False, {"default": LOCAL}, ["E011"]),
        (False, {"default": remote(api_key="sk_test_x")}, ["W001"]),
        (True, {"default": remote(api_key="sk_live_x")}, ["W002"]),
        (True, {"default": LOCAL}, []),
        (True, {"default": remote(api_key="sk_test_x")}, []),
        (False, {"default": remote(api_key="sk_live_x")}, []),
        (False, {"default": remote()}, ["E190"]),
        (True, {"default": remote()}, []),
        (True, {"default": remote(api_key="pk_live_x")}, ["E010"]),
    ],
)
def test_keys_in_the_wrong_place(debug: bool, settings: dict[str, Any], ids: list[str]) -> None:
    """What is for development is refused in production, and the other way round."""
    with override_settings(DEBUG=debug, WORKOS_VAULTS=settings, SILENCED_SYSTEM_CHECKS=[]):
        messages = checks.run_checks(include_deployment_checks=not debug)
    ours = {str(m.id).partition(".")[2] for m in messages if str(m.id).startswith("django_workos_vault.")}
    assert sorted(ours - {"E005", "W160"}) == ids


def test_system_checks_are_part_of_the_checklist() -> None:
    """What ``check --deploy`` says of this package, vault_check says too; broken settings do not stop it."""
    with override_settings(WORKOS_VAULTS={"default": LOCAL}, SILENCED_SYSTEM_CHECKS=[]):
        found = problems()
    assert [finding["subject"] for finding in found] == ["E011"]
    with override_settings(WORKOS_VAULTS={"default": remote(api_key="no key")}):
        found = problems()
    assert "does not begin with 'sk_'" in found[-1]["message"] + found[0]["message"]
    assert "no key" not in json.dumps(found)


def test_colour_when_asked_for() -> None:
    """Output that is no terminal is plain; ``--force-color`` colours it all the same."""
    assert "\x1b[" not in vault_check()
    assert "\x1b[" in vault_check(force_color=True)
