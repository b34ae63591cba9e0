"""``vault_forget`` destroys one customer's keys, nobody else's, and says what can be opened all the same."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.test import override_settings

from django_workos_vault import envelope, vaults
from django_workos_vault.exceptions import WrongKey
from django_workos_vault.models import DataKeyRecord, IndexKeyRecord
from tests.app.models import Account, Organization, Patient, Resident
from tests.files.models import Report
from tests.maintenance.forgetting.forgetting import (
    CONTEXT,
    LOCAL,
    customer,
    failing,
    forget,
    opens,
    reasons,
    seal_everything,
    vault_of,
)
from tests.maintenance.moving import fields_name
from tests.maintenance.reencrypting import cell_of, store

pytestmark = pytest.mark.django_db(databases="__all__")


@pytest.mark.parametrize("kept", ["inline", "reference"])
def test_what_refers_to_the_registry_is_gone_and_what_carries_its_key_is_told(kept: str) -> None:
    """Of every kind of column, bound or not, indexed or not; files always carry it."""
    with vault_of(kept):
        mine, others = seal_everything(customer("org_1")), seal_everything(customer("org_2"))
        report = forget(CONTEXT)
        assert report["done"]["finished"]
        assert [opens(*each) for each in mine] == [kept == "inline"] * 3 + [True]
        assert all(opens(*each) for each in others)
        counted = {each["column"]: (each["destroyed"], each["inline"]) for each in report["columns"]}
        each_column = (1, 0) if kept == "reference" else (0, 1)
        assert counted == dict.fromkeys(
            ("app.Patient.ssn", "app.Device.pin", "app.Resident.town"), each_column
        )
        assert ("1 of app.Patient.ssn: inline: each carries" in reasons(report)) is (kept == "inline")
        assert "1 of files.Report.file: inline: each carries" in reasons(report)


def test_keys_that_something_else_carries_are_not_gone() -> None:
    """A file, and a cell from before, hold the wrapped key that opens cells which refer to the registry."""
    with vault_of("inline"):
        organization = customer("org_1")
        seal_everything(organization)
    with vault_of("reference"):
        patient = Patient.objects.create(organization=organization, ssn="123-45-6789")
        report = forget(CONTEXT)
        carriers = "app.Patient.ssn, app.Device.pin, app.Resident.town, files.Report.file"
        assert f"whose wrapped copy is still carried by {carriers}" in reasons(report)
        assert not opens(patient, "ssn")
        wrapped = envelope.parse(cell_of(Patient.objects.earliest("pk"))).key_reference
        cell, parsed = cell_of(patient), envelope.parse(cell_of(patient))
        flags = parsed.flags & ~envelope.REFERENCE
        front = envelope.header(flags, parsed.label_id, parsed.commitment, parsed.binding, wrapped)
        store(patient, front + cell[parsed.body_at :])
        assert opens(patient, "ssn")


def test_keys_of_that_context_alone_are_destroyed() -> None:
    """A name that begins alike, other case, and more items are other key contexts."""
    with vault_of("reference"):
        rows = {name: seal_everything(customer(name)) for name in ("org_1", "org_10", "ORG_1", "org_1 ")}
        vaults["default"].rotate({"organization_id": "org_1", "app": "clinic"})
        report = forget(CONTEXT)
        assert len(report["done"]["data_keys"]) == 1
        assert report["stays"]["wider_key_contexts"] == {"app=clinic organization_id=org_1": 1}
        assert "1 data keys of app=clinic organization_id=org_1: the key context has other" in reasons(report)
        left = {name: all(opens(*each) for each in found) for name, found in rows.items()}
        assert left == {"org_1": False, "org_10": True, "ORG_1": True, "org_1 ": True}


def test_a_context_of_several_items_is_named_whole() -> None:
    """It is destroyed by all of its items in any order, and by none of them alone."""
    with vault_of("reference"):
        vaults["default"].rotate({"organization_id": "org_1", "app": "clinic"})
        assert forget("app=clinic")["done"]["data_keys"] == []
        report = forget(CONTEXT, "app=clinic")
        assert len(report["done"]["data_keys"]) == 1
        assert "each item of a key context is a key of its own in Vault" in reasons(report)
        assert not DataKeyRecord.objects.exists()


def test_a_context_that_nobody_has_but_in_another_case() -> None:
    """It is told, and it is an error: somebody believes to have forgotten a customer."""
    with vault_of("reference"):
        seal_everything(customer("org_1"))
        error, _ = failing("organization_id=Org_1")
        assert "but under organization_id=org_1, which is another key context" in str(error)
        assert forget("organization_id=org_7")["done"]["data_keys"] == []


def test_items_that_nothing_is_sealed_under() -> None:
    """A misspelt name, or one item too many, forgets nobody, and says so instead of ending well."""
    with vault_of("reference"):
        rows = seal_everything(customer("org_1"))
        for items in (["organisation_id=org_1"], [CONTEXT, "app=tests"], ["org_1=organization_id"]):
            error, out = failing(*items)
            assert "no field, vault or data key has a key context of such items. Known: app=" in str(error)
            assert "organization_id=..." in str(error)
            assert not out
        vaults["default"].rotate({"organization_id": "org_2", "app": "tests"})
        report = forget(CONTEXT, "app=tests")
        assert report["done"]["data_keys"] == []
        assert report["stays"]["narrower_key_contexts"] == {"organization_id=org_1": 1}
        assert "1 data keys of organization_id=org_1: the key context has only some" in reasons(report)
        assert all(opens(*each) for each in rows)


def test_a_file_that_cannot_be_looked_at_is_told() -> None:
    """Whatever its name is in the table, or its storage raises: the customer is forgotten all the same."""
    with vault_of("reference"):
        rows = seal_everything(customer("org_1"))
        Report.objects.update(file="../../outside")
        report = forget(CONTEXT)
        assert report["done"]["finished"]
        assert not any(opens(*each) for each in rows[:3])
        assert "1 of files.Report.file: the file is not there, cannot be read" in reasons(report)


@pytest.mark.parametrize("kept", ["inline", "reference"])
@pytest.mark.parametrize("named", ["default", "new", None])
def test_while_columns_move_to_another_vault(kept: str, named: str | None) -> None:
    """The plan counts cells of the vault whose keys are destroyed in columns that name the other by now."""
    old = {**LOCAL, "KEY_CONTEXT": {"app": "tests"}, "DATA_KEYS": {"envelope": kept}}
    new = {**old, "OPTIONS": {"master_key": b"2" * 32, "objects_file": ":memory:"}, "ALSO_READS": ["default"]}
    with override_settings(WORKOS_VAULTS={"default": old, "new": new}), fields_name("new"):
        organization = customer("org_1")
        before = Patient.objects.create(organization=organization, ssn="123-45-6789")
        with fields_name("new", Patient):
            after = Patient.objects.create(organization=organization, ssn="123-45-6780")
            [planned] = forget(CONTEXT, vault=named, plan=True)["columns"]
            forget(CONTEXT, vault=named)
            gone = [not opens(before, "ssn"), not opens(after, "ssn")]
            expected = [kept == "reference" and named in (each, None) for each in ("default", "new")]
            assert gone == expected
            assert planned["destroyed"] == sum(gone)
            assert planned["destroyed"] + planned["inline"] + planned["elsewhere"] == 2


def test_reports_are_written_and_replace_none(tmp_path: Path) -> None:
    """As JSON and as text, without a value; a file that is there stops it before anything is destroyed."""
    with vault_of("reference"):
        rows = seal_everything(customer("org_1"))
        (tmp_path / "old.txt").write_text("an older report")
        assert "is there already. Nothing was changed" in str(
            failing(CONTEXT, report=tmp_path / "old.txt")[0]
        )
        assert "Nothing was changed" in str(failing(CONTEXT, report=tmp_path / "no" / "where.txt")[0])
        assert all(opens(*each) for each in rows)
        forget(CONTEXT, report=tmp_path / "report.json")
        report = json.loads((tmp_path / "report.json").read_text())
        assert report["done"]["data_keys"][0]["vault"] == "default"
        assert report["done"]["memories_end_at"] > report["done"]["destroyed_at"]
        forget(CONTEXT, report=tmp_path / "report.txt")
        text = (tmp_path / "report.txt").read_text()
        assert "1 of app.Patient.ssn: refers to a data key that is not on record" in text
        assert "up to 300 seconds longer" in text
        assert "123-45" not in text + json.dumps(report)


def test_a_backup_of_the_registry_brings_cells_back() -> None:
    """Its wrapped keys are opened by Vault, as long as that does."""
    with vault_of("reference"):
        row = Patient.objects.create(organization=customer("org_1"), ssn="123-45-6789")
        backup = list(DataKeyRecord.objects.all())
        told = reasons(forget(CONTEXT))
        assert "those from before have the wrapped keys, and can be opened as long as Vault unwraps" in told
        assert not opens(row, "ssn")
        DataKeyRecord.objects.all().delete()
        DataKeyRecord.objects.bulk_create(backup)
        assert opens(row, "ssn")


def test_the_process_that_ran_it_has_no_key_in_memory() -> None:
    """What it could read a moment ago it cannot read any more; a plan reads nothing to begin with."""
    with vault_of("reference"):
        row = Patient.objects.create(organization=customer("org_1"), ssn="123-45-6789")
        assert Patient.objects.get().ssn == "123-45-6789"
        with vaults["default"].decryption_forbidden():
            forget(CONTEXT, plan=True)
        assert Patient.objects.get().ssn == "123-45-6789"
        forget(CONTEXT)
        with pytest.raises(WrongKey, match="registry"):
            Patient.objects.get(pk=row.pk).ssn  # noqa: B018


def test_run_again_it_ends_the_same() -> None:
    """Nothing is left to destroy, and it says so without an error."""
    with vault_of("reference"):
        rows = seal_everything(customer("org_1"))
        first, second = forget(CONTEXT), forget(CONTEXT)
        assert (len(first["done"]["data_keys"]), len(second["done"]["data_keys"])) == (1, 0)
        assert second["done"]["finished"]
        assert [opens(*each) for each in rows] == [False, False, False, True]


def test_run_again_for_items_that_only_code_named() -> None:
    """When the keys are gone, nothing tells them from misspelt ones."""
    vaults["default"].rotate({"tenant": "acme"})
    assert len(forget("tenant=acme")["done"]["data_keys"]) == 1
    assert "no field, vault or data key has a key context of such items" in str(failing("tenant=acme")[0])


def test_cells_of_rows_that_moved_on_are_warned_of() -> None:
    """A row that another customer took over, past Django, has cells that only the old key opens."""
    with vault_of("reference"):
        patient = Patient.objects.create(organization=customer("org_1"), ssn="123-45-6789")
        Patient.objects.update(organization=customer("org_2"))
        out = StringIO()
        call_command("vault_forget", CONTEXT, plan=True, stdout=out)
        assert f"ANOTHER key context by now: app.Patient.ssn {patient.pk}" in out.getvalue()


def test_so_are_those_that_carry_the_key() -> None:
    """Named in the report too, with what to do; in a customer's own row, another's is not called theirs."""
    with vault_of("inline"):
        theirs = Patient.objects.create(organization=customer("org_2"), ssn="987-65-4321")
        patient = Patient.objects.create(organization=customer("org_1"), ssn="123-45-6789")
        for row, owner in ((theirs, patient.organization), (patient, theirs.organization)):
            Patient.objects.filter(pk=row.pk).update(organization=owner)
        report = forget(CONTEXT)
        told = reasons(report)
        assert f"1 of app.Patient.ssn: inline, in rows of ANOTHER key context by now: {patient.pk}." in told
        assert "Re-encrypt these, or they are lost once the customer withdraws their key in Vault." in told
        assert "And as many others: sealed under another key context" in told
        [cells] = report["columns"]
        assert (cells["inline"], cells["inline_of_others"], cells["elsewhere"]) == (1, 1, 1)


def test_many_of_them_are_counted() -> None:
    """Twenty of a column are listed by primary key, and it says how many more there are."""
    with vault_of("reference"):
        organization, out = customer("org_1"), StringIO()
        pks = [Patient.objects.create(organization=organization, ssn=f"{n}").pk for n in range(23)]
        Patient.objects.update(organization=customer("org_2"))
        call_command("vault_forget", CONTEXT, plan=True, stdout=out)
        listed = ", ".join(str(pk) for pk in pks[:20])
        assert f"app.Patient.ssn {listed} and 3 more. Re-encrypt these first" in out.getvalue()


@pytest.mark.parametrize("digests", [1, 2, 16])
def test_so_are_those_that_carry_digests_of_indexes_that_were_removed(digests: int) -> None:
    """Their commitment is further behind than the field's own cells have it."""
    with vault_of("reference"):
        patient = Patient.objects.create(organization=customer("org_1"), ssn="123-45-6789")
        store(patient, envelope.digests_front(bytes(32 * digests)) + cell_of(patient))
        Patient.objects.filter(pk=patient.pk).update(organization=customer("org_2"))
        out = StringIO()
        call_command("vault_forget", CONTEXT, plan=True, stdout=out)
        assert f"ANOTHER key context by now: app.Patient.ssn {patient.pk}" in out.getvalue()


def test_other_cells_of_the_rows_are_told() -> None:
    """Those of a customer's rows that another context's key opens, and digests that still answer searches."""
    with vault_of("reference"):
        organization = customer("org_1")
        Resident.objects.create(organization=organization, town="Lyon", street="Rue A")
        report = forget(CONTEXT)
        assert "1 of app.Resident.street: sealed under another key context" in reasons(report)
        assert "1 of app.Resident.town, their digests: blind indexes still find them" in reasons(report)


def test_what_is_no_cell_is_told() -> None:
    """Of a customer's rows: nobody knows what it was."""
    with vault_of("reference"):
        organization = customer("org_1")
        for damage in (b"\x63", b""):
            patient = Patient.objects.create(organization=organization, ssn="123-45-6789")
            store(patient, damage + cell_of(patient)[1:])
        store(Patient.objects.create(organization=customer("org_2"), ssn="1"), b"nonsense")
        report = forget(CONTEXT)
        [patients] = report["columns"]
        assert (patients["not_read"], patients["destroyed"], sum(patients["unread"].values())) == (2, 0, 2)
        assert "2 of app.Patient.ssn: is no cell that this release reads" in reasons(report)


def test_a_record_that_says_two_things_is_left_alone() -> None:
    """Who writes the registry files another customer's key under this one: it is not destroyed."""
    with vault_of("reference"):
        seal_everything(customer("org_1"))
        others = seal_everything(customer("org_2"))
        mine = DataKeyRecord.objects.get(key_context={"organization_id": "org_1"})
        DataKeyRecord.objects.filter(key_context={"organization_id": "org_2"}).update(
            context_digest=mine.context_digest, generation=7
        )
        report = forget(CONTEXT)
        assert len(report["done"]["data_keys"]) == 1
        assert len(report["stays"]["data_keys_in_doubt"]) == 1
        assert "names another one: see vault_check" in reasons(report)
        assert all(opens(*each) for each in others)


@pytest.mark.parametrize("alone", [True, False])
def test_index_root_keys_go_with_the_last_one_who_needs_them(alone: bool) -> None:
    """Those under the customer's own context, where the vault has no key of anybody else's."""
    declared: dict[str, Any] = {"KEY_CONTEXT": {"organization_id": "org_1"}} if alone else {}
    with vault_of("reference", **declared):
        Account.objects.create(login="ada")
        context = CONTEXT if alone else "app=tests"
        report = forget(context)
        # Patient and others of this project's fields seal for any organization: the vault is nobody's alone.
        assert report["done"]["finished"]
        assert IndexKeyRecord.objects.count() == 1
        assert "index root key 1 of vault default: searches of other key contexts need it" in reasons(report)


def test_a_search_still_tells_whether_a_guessed_value_is_there() -> None:
    """By its digest, though nobody can open the cell; until the row is deleted."""
    with vault_of("reference"):
        row = Account.objects.create(login="ada")
        report = forget("app=tests")
        assert "1 of app.Account.login, their digests: blind indexes still find them" in reasons(report)
        assert not opens(row, "login")
        assert Account.objects.filter(login="ada").exists()
        assert not Account.objects.filter(login="eve").exists()


def test_a_vault_of_one_customer_alone(settings: Any) -> None:
    """A second vault, which no field of another context uses: its root keys are destroyed."""
    settings.WORKOS_VAULTS = {
        "default": {**settings.WORKOS_VAULTS["default"]},
        "theirs": {**settings.WORKOS_VAULTS["default"], "KEY_CONTEXT": {"organization_id": "org_1"}},
    }
    vaults["theirs"].index_keys.key(1, b"an index")
    vaults["default"].index_keys.key(1, b"an index")
    plan = forget(CONTEXT, plan=True)
    assert [root["vault"] for root in plan["planned"]["index_root_keys"]] == ["theirs"]
    assert forget(CONTEXT, vault="default")["planned"]["index_root_keys"] == []
    forget(CONTEXT)
    assert [root.vault for root in IndexKeyRecord.objects.all()] == ["default"]


def test_property_paths_are_followed_in_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key context that a property of the row gives is not missed."""
    monkeypatch.setattr(Organization, "of_workos", property(lambda self: self.workos_id), raising=False)
    field: Any = Patient._meta.get_field("ssn")
    monkeypatch.setattr(field.key_context["organization_id"], "path", "organization.of_workos")
    with vault_of("reference"):
        rows = [Patient.objects.create(organization=customer("org_1"), ssn="123-45-6789")]
        Patient.objects.create(organization=customer("org_2"), ssn="123-45-6789")
        report = forget(CONTEXT)
        assert [each["destroyed"] for each in report["columns"]] == [1]
        assert not any(opens(row, "ssn") for row in rows)
