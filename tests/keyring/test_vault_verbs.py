"""A vault's own verbs: what pages and error messages tell people to do, without a way through its insides."""

import inspect
from typing import Any

import pytest

from django_workos_vault import vaults
from django_workos_vault.backends.base import VaultBackend
from django_workos_vault.emulator import RunningEmulator
from django_workos_vault.exceptions import InvalidVaultConfiguration, VaultUnavailable, WrongKey
from django_workos_vault.fields import stored_cell
from django_workos_vault.models import DataKeyRecord
from tests.app.models import Account, Person
from tests.keyring.rings import fail_at_once

pytestmark = pytest.mark.django_db

CLINIC = {"app": "clinic"}
VERBS = sorted(
    name
    for name, member in vars(VaultBackend).items()
    if inspect.isfunction(member) and not name.startswith("_") and name not in ("call", "close")
)


@pytest.mark.parametrize("name", VERBS)
def test_each_call_of_the_client_is_a_verb(name: str) -> None:
    """Every operation of the backend, its plurals and its async twins, with the same contract."""
    vault = vaults["default"]
    assert getattr(vault, name) == getattr(vault.backend, name)
    assert getattr(type(vault), name).__doc__ == getattr(VaultBackend, name).__doc__


async def test_objects_and_keys() -> None:
    """The verbs do what the backend's methods do."""
    vault = vaults["default"]
    stored = vault.create_object("partner", "value", CLINIC)
    assert (await vault.aread_object(stored.id)).value == "value"
    assert [each.name for each in vault.iter_objects()] == ["partner"]
    assert [each.name async for each in vault.aiter_objects()] == ["partner"]
    key = vault.create_data_key(CLINIC)
    assert vault.decrypt_data_key(key.wrapped).plaintext == key.plaintext


def test_rotate() -> None:
    """The next value is sealed with another key; what the former one sealed opens as before."""
    old = Person.objects.create(ssn="123-45-6789")
    key_id = vaults["default"].rotate()
    new = Person.objects.create(ssn="123-45-6789")
    newest = DataKeyRecord.objects.latest("generation")
    assert (newest.key_id, newest.generation) == (key_id, 2)
    vaults["default"].forget_keys()
    assert {row.ssn for row in Person.objects.all()} == {"123-45-6789"}
    assert (
        stored_cell(old, "ssn")[11:43] != stored_cell(new, "ssn")[11:43] == bytes.fromhex(newest.commitment)
    )


def test_rotate_another_context() -> None:
    """Each key context has keys of its own, and one that is none is refused."""
    vaults["default"].rotate({"organization_id": "org_1"})
    assert DataKeyRecord.objects.get().key_context == {"organization_id": "org_1"}
    with pytest.raises(InvalidVaultConfiguration):
        vaults["default"].rotate({})


def test_what_a_changed_record_is_told_to_do() -> None:
    """The error about a record that was filed elsewhere quotes a line which mends it."""
    vault = vaults["default"]
    vault.rotate({"organization_id": "org_1"})
    vault.forget_keys()
    DataKeyRecord.objects.update(context_digest=vault.context_of({"organization_id": "org_2"}).digest)
    with pytest.raises(WrongKey) as caught:
        vault.encrypt(b"x", key_context={"organization_id": "org_2"})
    assert "vaults['default'].rotate(key_context) makes a new key" in str(caught.value)
    key_context = {"organization_id": "org_2"}
    eval("vaults['default'].rotate(key_context)")
    assert vault.decrypt(vault.encrypt(b"x", key_context=key_context)) == b"x"


def test_forget_keys() -> None:
    """Data keys and index keys leave memory, and are asked for again."""
    Account.objects.create(email="ada@example.com")
    vault = vaults["default"]
    before = vault.stats().requests
    assert Account.objects.get(email="ada@example.com").email == "ada@example.com"
    assert vault.stats().requests == before
    vault.forget_keys()
    assert vault.stats().keys_cached == 0
    assert Account.objects.get(email="ada@example.com").email == "ada@example.com"
    assert vault.stats().requests == before + 2


def test_close() -> None:
    """Nothing is left in memory, and the vault works on."""
    Person.objects.create(ssn="123-45-6789")
    vaults["default"].close()
    assert vaults["default"].stats().keys_cached == 0
    assert Person.objects.get().ssn == "123-45-6789"


def test_forget_outage(vault_emulator: RunningEmulator, settings: Any) -> None:
    """After an outage Vault is asked at the next call when somebody says so, and not before."""
    options = {"api_key": vault_emulator.api_key, "base_url": vault_emulator.url}
    backend = "django_workos_vault.backends.workos.WorkOSVault"
    settings.WORKOS_VAULTS = {"default": {"BACKEND": backend, "OPTIONS": options}}
    vault = vaults["default"]
    fail_at_once(vault_emulator)
    with pytest.raises(VaultUnavailable):
        vault.create_data_key(CLINIC)
    vault_emulator.faults.fail = 0.0
    assert vault.asks_again_in() > 0
    with pytest.raises(VaultUnavailable, match="not sent"):
        vault.create_data_key(CLINIC)
    vault.forget_outage()
    assert vault.asks_again_in() == 0
    vault.create_data_key(CLINIC)
