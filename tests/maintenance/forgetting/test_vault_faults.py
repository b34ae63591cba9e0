"""``vault_forget`` and the objects in Vault: what fails there fails alone, and a run again does the rest."""

import json
import os
import signal
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings

from django_workos_vault import vaults
from django_workos_vault.backends.base import VaultBackend
from django_workos_vault.backends.local import LocalVault
from django_workos_vault.emulator.server import EmulatorServer
from django_workos_vault.exceptions import VaultNotFound
from django_workos_vault.models import DataKeyRecord
from django_workos_vault.testing import RunningEmulator
from tests.app.models import Contract, Credential, Patient
from tests.maintenance.forgetting.forgetting import (
    CONTEXT,
    contract,
    customer,
    failing,
    forget,
    opens,
    reasons,
)

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

MINE = {"organization_id": "org_1"}


class Failing:
    """In front of an emulator: the deletions whose numbers are in ``fails``, from 1, fail with ``status``.

    Objects whose ids are ``hidden`` it shows nobody.
    """

    def __init__(self, emulator: RunningEmulator) -> None:
        self._app = emulator.app
        self.faults = emulator.faults
        self.api_key = emulator.api_key
        self.fails: range | set[int] = set()
        self.status = "503 Service Unavailable"
        self.hidden: set[str] = set()
        self._deletions = 0

    def __call__(self, environ: Any, start_response: Any) -> Any:
        if environ["REQUEST_METHOD"] == "DELETE":
            self._deletions += 1
            if self._deletions in self.fails:
                start_response(self.status, [("Content-Type", "application/json")])
                return [b'{"error": "no"}']
        if any(f"/{each}/metadata" in environ["PATH_INFO"] for each in self.hidden):
            start_response("403 Forbidden", [("Content-Type", "application/json")])
            return [b'{"error": "no"}']
        return self._app(environ, start_response)


class NoObjects(VaultBackend):
    """Makes keys, and keeps no objects."""

    def create_data_key(self, context: Any) -> Any:
        return LocalVault(master_key=bytes(32)).create_data_key(context)

    def decrypt_data_key(self, wrapped: bytes) -> Any:
        return LocalVault(master_key=bytes(32)).decrypt_data_key(wrapped)


@pytest.fixture
def remote(vault_emulator: RunningEmulator) -> Iterator[Failing]:
    """An emulator behind the default vault, whose cells refer to the registry."""
    app = Failing(vault_emulator)
    with EmulatorServer(app) as server:
        yield from with_vault_at(server.url, app)


def with_vault_at(url: str, app: Failing) -> Iterator[Failing]:
    options = {"api_key": app.api_key, "base_url": url, "deadline": 2.0}
    vault = {
        "BACKEND": "django_workos_vault.backends.workos.WorkOSVault",
        "KEY_CONTEXT": {"app": "tests"},
        "DATA_KEYS": {"envelope": "reference"},
        "OPTIONS": options,
    }
    with override_settings(WORKOS_VAULTS={"default": vault}):
        yield app


def names() -> set[str]:
    return {each.name for each in vaults["default"].iter_objects(limit=100)}


def test_objects_of_the_context_are_deleted_whoever_made_them(remote: Failing) -> None:
    """Those of rows, what a rollback left, and what the program made itself; nobody else's."""
    mine, other = customer("org_1"), customer("org_2")
    gone, kept = contract(mine), contract(other)
    Credential.objects.create(token="s3cr3t")
    vault = vaults["default"]
    vault.create_object("app.Contract.terms/" + "0" * 32, "left by a rollback", MINE)
    vault.create_object("hand-made", "value", MINE)
    vault.create_object("wider", "value", {**MINE, "app": "clinic"})
    vault.create_object("other case", "value", {"organization_id": "ORG_1"})
    report = forget(CONTEXT)
    assert len(report["done"]["objects"]) == 3
    assert {each["column"] for each in report["done"]["objects"]} == {"app.Contract.terms", ""}
    assert "Its key context has other items besides." in reasons(report)
    assert {"wider", "other case"} < names()
    assert len(names()) == 4
    assert Contract.objects.get(pk=kept.pk).terms == "forever"
    with pytest.raises(VaultNotFound):
        Contract.objects.get(pk=gone.pk).terms  # noqa: B018


def test_a_reference_does_not_choose_what_is_deleted(remote: Failing) -> None:
    """Who writes a customer's row points it at another's object: Vault says whose that is."""
    mine, theirs = contract(customer("org_1")), contract(customer("org_2"))
    stolen = Contract.objects.filter(pk=theirs.pk).values_list("terms", flat=True).get()
    Contract.objects.filter(pk=mine.pk).update(terms=stolen)
    forget(CONTEXT)
    assert Contract.objects.get(pk=theirs.pk).terms == "forever"


def test_a_reference_does_not_hide_an_object(remote: Failing) -> None:
    """Who points another customer's row at this one's object does not keep it from being deleted."""
    mine, theirs = contract(customer("org_1")), contract(customer("org_2"))
    hidden = Contract.objects.filter(pk=mine.pk).values_list("terms", flat=True).get()
    Contract.objects.filter(pk=theirs.pk).update(terms=hidden)
    Contract.objects.filter(pk=mine.pk)._raw_delete("default")  # type: ignore[attr-defined]
    assert len(names()) == 2
    report = forget(CONTEXT)
    assert [each["id"] for each in report["done"]["objects"]] == [hidden.id]


def test_nothing_begins_while_vault_does_not_answer(remote: Failing) -> None:
    """What could not be finished is not begun: the keys are there as before."""
    organization = customer("org_1")
    contract(organization)
    row = Patient.objects.create(organization=organization, ssn="123-45-6789")
    remote.faults.fail = 1
    error, _ = failing(CONTEXT)
    assert str(error).startswith("Nothing was changed.")
    remote.faults.fail = 0
    assert opens(row, "ssn")


def test_an_outage_in_the_middle_is_finished_by_another_run(remote: Failing) -> None:
    """The keys are destroyed, one object is, and the next run deletes the others."""
    organization = customer("org_1")
    for _ in range(3):
        contract(organization)
    row = Patient.objects.create(organization=organization, ssn="123-45-6789")
    remote.fails = range(2, 1000)
    error, out = failing(CONTEXT)
    assert "Stopped" in str(error)
    assert "Run it again" in str(error)
    assert "1 objects in Vault" in out
    assert not DataKeyRecord.objects.filter(key_context=MINE).exists()
    assert len(names()) == 2
    remote.fails = set()
    vaults.reset()
    report = forget(CONTEXT)
    assert (len(report["done"]["objects"]), report["done"]["finished"]) == (2, True)
    assert not names()
    assert not opens(row, "ssn")


def test_one_object_that_vault_does_not_give_up(remote: Failing) -> None:
    """It is named, the others are deleted, and the exit status tells."""
    organization = customer("org_1")
    for _ in range(3):
        contract(organization)
    remote.fails, remote.status = {2}, "403 Forbidden"
    out = StringIO()
    with pytest.raises(CommandError, match="1 objects were not deleted"):
        call_command("vault_forget", CONTEXT, yes=True, stdout=out)
    assert "not deleted: object" in out.getvalue()
    assert len(names()) == 1


def test_an_object_that_vault_does_not_show(remote: Failing) -> None:
    """It may be the customer's: the exit status tells, and the run that sees it deletes it."""
    organization = customer("org_1")
    contract(organization)
    row = Patient.objects.create(organization=organization, ssn="123-45-6789")
    vault = vaults["default"]
    remote.hidden = {vault.create_object("hand-made", "value", MINE).id}
    error, out = failing(CONTEXT)
    assert str(error) == "1 objects were not looked at: they may be of this key context. Run it again."
    assert "1 objects in Vault: app.Contract" in out
    assert (names(), opens(row, "ssn")) == ({"hand-made"}, False)
    remote.hidden = set()
    assert len(forget(CONTEXT)["done"]["objects"]) == 1
    assert not names()


class Interrupted(LocalVault):
    """Somebody presses Ctrl-C while the second object is deleted."""

    deletions = 0

    def delete_object(self, *args: Any, **kwargs: Any) -> Any:
        Interrupted.deletions += 1
        if Interrupted.deletions == 2:
            raise KeyboardInterrupt
        return super().delete_object(*args, **kwargs)


def test_an_interrupted_run_is_finished_by_another(settings: Any, tmp_path: Path) -> None:
    """It says what it did, in the report too; the next run destroys the rest."""
    local = {"BACKEND": f"{__name__}.Interrupted", "OPTIONS": {"master_key": bytes(32)}}
    local["OPTIONS"]["objects_file"] = str(tmp_path / "objects.sqlite3")
    settings.WORKOS_VAULTS = {"default": {**local, "KEY_CONTEXT": {"app": "tests"}}}
    for _ in range(3):
        contract(customer("org_1"))
    error, out = failing(CONTEXT, report=tmp_path / "first.txt")
    assert (error.returncode, "Interrupted" in str(error)) == (130, True)
    assert "1 objects in Vault" in out
    assert "1 objects in Vault" in (tmp_path / "first.txt").read_text()
    assert len(forget(CONTEXT)["done"]["objects"]) == 2


class Signalled(LocalVault):
    """Somebody asks the process to end while the second object is deleted."""

    deletions = 0
    signal = signal.SIGTERM

    def delete_object(self, *args: Any, **kwargs: Any) -> Any:
        Signalled.deletions += 1
        if Signalled.deletions == 2:
            os.kill(os.getpid(), Signalled.signal)
        return super().delete_object(*args, **kwargs)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("objects", [2, 3])
def test_a_signal_lets_it_say_what_it_did(
    settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, objects: int
) -> None:
    """What is under way is finished and told; that the rest is not, too. After the last, all is done."""
    monkeypatch.setattr(Signalled, "signal", number)
    monkeypatch.setattr(Signalled, "deletions", 0)
    local = {"BACKEND": f"{__name__}.Signalled", "OPTIONS": {"master_key": bytes(32)}}
    local["OPTIONS"]["objects_file"] = str(tmp_path / "objects.sqlite3")
    settings.WORKOS_VAULTS = {"default": {**local, "KEY_CONTEXT": {"app": "tests"}}}
    for _ in range(objects):
        contract(customer("org_1"))
    file = tmp_path / "first.json"
    if objects == 2:
        assert forget(CONTEXT, report=file)["done"]["finished"]
        return
    error, _ = failing(CONTEXT, report=file)
    assert (error.returncode, str(error)) == (130, "Interrupted. Run it again: it destroys the rest.")
    done = json.loads(file.read_text())["done"]
    assert (len(done["objects"]), done["finished"]) == (2, False)
    assert len(forget(CONTEXT)["done"]["objects"]) == 1


def test_a_backend_without_objects(settings: Any) -> None:
    """Its objects are said not to have been looked for, and the keys are destroyed."""
    local = {"BACKEND": f"{__name__}.NoObjects"}
    settings.WORKOS_VAULTS = {"default": {**local, "KEY_CONTEXT": {"app": "tests"}}}
    vaults["default"].rotate(MINE)
    report = forget(CONTEXT)
    assert len(report["done"]["data_keys"]) == 1
    assert "keeps no objects" in reasons(report)
