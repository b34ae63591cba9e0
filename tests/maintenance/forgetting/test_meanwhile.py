"""``vault_forget`` and what others do before it ends: it destroys, and tells, what is so then."""

import io
import json
import os
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from django_workos_vault import vaults
from django_workos_vault.backends.local import LocalVault
from django_workos_vault.models import IndexKeyRecord
from tests.maintenance.forgetting.forgetting import CONTEXT, LOCAL, contract, customer, failing, forget

pytestmark = pytest.mark.django_db(databases="__all__")

MINE = {"organization_id": "org_1"}


class Overtaken(LocalVault):
    """Another run, with the same report, does all of it while this one deletes its first object."""

    report: Path | None = None

    def delete_object(self, *args: Any, **kwargs: Any) -> Any:
        file, Overtaken.report = Overtaken.report, None
        if file is not None:
            forget(CONTEXT, report=file)
        return super().delete_object(*args, **kwargs)


@pytest.fixture(autouse=True)
def theirs(settings: Any) -> None:
    """A vault of the customer alone, with a root key; and a data key and an object in another."""
    local = {**LOCAL, "DATA_KEYS": {"envelope": "reference"}}
    settings.WORKOS_VAULTS = {
        "default": {**local, "BACKEND": f"{__name__}.Overtaken", "KEY_CONTEXT": {"app": "tests"}},
        "theirs": {**local, "KEY_CONTEXT": MINE},
    }
    contract(customer("org_1"))
    vaults["default"].rotate(MINE)
    vaults["theirs"].index_keys.key(1, b"an index")


@pytest.fixture
def forget_while(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Callable[[], Any]], Any]:
    """Run the command, have something done while it asks, then say yes. Return what it did, and stays."""

    def forget_while(do: Callable[[], Any]) -> Any:
        class Asked(io.StringIO):
            def isatty(self) -> bool:
                return True

            def readline(self, *args: Any) -> str:
                do()
                return f"{CONTEXT}\n"

        monkeypatch.setattr(sys, "stdin", Asked())
        file = tmp_path / "report.json"
        call_command("vault_forget", CONTEXT, report=file, stdout=StringIO())
        report = json.loads(file.read_text())
        return report["done"], report["stays"]

    return forget_while


def roots() -> list[str]:
    return sorted(root.key_id for root in IndexKeyRecord.objects.filter(vault="theirs"))


def test_nobody_does_anything(forget_while: Any) -> None:
    done, stays = forget_while(lambda: None)
    assert (done["finished"], len(done["data_keys"]), len(done["index_root_keys"])) == (True, 1, 1)
    assert (roots(), stays["index_root_keys"]) == ([], [])


def test_a_root_key_that_another_customer_needs_by_then(forget_while: Any) -> None:
    """It is the one thing that nothing could replace: it stays, and is told to."""
    done, stays = forget_while(lambda: vaults["theirs"].rotate({"organization_id": "org_2"}))
    assert (len(roots()), done["index_root_keys"]) == (1, [])
    assert [root["key_id"] for root in stays["index_root_keys"]] == roots()


def test_a_root_key_that_is_another_by_then(forget_while: Any) -> None:
    """Another run destroyed the one that was planned; this was made since."""

    def make_another() -> None:
        IndexKeyRecord.objects.filter(vault="theirs").delete()
        vaults.reset()
        vaults["theirs"].index_keys.key(1, b"an index")

    before = roots()
    done, _ = forget_while(make_another)
    assert (len(roots()), done["index_root_keys"]) == (1, [])
    assert roots() != before


def test_another_run_with_the_same_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the faster one wrote is in the file still, and the other prints its own."""
    file = tmp_path / "report.json"
    monkeypatch.setattr(Overtaken, "report", file)
    error, told = failing(CONTEXT, report=file)
    assert str(error) == f"The report above was not written to {file}: another run has one there."
    assert "1 wrapped data keys in the registry" in told
    done = json.loads(file.read_text())["done"]
    assert (done["finished"], done["data_keys"]) == (True, [])


def test_a_report_into_a_pipe(tmp_path: Path) -> None:
    """As to ``>(gzip > report.gz)``: what has no size is written to."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    forget(CONTEXT, report=pipe)
    assert b"1 wrapped data keys in the registry" in os.read(reading, 1 << 16)
    os.close(reading)
