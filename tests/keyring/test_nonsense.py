"""Whatever Vault answers and whatever stands in the registry: an error of ours, for those concerned."""

import json
import logging
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from secrets import token_hex
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from django.test import override_settings

from django_workos_vault import vaults
from django_workos_vault.backends.workos import WorkOSVault
from django_workos_vault.cipher import Cipher
from django_workos_vault.context import KeyContext
from django_workos_vault.exceptions import (
    EnvelopeError,
    InvalidVaultConfiguration,
    VaultError,
    VaultUnavailable,
)
from django_workos_vault.keyring.index_keys import IndexKeys
from django_workos_vault.keyring.policy import DataKeyPolicy
from django_workos_vault.keyring.ring import KeyRing
from django_workos_vault.models import DataKeyRecord, IndexKeyRecord
from django_workos_vault.registry import DatabaseRegistry, DatabaseRootKeys
from tests.app.models import Person
from tests.checked import checked
from tests.scripted import Reply, ScriptedServer, scripted_server

pytestmark = [pytest.mark.django_db(databases="__all__"), pytest.mark.usefixtures("outside_of_checkouts")]

CLINIC, OTHER = KeyContext({"app": "clinic"}), KeyContext({"app": "other"})
KEY = bytes(range(32))


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted_server() as running:
        yield running


@pytest.fixture
def ring(server: ScriptedServer) -> Iterator[KeyRing]:
    backend = WorkOSVault(api_key="sk_test_x", base_url=server.url)
    policy = DataKeyPolicy()
    yield KeyRing(vault="default", backend=backend, registry=DatabaseRegistry("default"), policy=policy)
    backend.close()


def answer(context: KeyContext = CLINIC, **changed: Any) -> Reply:
    """Return a data key as Vault answers create, decrypt and rekey, with some of it ``changed``."""
    members = {
        "id": "key_1",
        "data_key": b64encode(KEY).decode(),
        "encrypted_keys": b64encode(b"WOS.EKM.v1\x00wrapped").decode(),
        "context": context.items,
    }
    return Reply(members | changed)


NONSENSE: dict[str, dict[str, Any]] = {
    "key of zeros": {"data_key": b64encode(bytes(32)).decode()},
    "short key": {"data_key": b64encode(bytes(31)).decode()},
    "no id": {"id": ""},
    "id too long for the column": {"id": "x" * 201},
    "id of 40,000 characters": {"id": "x" * 40_000},
    "id with NUL": {"id": "key\x00"},
    "id with half a character": {"id": "key\ud800"},
    "id of two lines": {"id": "key_1\nERROR forged line"},
    "id with an escape sequence": {"id": "\x1b[2Jkey"},
    "id that turns writing round": {"id": "key\u202e"},
    "number for an id": {"id": 5},
}


@pytest.mark.parametrize("changed", NONSENSE.values(), ids=NONSENSE)
def test_answers_to_create_and_decrypt(
    server: ScriptedServer, ring: KeyRing, changed: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is sealed or registered with a key that cannot be Vault's; nothing of it reaches a log."""
    caplog.set_level(logging.DEBUG)
    server.answer(answer(**changed))
    for use in (ring.sealing_key, ring.retire):
        with pytest.raises(VaultUnavailable) as caught:
            use(CLINIC)
        assert "\n" not in str(caught.value)
    ring.prepare([CLINIC])
    assert not DataKeyRecord.objects.exists()
    cipher = Cipher(ring, "app.Person.ssn")
    server.answer(answer())
    cell = cipher.seal(b"x", CLINIC)
    ring.forget()
    server.answer(answer(**changed))
    with pytest.raises(VaultUnavailable):
        cipher.open(cell)
    cipher.load_keys([cell])
    server.answer(answer())
    assert cipher.open(cell) == b"x"
    assert not any("\n" in record.getMessage() or "\x1b" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("changed", NONSENSE.values(), ids=NONSENSE)
def test_answers_for_index_keys(server: ScriptedServer, ring: KeyRing, changed: dict[str, Any]) -> None:
    """Root keys of blind indexes are as good as data keys."""
    keys = IndexKeys(
        vault="default", backend=ring.backend, store=DatabaseRootKeys("default"), context=CLINIC, ttl=300
    )
    server.answer(answer(**changed))
    with pytest.raises(VaultUnavailable):
        keys.key(1, b"x")
    assert not IndexKeyRecord.objects.exists()
    server.answer(answer())
    digest_key = keys.key(1, b"x")
    keys.forget()
    server.answer(answer(**changed))
    with pytest.raises(VaultUnavailable):
        keys.key(1, b"x")
    server.answer(answer())
    assert keys.key(1, b"x") == digest_key


@pytest.mark.parametrize("changed", NONSENSE.values(), ids=NONSENSE)
def test_round_trip_of_vault_check(server: ScriptedServer, ring: KeyRing, changed: dict[str, Any]) -> None:
    """vault_check says so before anything is sealed."""
    server.answer(answer(**changed))
    options = {"api_key": f"sk_test_{token_hex(16)}", "base_url": server.url}  # no tracked file has it
    backend = "django_workos_vault.backends.workos.WorkOSVault"
    vault = {"BACKEND": backend, "KEY_CONTEXT": CLINIC.items, "OPTIONS": options}
    with override_settings(DEBUG=True, WORKOS_VAULTS={"default": vault}):
        problems = [f for f in checked()["findings"] if f["status"] == "problem"]
    assert [f["step"] for f in problems] == ["request"]


def test_one_key_for_two_contexts(server: ScriptedServer, ring: KeyRing) -> None:
    """The second context gets no key that the first one's owner can open, and the first goes on."""
    server.answer(answer())
    first = ring.sealing_key(CLINIC)
    server.answer(answer(OTHER))
    for use in (ring.sealing_key, ring.retire):
        with pytest.raises(VaultUnavailable, match="handed out before"):
            use(OTHER)
    server.answer(answer())
    assert ring.sealing_key(CLINIC).commitment == first.commitment
    assert DataKeyRecord.objects.count() == 1


def test_one_key_twice_for_a_context(server: ScriptedServer, ring: KeyRing) -> None:
    """A key that comes a second time is not taken for a new one: its message budget is not."""
    server.answer(answer())
    ring.sealing_key(CLINIC)
    with pytest.raises(VaultUnavailable, match="handed out before"):
        ring.retire(CLINIC)


TEXTS = ["", "zz", "0", "00" * 31, "ÿ" * 64, "\n", "x" * 200]
ROWS = [
    *(("commitment", text) for text in TEXTS),
    *(("proof", text) for text in TEXTS),
    *(("key_id", text) for text in ["", "\n", "\x1b[2J", "x" * 200]),
    *(("wrapped", blob) for blob in [b"", b"x", bytes(9000), "text", 7, 10**15, 2.5]),
    *(("created_at", moment) for moment in ["zz", "", 5, "9999-12-31 23:59:59", "0001-01-01 00:00:00"]),
    *(("created_at", moment) for moment in ["2026-13-45 00:00:00", b"\xff"]),
    *(("generation", number) for number in [0, 2**31 - 1, 2**62, "zz", 1.5, b"x"]),
    *(("messages", number) for number in [2**31, 2**62, "zz", 1.5]),
    *(("key_context", text) for text in ["[]", "5", "null", '{"a": 1}', "{}", '{"app": "x"}']),
    *(("vault", text) for text in ["", "elsewhere"]),
    *(("context_digest", text) for text in ["", "zz", "0" * 64]),
]


@pytest.fixture(params=ROWS, ids=lambda row: f"{row[0]}={str(row[1])[:20]!a}")
def cell(request: pytest.FixtureRequest) -> bytes:
    """Seal a value, write nonsense into the record of its key, and start cold."""
    ring = vaults["default"].keyring
    cell = Cipher(ring, "app.Person.ssn").seal(b"x", CLINIC)
    column, value = request.param
    if isinstance(value, bytes):
        value = connection.Database.Binary(value)
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"UPDATE {DataKeyRecord._meta.db_table} SET {column} = %s", [value])
    except (DatabaseError, TypeError, OverflowError):
        pytest.skip("this database does not take it")
    ring.forget()
    return cell


def test_nonsense_in_a_record(cell: bytes) -> None:
    """Cells that carry their wrapped key open; writing works or says what is wrong; others go on."""
    ring = vaults["default"].keyring
    cipher = Cipher(ring, "app.Person.ssn")
    ring.prepare([CLINIC, OTHER])
    assert ring.is_ready(OTHER)
    assert cipher.open(cipher.seal(b"y", OTHER)) == b"y"
    for use in (ring.sealing_key, ring.retire, ring.sealing_key):
        with suppress(VaultError, EnvelopeError):
            use(CLINIC)
    assert cipher.open(cell) == b"x"
    ring.forget()
    assert cipher.open(cell) == b"x"


def test_vault_check_beside_nonsense(cell: bytes) -> None:
    """vault_check goes through to the end, and prints no line that a record made up."""
    Person.objects.create(notes="")  # under another key context
    report = checked()
    assert [f["status"] for f in report["findings"] if f["step"] == "columns"]
    assert not any("\x1b" in json.dumps(f, ensure_ascii=False) for f in report["findings"])
    assert not any("\n" in f["subject"] + f["message"] for f in report["findings"])


@pytest.mark.parametrize("column", ["proof", "wrapped", "key_id"])
@pytest.mark.parametrize("value", ["", "zz", "\n", 5, b"", b"\xff" * 9000])
def test_nonsense_in_a_root_keys_record(column: str, value: Any) -> None:
    """Searching works or says what is wrong, and vault_check says it."""
    keys = vaults["default"].index_keys
    keys.key(1, b"x")
    if isinstance(value, bytes):
        value = connection.Database.Binary(value)
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"UPDATE {IndexKeyRecord._meta.db_table} SET {column} = %s", [value])
    except (DatabaseError, TypeError):
        pytest.skip("this database does not take it")
    keys.forget()
    with suppress(VaultError, EnvelopeError):
        keys.key(1, b"x")
    problems = [f for f in checked()["findings"] if f["status"] == "problem"]
    assert bool(problems) == (column != "key_id")


@pytest.mark.parametrize("value", ["\x00", "\ud800", "\x1b[2J", "ö" * 500, "\u202e"])
def test_key_contexts_that_no_database_keeps(value: str) -> None:
    """A row's value that cannot be a key context's is an error of ours, and fails no other row."""
    ring = vaults["default"].keyring
    with suppress(VaultError, EnvelopeError, InvalidVaultConfiguration):
        ring.sealing_key(KeyContext({"organization_id": value}))
    assert ring.sealing_key(CLINIC)
