"""Commands whose output nobody reads to the end, as before ``head``: real pipes without a reader."""

import os
import subprocess
import sys
from importlib import import_module
from io import FileIO, TextIOWrapper
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import pytest
from django.core.management import call_command

from django_workos_vault.management import commands
from django_workos_vault.management.command import VaultCommand
from tests.maintenance.forgetting.forgetting import customer, seal_everything

CHECKOUT = Path(__file__).resolve().parents[2]


def nobody_reads() -> int:
    """Return the end of a pipe to write to, with no other end."""
    reading, writing = os.pipe()
    os.close(reading)
    return writing


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["at the last flush", "at the first line"])
def test_a_command_ends_quietly(unbuffered: str) -> None:
    """No traceback of ours, and no complaint of Python's when it ends."""
    writing = nobody_reads()
    done = subprocess.run(
        [sys.executable, "-m", "django", "vault_check", "--explain", "settings"],
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
