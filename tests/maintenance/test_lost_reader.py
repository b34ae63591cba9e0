"""Commands whose output nobody reads to the end, as before ``head``: real pipes without a reader."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from io import FileIO, TextIOWrapper
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import pytest
from django.core.management import call_command

from django_workos_vault.management import commands
from django_workos_vault.management.command import VaultCommand
from django_workos_vault.models import DataKeyRecord, MaintenanceRun
from tests.app.models import Person
from tests.files.models import Scan
from tests.forked import CHECKOUT, Forks, Process
from tests.maintenance.forgetting.forgetting import customer, seal_everything

Command = Callable[..., Process]

COMMAND = """
import os
from django.conf import settings
from django.core.management import execute_from_command_line
settings.MEDIA_ROOT = os.environ.get("MEDIA_ROOT", "")
execute_from_command_line()
"""


def nobody_reads() -> int:
    """Return the end of a pipe to write to, with no other end."""
    reading, writing = os.pipe()
    os.close(reading)
    return writing


@pytest.mark.parametrize(
    ("page", "unbuffered"),
    [("E010", ""), ("settings", ""), ("settings", "1")],
    ids=["at the last flush", "when a buffer is full", "at the first line"],
)
def test_a_command_ends_quietly(page: str, unbuffered: str) -> None:
    """No traceback of ours, and no complaint of Python's when it ends."""
    writing = nobody_reads()
    done = subprocess.run(
        [sys.executable, "-m", "django", "vault_check", "--explain", page],
        cwd=CHECKOUT,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "example_project.settings",
            "PYTHONUNBUFFERED": unbuffered,
        },
        stdout=writing,
        stderr=subprocess.PIPE,
        check=False,
        timeout=60,
    )
    os.close(writing)
    assert (done.stderr.decode(), done.returncode) == ("", 141)


@pytest.fixture
def command(forks: Forks, tmp_path: Path) -> Iterator[Command]:
    """Start a command in the databases of the test."""
    started = []

    def start(*arguments: str, stdout: int, stderr: int, **environment: str) -> Process:
        with open(os.devnull) as nothing:
            streams = {"stdin": nothing.fileno(), "stdout": stdout, "stderr": stderr}
            process = forks.start(COMMAND, *arguments, cwd=tmp_path, **streams, **environment)
        for each in {stdout, stderr}:
            os.close(each)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["vault_reencrypt", "app.Person", "--workers", "2", "--format", "json"], 0, b'"finished"'),
        (["vault_check"], 1, b"problem  registry"),
        (["vault_forget", "organization_id=org_1"], 1, b""),
        (["vault_encrypt_files", "app.Person.ssn"], 1, b""),
    ],
)
def test_nobody_reads_the_errors(command: Command, arguments: list[str], status: int, said: bytes) -> None:
    """The work is done, the output whole, and the exit status as it would be."""
    Person.objects.create(ssn="1")
    if arguments[0] == "vault_check":
        DataKeyRecord.objects.update(proof="0" * 64)
    reading, writing = os.pipe()
    process = command(*arguments, stdout=writing, stderr=nobody_reads())
    assert process.wait() == status
    with open(reading, "rb") as out:
        assert said in out.read()
    assert set(MaintenanceRun.objects.values_list("state", flat=True)) <= {"finished"}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "arguments",
    [
        ["vault_reencrypt", "app.Person"],
        ["vault_check"],
        ["vault_forget", "organization_id=org_1", "--yes", "--format", "json"],
        ["vault_encrypt_files", "files.Scan.file"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_nobody_reads_anything(command: Command, tmp_path: Path, settings: Any, arguments: list[str]) -> None:
    """As with ``2>&1 | head`` that has ended: what was asked for is done all the same."""
    settings.MEDIA_ROOT = str(tmp_path)
    seal_everything(customer("org_1"))
    Person.objects.create(ssn="1")
    (tmp_path / "plain.png").write_bytes(b"a scan")
    Scan.objects.create(file="plain.png")
    writing = nobody_reads()
    process = command(*arguments, stdout=writing, stderr=writing, MEDIA_ROOT=str(tmp_path))
    assert process.wait() == 141
    done = {
        "vault_reencrypt": lambda: MaintenanceRun.objects.get().state == "finished",
        "vault_check": lambda: True,
        "vault_forget": lambda: (
            not DataKeyRecord.objects.filter(key_context={"organization_id": "org_1"}).exists()
        ),
        "vault_encrypt_files": lambda: Scan.objects.get(title="hand", plain="").file.name != "plain.png",
    }
    assert done[arguments[0]]()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["vault_forget", "organization_id=org_1", "--yes"], "Nothing was changed: the plan could not be"),
        (["vault_forget", "organization_id=org_1", "--yes", "--format", "json"], "1 wrapped data keys in"),
        (["vault_check", "--explain", "E010"], ""),
    ],
)
def test_a_disk_that_is_full(
    command: Command, tmp_path: Path, settings: Any, arguments: list[str], said: str, unbuffered: str
) -> None:
    """One line says so. What it destroyed is told on stderr; and nothing is whose plan could not be told."""
    settings.MEDIA_ROOT = str(tmp_path)
    seal_everything(customer("org_1"))
    reading, writing = os.pipe()
    full = os.open("/dev/full", os.O_WRONLY)
    process = command(
        *arguments, stdout=full, stderr=writing, MEDIA_ROOT=str(tmp_path), PYTHONUNBUFFERED=unbuffered
    )
    with open(reading) as errors:
        told = errors.read()
    assert process.wait() == 1
    assert "Traceback" not in told
    assert told.endswith("The output could not be written: [Errno 28] No space left on device\n")
    assert said in told
    keys = DataKeyRecord.objects.filter(key_context={"organization_id": "org_1"})
    assert keys.exists() is ("json" not in arguments)


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("both", [True, False], ids=["2>&1 | head -1", "2> >(head -1)"])
def test_the_reader_of_progress_goes_away(command: Command, both: bool) -> None:
    """After the first line of it. The run goes on to its end."""
    for number in range(14):
        Person.objects.create(ssn=str(number))
    reading, writing = os.pipe()
    output, stdout = os.pipe()
    process = command(
        *["vault_reencrypt", "app.Person", "--batch-size", "1", "--max-rows-per-second", "1"],
        stdout=writing if both else stdout,
        stderr=writing,
    )
    with open(reading) as lines:
        assert re.match(r"Run \d+: \d+ of 14 rows", lines.readline())
    assert process.wait() == (141 if both else 0)
    if both:
        os.close(stdout)
    with open(output) as out:
        assert both or "14" in out.read()
    run = MaintenanceRun.objects.get()
    assert (run.state, run.chunks.get().rows_done) == ("finished", 14)


def test_every_command_is_one_of_these() -> None:
    names = [module.name for module in iter_modules(commands.__path__)]
    assert "vault_check" in names
    for name in names:
        assert issubclass(import_module(f"{commands.__name__}.{name}").Command, VaultCommand)


@pytest.mark.django_db(transaction=True)
def test_what_was_destroyed_is_reported_all_the_same(tmp_path: Path, settings: Any) -> None:
    """The file is the only report where the other one cannot be printed."""
    settings.MEDIA_ROOT = tmp_path
    seal_everything(customer("org_1"))
    report = tmp_path / "report.json"
    options = {"yes": True, "format": "json", "report": report}
    with (
        TextIOWrapper(FileIO(nobody_reads(), "w"), write_through=True) as out,
        pytest.raises(BrokenPipeError),
    ):
        call_command("vault_forget", "organization_id=org_1", stdout=out, **options)
    assert '"finished": true' in report.read_text()
