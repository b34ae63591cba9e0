"""A run where Vault fails with keys of some customers (5xx): their cells are left. An outage pauses it."""

import io
import json
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import httpx
import pytest
import stamina

from django_workos_vault import vaults
from django_workos_vault.emulator import RunningEmulator
from django_workos_vault.maintenance.engine import runs
from django_workos_vault.models import DataKeyRecord, MaintenanceRun
from tests.app.models import Organization, Patient, Person
from tests.maintenance.reencrypting import cell_of, failing, reencrypt

pytestmark = pytest.mark.django_db
BACKEND = "django_workos_vault.backends.workos.WorkOSVault"


class KeysDown:
    """In front of the emulator: an immediate 503 for what has to do with the keys of some organizations."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.organizations: set[str] = set()
        self.wrapped: set[str] = set()
        self.paths: set[str] = set()
        self.everything = False
        self.refused = 0
        #: seconds for which a failure waits until the others were answered
        self.patience = 0.0
        self._others = self._answers = 0
        self._answered = threading.Condition()
        self._owner: dict[str, str] = {}

    def begin(self, others: int) -> None:
        """From now on, a failure waits for so many answers."""
        self._others, self._answers = others, 0

    def __call__(self, environ: Any, start_response: Callable[..., Any]) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        asked = json.loads(body)
        wrapped = asked.get("keys") or asked.get("encrypted_keys")
        owners = {asked.get("context", {}).get("organization_id"), self._owner.get(wrapped)}
        down = owners & self.organizations or wrapped in self.wrapped or environ["PATH_INFO"] in self.paths
        if self.everything or down:
            self.refused += 1
            if self.patience:
                with self._answered:
                    self._answered.wait_for(lambda: self._answers >= self._others, self.patience)
                time.sleep(0.3)  # the last answer has its way to go, too
            start_response("503 Down", [("Content-Type", "application/json"), ("Content-Length", "2")])
            return [b"{}"]
        answer = b"".join(self._app(environ, start_response))
        with self._answered:
            self._answers += 1
            self._answered.notify_all()
        made = json.loads(answer)
        if asked.get("context") and "encrypted_keys" in made:
            self._owner[made["encrypted_keys"]] = asked["context"].get("organization_id", "")
        return [answer]


@pytest.fixture
def down(vault_emulator: RunningEmulator, settings: Any) -> Iterator[KeysDown]:
    front = KeysDown(vault_emulator.app)
    options = {
        "api_key": vault_emulator.api_key,
        "base_url": vault_emulator.url,
        "transport": httpx.WSGITransport(front),  # type: ignore[arg-type]
    }
    vault = {"BACKEND": BACKEND, "KEY_CONTEXT": {"app": "x"}, "OPTIONS": options}
    settings.WORKOS_VAULTS = {"default": vault}
    with stamina.set_testing(True, attempts=2):
        yield front


def patients(organizations: int, each: int) -> list[Patient]:
    """Rows in the order of their organizations, so that one has whole batches to itself."""
    found = [Organization.objects.create(name=f"org_{n}", workos_id=f"org_{n}") for n in range(organizations)]
    rows = [
        Patient.objects.create(organization=organization, ssn=f"{organization.name}-{n}")
        for organization in found
        for n in range(each)
    ]
    vaults["default"].keyring.forget()
    return rows


def unchanged(rows: list[Any], old: list[bytes]) -> list[int]:
    return [n for n, (row, cell) in enumerate(zip(rows, old, strict=True)) if cell_of(row) == cell]


@pytest.mark.parametrize("operation", ["reseal", "rekey"])
def test_a_batch_of_nobody_elses(down: KeysDown, operation: str) -> None:
    """Where all of a batch is one customer's, nobody else is answered: Vault is asked for others' keys."""
    rows = patients(3, each=4)
    old = [cell_of(row) for row in rows]
    down.organizations = {"org_1"}
    error, out = failing("app.Patient.ssn", batch_size=2, operation=operation, format="json")
    document = json.loads(out)
    assert "4 cells were left as they are" in str(error)
    assert (document["finished"], document["rows"], document["state"]) == (True, 12, "finished")
    assert [(each["pk"], each["reason"]) for each in document["left"]] == [
        (row.pk, "VaultUnavailable") for row in rows[4:8]
    ]
    assert unchanged(rows, old) == [4, 5, 6, 7]
    # Its key is asked for by the batch, by the first cell, and perhaps among the others'; then no more.
    assert down.refused <= 12


def test_more_keys_fail_than_a_batch_asks_for(down: KeysDown) -> None:
    """A batch of keys is given up after eight failures: the others are asked for one by one, not left."""
    rows = patients(24, each=1)
    old = [cell_of(row) for row in rows]
    down.organizations = {f"org_{n}" for n in range(2, 13)}
    _, out = failing("app.Patient.ssn", format="json")
    document = json.loads(out)
    assert (document["finished"], document["rows"]) == (True, 24)
    assert sorted(each["pk"] for each in document["left"]) == [row.pk for row in rows[2:13]]
    assert unchanged(rows, old) == list(range(2, 13))


def test_another_column_of_the_row(down: KeysDown) -> None:
    """A fault stays in its cell."""
    rows = patients(2, each=2)
    Person.objects.create(ssn="1")
    down.organizations = {"org_0", "org_1"}
    _, out = failing("app.Patient.ssn", "app.Person.ssn", format="json")
    document = json.loads(out)
    assert {c["column"]: (c["renewed"], c["left"]) for c in document["columns"]} == {
        "app.Patient.ssn": (0, len(rows)),
        "app.Person.ssn": (1, 0),
    }


@pytest.mark.parametrize("before", ["the first batch", "the second"])
def test_an_outage_pauses(down: KeysDown, before: str) -> None:
    """Where Vault gives nobody's key, the run is paused, nothing is left behind, and it can go on."""
    rows = patients(3, each=2)
    old = [cell_of(row) for row in rows]
    if before == "the second":
        run = runs.begin(
            [Patient._meta.get_field("ssn")], "reseal", using="default", options={"batch_size": 2}
        )
        from tests.maintenance.noting import stop_at

        stop_at(run, 1)
        runs.pause(run)
        down.everything = True
        failing(resume=run.pk)
    else:
        down.everything = True
        failing("app.Patient.ssn", batch_size=2)
    run = MaintenanceRun.objects.get()
    told = runs.progress(run)
    assert (run.state, run.reason.partition(":")[0]) == ("paused", "VaultUnavailable")
    assert (told.rows, told.left_number) == (0 if before == "the first batch" else 2, 0)
    down.everything = False
    assert f"Run {run.pk} is finished" in reencrypt(resume=run.pk)
    assert unchanged(rows, old) == []


def test_a_refused_connection_pauses(down: KeysDown, settings: Any) -> None:
    """No server at all is an outage, whatever keys are on record."""
    patients(2, each=1)
    options = {"api_key": "sk_test_x", "base_url": "http://127.0.0.1:9"}
    settings.WORKOS_VAULTS = {
        "default": {"BACKEND": BACKEND, "KEY_CONTEXT": {"app": "x"}, "OPTIONS": options}
    }
    failing("app.Patient.ssn")
    run = MaintenanceRun.objects.get()
    assert (run.state, runs.progress(run).rows) == ("paused", 0)


def test_no_key_on_record(down: KeysDown) -> None:
    """Without a registry, Vault is asked for a key of its own context."""
    rows = patients(2, each=1)
    DataKeyRecord.objects.all().delete()
    down.organizations = {"org_0", "org_1"}
    _, out = failing("app.Patient.ssn", format="json")
    assert [each["pk"] for each in json.loads(out)["left"]] == [row.pk for row in rows]


@pytest.fixture
def two_keys(down: KeysDown, settings: Any) -> list[Patient]:
    """Rows of one key context, the only one there is, half of them under an older key, which fails."""
    settings.WORKOS_VAULTS = {"default": {**settings.WORKOS_VAULTS["default"], "KEY_CONTEXT": None}}
    rows = patients(1, each=2)
    down.wrapped = {b64encode(bytes(DataKeyRecord.objects.get().wrapped)).decode()}
    vaults["default"].rotate({"organization_id": "org_0"})
    rows += [Patient.objects.create(organization=rows[0].organization, ssn=f"new {n}") for n in range(2)]
    vaults["default"].keyring.forget()
    return rows


@pytest.mark.parametrize("on_record", [True, False])
@pytest.mark.parametrize("operation", ["reseal", "rekey"])
def test_one_of_the_keys_of_the_only_context(
    down: KeysDown, two_keys: list[Patient], operation: str, on_record: bool
) -> None:
    """Vault makes another one of that context, and unwraps it: the cells of the old one are left."""
    if not on_record:
        DataKeyRecord.objects.all().delete()
    old = [cell_of(row) for row in two_keys]
    _, out = failing("app.Patient.ssn", operation=operation, format="json", batch_size=2)
    document = json.loads(out)
    assert (document["state"], document["rows"]) == ("finished", 4)
    assert [(each["pk"], each["reason"]) for each in document["left"]] == [
        (row.pk, "VaultUnavailable") for row in two_keys[:2]
    ]
    assert unchanged(two_keys, old) == [0, 1]
    assert document["columns"][0]["renewed"] == 2


@pytest.mark.parametrize("what", ["everything", "the context", "unwrapping"])
def test_the_only_context_in_an_outage(down: KeysDown, two_keys: list[Patient], what: str) -> None:
    """Where Vault gives no key of it, or unwraps none, the run is paused, and no cell is left."""
    if what == "everything":
        down.everything = True
    elif what == "the context":
        down.organizations = {"org_0"}
    else:
        down.paths = {"/vault/v1/keys/decrypt"}
    DataKeyRecord.objects.all().delete()
    failing("app.Patient.ssn")
    run = MaintenanceRun.objects.get()
    assert (run.state, runs.progress(run).left_number) == ("paused", 0)
    down.everything, down.organizations, down.paths = False, set(), set()
    _, out = failing(resume=run.pk, format="json")
    assert [each["pk"] for each in json.loads(out)["left"]] == [row.pk for row in two_keys[:2]]


@pytest.mark.parametrize("option", ["dry_run", "plan"])
def test_nothing_is_written(down: KeysDown, option: str) -> None:
    """A dry run and a plan name the cells of such a key too."""
    rows = patients(3, each=2)
    down.organizations = {"org_1"}
    options = {"format": "json", option: True}
    out = (
        failing("app.Patient.ssn", **options)[1]
        if option == "dry_run"
        else reencrypt("app.Patient.ssn", **options)
    )
    document = json.loads(out)
    left = document["left"] if option == "dry_run" else document["columns"][0]["unreadable"]
    assert [(each["pk"], each["reason"]) for each in left] == [
        (row.pk, "VaultUnavailable") for row in rows[2:4]
    ]
