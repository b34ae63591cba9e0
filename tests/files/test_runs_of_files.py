"""Runs of ``vault_reencrypt`` over files are on record: stopped, taken up, shared, and of some rows only."""

import shutil
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import stamina
from django.core.files.base import ContentFile
from django.core.management import CommandError, call_command
from django.db import connection

from django_workos_vault import vaults
from django_workos_vault.maintenance.engine import runs
from django_workos_vault.maintenance.engine.work import Worker
from django_workos_vault.maintenance.queues.turn import Turn, one_turn
from django_workos_vault.models import MaintenanceRun
from django_workos_vault.streams.cipher import read_header
from django_workos_vault.streams.sources import BytesSource
from tests.files.models import Report, Scan
from tests.files.test_renewal import TEXT, stored, texts
from tests.maintenance.noting import Died, dying, keys, stop_at
from tests.maintenance.test_failing_keys import KeysDown, down

__all__ = ["down"]  # a fixture

pytestmark = pytest.mark.django_db(databases="__all__")


def command(*targets: str, **options: Any) -> str:
    out = StringIO()
    call_command("vault_reencrypt", *targets, stdout=out, **options)
    return out.getvalue()


def begun(model: Any, operation: str = "reseal", chunk_size: int = 2) -> MaintenanceRun:
    options = {"batch_size": 1, "chunk_size": chunk_size}
    return runs.begin([model._meta.get_field("file")], operation, using="default", options=options)


def scans(number: int) -> list[Scan]:
    rows = [Scan.objects.create(file=ContentFile(TEXT[:n], name=f"{n}.png")) for n in range(number)]
    Scan.objects.create()  # without a file
    return rows


def commitments(media: Path) -> set[bytes]:
    return {read_header(BytesSource(raw)).commitment for raw in stored(media).values()}


def died(run: MaintenanceRun) -> None:
    try:
        with connection.execute_wrapper(dying(3)):
            Worker(run, lease=-1).work()
    except Died:
        pass


@pytest.mark.parametrize("operation", ["reseal", "rekey"])
@pytest.mark.parametrize("end", [lambda run: stop_at(run, 3), died], ids=["stopped", "died"])
def test_taken_up_where_it_ended(media: Path, operation: str, end: Callable[[Any], None]) -> None:
    """Every file is done once, under one new key, however often the run was taken up."""
    scans(5)
    before = keys()
    run = begun(Scan, operation)
    end(run)
    runs.pause(run)
    assert 2 <= runs.progress(run).rows < 5
    vaults.reset()
    assert f"Run {run.pk} is finished: 5 rows" in command(resume=run.pk)
    counts = runs.progress(run).counts["files.Scan.file"]
    assert (counts.renewed, counts.changed_meanwhile, counts.left) == (5, 0, 0)
    Scan.objects.filter(file="").delete()
    assert texts(Scan) == [TEXT[:n] for n in range(5)]
    assert len(stored(media)) == 5
    assert len(keys() - before) == (operation == "reseal")
    assert len(commitments(media)) == 1


def test_a_pause_and_a_status(media: Path) -> None:
    """Paused from elsewhere, a run ends with the file that it is at."""
    scans(3)
    run = begun(Scan)
    done: list[int] = []

    def pause(rows: int) -> None:
        done.append(rows)
        command(pause=run.pk)

    Worker(run, told=pause).work()
    assert done == [1]
    assert f"Run {run.pk} is paused: 1 rows" in command(status=run.pk)
    assert f"Run {run.pk} is finished" in command(resume=run.pk)


def test_files_of_one_customer(media: Path) -> None:
    """``--where`` takes an item of the key context, or a plain column."""
    for clinic in ("org_1", "org_2", "org_1"):
        Report.objects.create(clinic=clinic, file=ContentFile(TEXT, name="a.pdf"))
    before = {row.pk: row.file.name for row in Report.objects.all()}
    command("files.Report.file", where="organization_id=org_1")
    changed = {row.clinic for row in Report.objects.all() if row.file.name != before[row.pk]}
    assert changed == {"org_1"}
    assert "2 rows" in command(status=MaintenanceRun.objects.get().pk)
    with pytest.raises(CommandError, match="no item of a key context"):
        command("files.Report.file", where="nothing=1")


def test_chunks_on_a_queue(media: Path) -> None:
    """A task does a chunk, in a process that knows nothing but the number of the run."""
    scans(3)
    run = begun(Scan)
    assert one_turn(run.pk, "default") is Turn.NEXT
    vaults.reset()
    while one_turn(run.pk, "default") is Turn.NEXT:
        pass
    run.refresh_from_db()
    assert (run.state, runs.progress(run).rows) == ("finished", 3)
    assert len(commitments(media)) == 1


def test_a_file_that_is_replaced_meanwhile(media: Path) -> None:
    """The newer one stands, ours is deleted, and the other's old file is theirs to delete."""
    [row] = scans(1)
    old = row.file.name

    def another_file() -> None:
        Scan.objects.get(pk=row.pk).file.save("new.png", ContentFile(b"newer"))

    todo = [another_file]

    def wrapper(execute: Any, statement: str, *args: Any) -> Any:
        if todo and statement.startswith("UPDATE") and "files_scan" in statement:
            todo.pop()()
        return execute(statement, *args)

    run = begun(Scan)
    with connection.execute_wrapper(wrapper):
        Worker(run).work()
    counts = runs.progress(run).counts["files.Scan.file"]
    assert (counts.renewed, counts.changed_meanwhile) == (0, 1)
    now = Scan.objects.get(pk=row.pk).file
    assert set(stored(media)) == {old, now.name}
    with now.open() as file:
        assert file.read() == b"newer"


def test_a_batch_that_does_not_commit(media: Path) -> None:
    """The copy is deleted, and the row has the file that it had."""
    [row] = scans(1)
    run = begun(Scan)
    before = stored(media)
    with pytest.raises(Died), connection.execute_wrapper(dying(1)):
        Worker(run).work()
    assert stored(media) == before
    assert Scan.objects.get(pk=row.pk).file.name == row.file.name


def test_a_disk_without_room(media: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is not copied where its copy has no room: it is left, and named. A header is written over."""
    scans(2)
    before = stored(media)
    usage = shutil.disk_usage(media)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=10_000))
    with pytest.raises(CommandError, match="2 files were left"):
        command("files.Scan.file")
    assert {each.reason for each in runs.left_cells(MaintenanceRun.objects.get())} == {"NoSpace"}
    assert stored(media) == before
    command("files.Scan.file", rekey=True)


@pytest.mark.parametrize("operation", ["reseal", "rekey"])
def test_one_customers_key_and_an_outage(down: KeysDown, media: Path, operation: str) -> None:
    """Files of a key that Vault fails with are left; where it gives nobody's, the run is paused."""
    for clinic in ("org_1", "org_2", "org_2", "org_3"):
        Report.objects.create(clinic=clinic, file=ContentFile(TEXT, name="a.pdf"))
    vaults["default"].keyring.forget()
    down.organizations = {"org_2"}
    with stamina.set_testing(True, attempts=2):
        with pytest.raises(CommandError, match="2 files were left"):
            command("files.Report.file", operation=operation)
        left = runs.left_cells(MaintenanceRun.objects.get())
        assert {(Report.objects.get(pk=each.pk).clinic, each.reason) for each in left} == {
            ("org_2", "VaultUnavailable")
        }
        vaults["default"].keyring.forget()
        down.everything = True
        with pytest.raises(CommandError, match="--resume"):
            command("files.Report.file", operation=operation)
    run = runs.newest()[0]
    assert (run.state, runs.progress(run).rows) == ("paused", 0)


@pytest.mark.django_db(transaction=True, databases="__all__")
@pytest.mark.slow
@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one worker")
def test_workers_that_are_killed(media: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes at a time, three of which die of -9: every file is whole, and none was done twice."""
    from tests.maintenance.processes import in_databases_of_test, kill_at_random

    in_databases_of_test(monkeypatch)
    monkeypatch.setenv("VAULT_TEST_MEDIA_OF_PARENT", str(media))
    rows = scans(60)
    before = keys()
    run = begun(Scan, chunk_size=6)
    run.options["max_rows_per_second"] = 15
    run.save()
    assert kill_at_random(run, 3) == 3
    run.refresh_from_db()
    told = runs.progress(run)
    assert (run.state, told.rows, told.counts["files.Scan.file"].renewed) == ("finished", 60, 60)
    vaults["default"].keyring.forget()
    [new] = keys() - before
    for n, row in enumerate(rows):
        file = Scan.objects.get(pk=row.pk).file
        with file.open() as opened:
            assert opened.read() == TEXT[:n]
        assert read_header(BytesSource((media / file.name).read_bytes())).commitment.hex() == new
