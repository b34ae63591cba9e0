"""``vault_reencrypt --plan`` of a file field: what a run would find and cost, told by headers alone."""

import json
import shutil
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import stamina
from django.core.files.base import ContentFile
from django.core.files.storage import InMemoryStorage
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from django_workos_vault import vaults
from django_workos_vault.maintenance.engine import runs
from django_workos_vault.models import DataKeyRecord, MaintenanceRun
from tests.files.models import Report, Scan
from tests.files.test_renewal import TEXT, stored
from tests.files.test_runs_of_files import begun, scans
from tests.maintenance.moving import local, only
from tests.maintenance.noting import keys
from tests.maintenance.test_failing_keys import KeysDown, down

__all__ = ["down"]  # a fixture

pytestmark = [pytest.mark.django_db(databases="__all__"), pytest.mark.usefixtures("outside_of_checkouts")]

REPORTS, SCANS = "files.Report.file", "files.Scan.file"


def command(*targets: str, **options: Any) -> str:
    out = StringIO()
    call_command("vault_reencrypt", *targets, stdout=out, **options)
    return out.getvalue()


def planned(target: str, **options: Any) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(command(target, plan=True, format="json", **options))
    return document


def reports(*clinics: str) -> list[Report]:
    return [Report.objects.create(clinic=each, file=ContentFile(TEXT, name="a.pdf")) for each in clinics]


def requests() -> int:
    return vaults["default"].backend.requests_made


def test_states_and_cost(media: Path) -> None:
    """Files are told by what their headers say, and nothing is written or made."""
    rows = reports("org_1", "org_1", "org_1", *["org_2"] * 6)
    whole, other, moved, plain, missing, cut, newer, empty, unknown = rows
    paths = {row: media / row.file.name for row in rows}
    raw = paths[whole].read_bytes()
    paths[other].write_bytes(raw)
    Report.objects.filter(pk=moved.pk).update(clinic="")
    paths[plain].write_bytes(b"%PDF")
    paths[missing].unlink()
    paths[cut].write_bytes(raw[:500])
    paths[empty].write_bytes(b"")
    paths[newer].write_bytes(raw[:8] + b"\x02" + raw[9:])
    DataKeyRecord.objects.filter(key_context={"organization_id": "org_2"}).delete()
    vaults["default"].keyring.forget()
    before = stored(media), keys()
    plan = planned(REPORTS)
    assert (stored(media), keys()) == before
    assert not MaintenanceRun.objects.exists()
    [column] = plan["columns"]
    assert (column["column"], column["rows"], column["looked_at"]) == (REPORTS, 9, 9)
    assert (column["renewed"], column["null"], column["bytes"]) == (2, 0, 2 * len(raw))
    assert {cell["pk"]: cell["reason"] for cell in column["unreadable"]} == {
        str(other.pk): "WrongBinding",
        str(moved.pk): "MissingKeyContext",
        str(plain.pk): "MalformedEnvelope",
        str(missing.pk): "FileNotFoundError",
        str(cut.pk): "MalformedEnvelope",
        str(newer.pk): "UnknownFormat",
        str(empty.pk): "MalformedEnvelope",
    }
    assert column["states"] == {
        "file": {
            "encrypted": 4,
            "not encrypted": 1,
            "missing": 1,
            "damaged": 1,
            "of another version": 1,
            "empty": 1,
        },
        "vault": {"default": 4},
        "version": {"1": 4},
        "envelope": {"inline": 4},
        "label": {"its own": 4},
        "key": {"made within 30 days": 3, "not on record": 1},
        "context": {"its own": 2, "another": 1, "unknown": 1},
    }
    assert (plan["keys"], plan["contexts"], plan["requests"], plan["is_sample"]) == (2, 2, 4, False)
    assert plan["rewritten"] == 2 * len(raw)
    assert plan["disk"] == len(raw) + 1_000_000
    assert plan["disk_free"] > plan["disk"]
    assert unknown


def in_memory() -> Iterator[None]:
    field = Report._meta.get_field("file")
    before, field.storage = field.storage, InMemoryStorage()
    yield
    field.storage = before


@pytest.fixture(params=["folder", "memory"])
def storage(request: Any, media: Path) -> Iterator[None]:
    yield from in_memory() if request.param == "memory" else iter([None])


@pytest.mark.parametrize("operation", ["reseal", "rekey"])
def test_requests_are_those_of_the_run(storage: None, operation: str) -> None:
    """As many as the run then makes: where headers are written over, and where files are copied."""
    reports("org_1", "org_1", "org_2", "org_3")
    vaults["default"].keyring.forget()
    plan = planned(REPORTS, operation=operation)
    assert plan["columns"][0]["renewed"] == 4
    vaults["default"].keyring.forget()
    made = requests()
    document = json.loads(command(REPORTS, operation=operation, format="json"))
    assert document["columns"][0]["renewed"] == 4
    assert requests() - made == plan["requests"]


def test_rekeying_in_a_folder_needs_no_disk(media: Path) -> None:
    """The bytes are those of the headers."""
    reports("org_1", "org_1")
    plan = planned(REPORTS, rekey=True)
    assert (plan["rewritten"], plan["disk"], plan["disk_free"]) == (2 * 1024, 0, None)


def test_headers_alone_are_read(media: Path) -> None:
    """What is wrong behind one is for a dry run, which the text says; so are files that are not encrypted."""
    damaged, plain = scans(20)[-2:]
    path = media / damaged.file.name
    raw = path.read_bytes()
    path.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    (media / plain.file.name).write_bytes(b"a scan")
    text = command(SCANS, plan=True)
    assert "file: encrypted 19, not encrypted 1" in text
    assert "Counted: 1 distinct data keys, 1 key contexts, 2 requests" in text
    assert "Headers alone were read" in text
    assert "Not encrypted: 1. manage.py vault_encrypt_files files.Scan.file seals them." in text
    assert text.splitlines()[1].split() == [SCANS, "20", "20", "0", "19", "1"]
    with pytest.raises(CommandError, match="2 cells would be left"):
        command(SCANS, dry_run=True)


@pytest.mark.parametrize("name", ["../x.png", "/etc/passwd", "scans", "a\0b"])
def test_names_that_no_storage_takes(media: Path, tmp_path: Path, name: str) -> None:
    """Whoever writes the table keeps no command from the other files, and is told."""
    if "\0" in name and connection.vendor == "postgresql":
        pytest.skip("no column holds it")
    bad, _ = scans(2)
    Scan.objects.filter(pk=bad.pk).update(file=name)
    [column] = planned(SCANS)["columns"]
    assert (column["renewed"], [cell["pk"] for cell in column["unreadable"]]) == (1, [bad.pk])
    with pytest.raises(CommandError, match="1 cells would be left"):
        command(SCANS, dry_run=True)
    with pytest.raises(CommandError, match="1 files were left"):
        command(SCANS)
    assert MaintenanceRun.objects.get().state == "finished"
    with pytest.raises(CommandError, match="1 files were left"):
        call_command("vault_encrypt_files", SCANS, journal=tmp_path / "journal", stdout=StringIO())
    out = StringIO()
    with pytest.raises(CommandError):
        call_command("vault_check", files=True, stdout=out)
    assert "2 of 2 files: 1 cannot be opened" in out.getvalue()


def test_keys_are_looked_up_together(media: Path) -> None:
    """Those of many files with one query, not each by itself."""
    reports(*(f"org_{number}" for number in range(6)))
    with CaptureQueriesContext(connection) as queries:
        assert planned(REPORTS)["keys"] == 6
    table = DataKeyRecord._meta.db_table
    looked_up = [each["sql"] for each in queries if f"FROM {connection.ops.quote_name(table)}" in each["sql"]]
    assert len([sql for sql in looked_up if " IN (" in sql and "commitment" in sql]) == 1


def test_one_customer(media: Path) -> None:
    """With ``--where``."""
    reports("org_1", "org_2", "org_2")
    plan = planned(REPORTS, where="organization_id=org_2")
    assert (plan["columns"][0]["rows"], plan["contexts"]) == (2, 1)


def test_a_sample(media: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many files the oldest and the newest are looked at; the bytes are those of all."""
    scans(6)
    monkeypatch.setattr("django_workos_vault.maintenance.engine.plan.SAMPLE", 2)
    plan = planned(SCANS)
    [column] = plan["columns"]
    assert (plan["is_sample"], column["looked_at"], column["rows"]) == (True, 2, 6)
    assert plan["rewritten"] == 3 * column["bytes"]
    assert "Sampled, the oldest and the newest rows" in command(SCANS, plan=True)


def test_a_disk_without_room(media: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file that would be left is named; where one at a time fits and several do not, the plan fails."""
    scans(3)
    usage = shutil.disk_usage(media)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=10_000))
    [column] = planned(SCANS)["columns"]
    assert {cell["reason"] for cell in column["unreadable"]} == {"NoSpace"}
    assert len(column["unreadable"]) == 3
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1_002_000))
    assert planned(SCANS)["columns"][0]["renewed"] == 3
    with pytest.raises(CommandError, match=r"The disk has 1 MB free, and the rewrite may need"):
        planned(SCANS, workers=4)


def test_a_key_that_vault_denies(media: Path) -> None:
    """Files of another vault, which neither this one nor its registry knows, would be left."""
    scans(2)
    DataKeyRecord.objects.all().delete()
    with only(default=local(9)):
        [column] = planned(SCANS)["columns"]
    assert {cell["reason"] for cell in column["unreadable"]} == {"WrongKey"}


def test_one_customers_key_and_an_outage(down: KeysDown, media: Path) -> None:
    """Files whose key Vault fails with would be left; where it gives nobody's, the plan stops."""
    rows = reports("org_1", "org_2", "org_2", "org_3")
    vaults["default"].keyring.forget()
    down.organizations = {"org_2"}
    with stamina.set_testing(True, attempts=2):
        [column] = planned(REPORTS)["columns"]
        assert {(cell["pk"], cell["reason"]) for cell in column["unreadable"]} == {
            (str(row.pk), "VaultUnavailable") for row in rows[1:3]
        }
        assert column["renewed"] == 2
        vaults["default"].keyring.forget()
        down.everything = True
        with pytest.raises(CommandError, match=r"Stopped: .* Nothing was changed"):
            planned(REPORTS)


def test_what_no_key_context_keeps_from_ending_does_not_begin(media: Path) -> None:
    """A run would leave every file."""
    scans(1)
    with only(default={**local(1), "KEY_CONTEXT": None}):
        for how in ({}, {"plan": True}, {"dry_run": True}):
            with pytest.raises(CommandError, match="KEY_CONTEXT"):
                command(SCANS, **how)
    assert not MaintenanceRun.objects.exists()


def test_a_paused_rekeying_beside_cells_in_the_registry(media: Path) -> None:
    """Files hold their wrapped keys, wherever the vault's cells have theirs: the run is resumed."""
    with override_settings(WORKOS_VAULTS={"default": {**local(1), "DATA_KEYS": {"envelope": "reference"}}}):
        scans(2)
        run = begun(Scan, "rekey")
        runs.pause(run)
        assert f"Run {run.pk} is finished" in command(resume=run.pk)
