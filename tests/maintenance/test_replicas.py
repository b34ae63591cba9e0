"""A project that reads from a replica, which lags behind: maintenance looks at the primary database."""

import json
from io import StringIO
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.management import call_command
from django.test import override_settings

from django_workos_vault import vaults
from django_workos_vault.access.entries import Entry
from django_workos_vault.maintenance.cells import prefetches
from django_workos_vault.models import DataKeyRecord, MaintenanceRun
from tests.app.models import Account, Device, Organization, Patient, Resident
from tests.checked import checked
from tests.files.models import Scan
from tests.maintenance.reencrypting import reencrypt

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")


class FromReplica:
    """Reads from ``other``, as Django's documentation has it for replicas."""

    def db_for_read(self, model: Any, **hints: Any) -> str:
        return "other"

    def db_for_write(self, model: Any, **hints: Any) -> str:
        return "default"

    def allow_relation(self, one: Any, other: Any, **hints: Any) -> bool:
        return True


class Apart:
    """Keeps organizations in a database of their own."""

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return "other" if model is Organization else None

    db_for_write = db_for_read

    def allow_relation(self, one: Any, other: Any, **hints: Any) -> bool:
        return True


@pytest.fixture
def lagging(settings: Any) -> list[Any]:
    """Rows of one customer each, of whom the replica has what they were called before, or nothing."""
    moved, new = (Organization.objects.create(name=name, workos_id=name) for name in ("org_1", "org_2"))
    rows = [
        row
        for each in (moved, new)
        for row in (
            Patient.objects.create(organization=each, ssn="1"),
            Device.objects.create(organization=each, pin="2"),
            Resident.objects.create(organization=each, town="Lyon"),
        )
    ]
    Organization.objects.using("other").create(pk=moved.pk, name="before", workos_id="org_before")
    vaults.reset()
    settings.DATABASE_ROUTERS = [FromReplica()]
    return rows


def contexts() -> set[str]:
    rows = DataKeyRecord.objects.using("default").values_list("key_context", flat=True)
    return {context.get("organization_id", "") for context in rows} - {""}


@pytest.mark.parametrize("operation", ["reseal", "rekey"])
def test_runs(lagging: list[Any], operation: str) -> None:
    """They are found, done, and sealed for whom the row belongs to."""
    for name in ("Patient", "Device", "Resident.town"):
        document = json.loads(reencrypt(f"app.{name}", operation=operation, format="json"))
        assert (document["state"], document["rows"], document["left"]) == ("finished", 2, [])
    assert contexts() == {"org_1", "org_2"}
    assert MaintenanceRun.objects.using("default").count() == 3
    assert not MaintenanceRun.objects.using("other").exists()


@pytest.mark.parametrize("how", [{"plan": True}, {"dry_run": True}], ids=lambda how: "".join(how))
def test_looks(lagging: list[Any], how: dict[str, Any]) -> None:
    document = json.loads(reencrypt("app.Patient", format="json", **how))
    assert document["columns"][0]["renewed"] == 2
    if "plan" in how:
        assert document["columns"][0]["states"]["context"] == {"its own": 2}


def test_files(settings: Any, tmp_path: Any) -> None:
    settings.MEDIA_ROOT = tmp_path
    Scan.objects.create(file=ContentFile(b"a scan", name="a.png"))
    settings.DATABASE_ROUTERS = [FromReplica()]
    assert "is finished: 1 rows" in reencrypt("files.Scan.file")


def test_forgetting(lagging: list[Any]) -> None:
    """No row of the customer is taken for another's."""
    out = StringIO()
    call_command("vault_forget", "organization_id=org_1", plan=True, format="json", stdout=out)
    columns = json.loads(out.getvalue())["columns"]
    assert {each["column"]: (each["inline"], each["inline_of_others"]) for each in columns} == {
        "app.Patient.ssn": (1, 0),
        "app.Device.pin": (1, 0),
        "app.Resident.town": (1, 0),
    }


def test_pausing_and_going_on(lagging: list[Any]) -> None:
    reencrypt("app.Patient")
    run = MaintenanceRun.objects.using("default").get()
    MaintenanceRun.objects.using("default").update(state="paused")
    assert f"Run {run.pk} is finished" in reencrypt(resume=run.pk)
    MaintenanceRun.objects.using("default").update(state="paused")
    assert f"Run {run.pk} is cancelled" in reencrypt(cancel=run.pk)
    assert f"Run {run.pk} is cancelled" in reencrypt(status=run.pk)


def test_related_rows_in_another_database() -> None:
    """They are looked for where the project's router keeps them."""
    with override_settings(DATABASE_ROUTERS=[Apart()]):
        organization = Organization.objects.create(name="org_3", workos_id="org_3")
        assert Organization.objects.using("other").exists()
        [prefetch] = prefetches([Patient._meta.get_field("ssn")], "default")  # type: ignore[list-item]
        assert (prefetch.prefetch_through, prefetch.queryset.db) == ("organization", "other")
        assert prefetch.queryset.get() == organization
    [prefetch] = prefetches([Patient._meta.get_field("ssn")], "other")  # type: ignore[list-item]
    assert prefetch.queryset.db == "other"
    with override_settings(DATABASE_ROUTERS=[FromReplica()]):
        [prefetch] = prefetches([Patient._meta.get_field("ssn")], "default")  # type: ignore[list-item]
        assert prefetch.queryset.db == "default"


def test_the_checklist(lagging: list[Any], settings: Any, tmp_path: Any) -> None:
    """Every row, key, file and access record is looked at that the primary has: the replica has none yet."""
    settings.MEDIA_ROOT = tmp_path
    Scan.objects.create(file=ContentFile(b"a scan", name="a.png"))
    Account.objects.create(email="a@x.org", login="a", phone="1", city="Lyon")
    vaults.access_records().append([Entry("reveal", user_pk="7")])
    document = checked(all=True)
    columns = {each["column"]: each for each in document["columns"]}
    names = ("app.Patient.ssn", "app.Device.pin", "app.Account.email")
    assert [columns[name]["rows"] for name in names] == [2, 2, 1]
    on_record = set(DataKeyRecord.objects.using("default").values_list("key_id", flat=True))
    assert {kind["data_key"] for name in names for kind in columns[name]["cells"]} <= on_record
    said = {(each["step"], each["subject"]): each["message"] for each in document["findings"]}
    assert said["registry", "default"].startswith(f"All {len(on_record)} ")
    assert said["files", "files.Scan.file"].startswith("1 ")
    assert said["access records", "chain"].startswith("Records 1 to 1 ")
