"""The HTTP client and the emulator, end to end: all eleven operations, and an emulator that misbehaves."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from django_workos_vault.backends.workos import WorkOSVault
from django_workos_vault.exceptions import (
    VaultAuthenticationError,
    VaultConflict,
    VaultNotFound,
    VaultRateLimited,
    VaultUnavailable,
)

CONTEXT = {"organization_id": "org_1"}


@pytest.fixture(params=["loopback", "in process"])
def vault(request, vault_emulator):
    if request.param == "loopback":
        vault = WorkOSVault(api_key=vault_emulator.api_key, base_url=vault_emulator.url)
    else:
        transport = httpx.WSGITransport(vault_emulator.app)
        vault = WorkOSVault(api_key=vault_emulator.api_key, base_url="http://localhost", transport=transport)
    yield vault
    vault.close()


def test_all_calls(vault):
    """Each of the eleven operations is one request, and what one wrote the next one reads."""
    created = vault.create_data_key(CONTEXT)
    assert vault.decrypt_data_key(created.wrapped).plaintext == created.plaintext
    assert vault.rekey_data_key(created.wrapped, {"app": "clinic"}).plaintext == created.plaintext
    before = datetime.now(UTC) - timedelta(seconds=5)
    stored = vault.create_object("card/1", "4111", CONTEXT)
    assert vault.read_object(stored.id).value == "4111"
    assert vault.read_object_by_name("card/1").id == stored.id
    updated = vault.update_object(stored.id, "4222", version_check=stored.version_id)
    assert vault.describe_object(stored.id) == updated
    assert [version.current_version for version in vault.list_object_versions(stored.id)].count(True) == 1
    assert [item.id for item in vault.list_objects(search="card", updated_after=before).items] == [stored.id]
    assert vault.delete_object(stored.id, version_check=updated.metadata.version_id).name == "card/1"
    assert vault.requests_made == 11
    with pytest.raises(VaultNotFound):
        vault.read_object(stored.id)


async def test_all_calls_async(vault):
    """Async code has the same eleven."""
    created = await vault.acreate_data_key(CONTEXT)
    assert (await vault.adecrypt_data_key(created.wrapped)).plaintext == created.plaintext
    assert (await vault.arekey_data_key(created.wrapped, {"app": "x"})).plaintext == created.plaintext
    stored = await vault.acreate_object("card/1", "4111", CONTEXT)
    assert (await vault.aread_object(stored.id)).value == "4111"
    assert (await vault.aread_object_by_name("card/1")).id == stored.id
    updated = await vault.aupdate_object(stored.id, "4222", version_check=stored.version_id)
    assert await vault.adescribe_object(stored.id) == updated
    assert len(await vault.alist_object_versions(stored.id)) == 2
    assert [item.id for item in (await vault.alist_objects(limit=5)).items] == [stored.id]
    with pytest.raises(VaultConflict):
        await vault.adelete_object(stored.id, version_check=stored.version_id)
    assert (await vault.adelete_object(stored.id)).name == "card/1"
    assert vault.requests_made == 12


async def test_iteration(vault):
    """The iterators follow the cursors to the end, in either order."""
    names = {vault.create_object(f"object {number}", "v", CONTEXT).id for number in range(7)}
    forwards = [item.id for item in vault.iter_objects(limit=3, order="asc")]
    backwards = [item.id async for item in vault.aiter_objects(limit=3, order="desc")]
    assert set(forwards) == names
    assert backwards == forwards[::-1]
    assert vault.requests_made == 7 + 3 + 3


def test_wrong_key(vault_emulator):
    """An API key that the server does not know is an authentication error."""
    vault = WorkOSVault(api_key="sk_test_of_another_environment", base_url=vault_emulator.url)
    with pytest.raises(VaultAuthenticationError, match="401"):
        vault.create_data_key(CONTEXT)
    assert vault.requests_made == 1
    vault.close()


def test_passing_failures(vault, vault_emulator):
    """Failures that pass are tried again at the moment that the server names."""
    vault_emulator.faults.fail_next = 2
    vault_emulator.faults.retry_after = "0"
    key = vault.create_data_key(CONTEXT)
    vault_emulator.faults.fail_next = 1
    assert asyncio.run(vault.adecrypt_data_key(key.wrapped)).plaintext == key.plaintext
    assert vault.requests_made == 5


def test_used_up_rate_limit(vault, vault_emulator):
    """When the server's rate limit is used up for longer than the deadline, the error comes at once."""
    vault_emulator.faults.rate_limit = 1
    vault.create_data_key(CONTEXT)
    began = time.monotonic()
    with pytest.raises(VaultRateLimited) as caught:
        vault.create_data_key(CONTEXT)
    assert caught.value.retry_after > 15
    assert time.monotonic() - began < 15
    assert vault.requests_made == 2


def test_slow_server(vault_emulator):
    """A server slower than the deadline is unavailable, and in time."""
    vault_emulator.faults.latency = 0.3
    vault = WorkOSVault(api_key=vault_emulator.api_key, base_url=vault_emulator.url, deadline=0.1)
    with pytest.raises(VaultUnavailable, match="did not answer in time"):
        vault.create_data_key(CONTEXT)
    vault.close()
