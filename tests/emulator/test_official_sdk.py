"""The official ``workos`` SDK takes the emulator for WorkOS: its whole ``vault`` module, sync and async."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from workos import AsyncWorkOSClient, WorkOSClient
from workos._errors import (
    AuthenticationError,
    BadRequestError,
    ConflictError,
    NotFoundError,
    UnprocessableEntityError,
)
from workos.vault import Vault

CONTEXT = {"organization_id": "org_1"}


class AsyncVaultAsSync:
    """The SDK's async vault, each call run to its end in one event loop: one set of tests does for both."""

    def __init__(self, client, runner):
        self._client = client
        self._runner = runner

    def __getattr__(self, name):
        call = getattr(self._client.vault, name)
        return lambda *args, **options: self._runner.run(self._await(call(*args, **options)))

    @staticmethod
    async def _await(coroutine):
        return await coroutine

    def names(self, page):
        """Return the names of all pages from ``page`` on."""

        async def collect():
            return [item.name async for item in page.auto_paging_iter()]

        return self._runner.run(collect())


@pytest.fixture(params=["sync", "async"])
def sdk(request, vault_emulator):
    options = {
        "api_key": vault_emulator.api_key,
        "client_id": "client_1",
        "base_url": vault_emulator.url,
        "max_retries": 0,
    }
    if request.param == "sync":
        client = WorkOSClient(**options)
        client.vault.names = lambda page: [item.name for item in page.auto_paging_iter()]
        yield client.vault
        client.close()
    else:
        with asyncio.Runner() as runner:
            client = AsyncWorkOSClient(**options)
            yield AsyncVaultAsSync(client, runner)
            runner.run(client.close())


def test_the_key_calls(sdk):
    """Create, decrypt and rekey hand back the same data key."""
    created = sdk.create_data_key(context=CONTEXT)
    opened = sdk.create_decrypt(keys=created.encrypted_keys)
    moved = sdk.create_rekey(context={"app": "clinic"}, encrypted_keys=created.encrypted_keys)
    assert created.context == CONTEXT
    assert (opened.id, opened.data_key) == (created.id, created.data_key)
    assert (moved.id, moved.data_key, moved.context) == (created.id, created.data_key, {"app": "clinic"})


@pytest.mark.parametrize("associated_data", [None, "patient 7"])
def test_encrypt_and_decrypt(sdk, associated_data):
    """The SDK's local encryption round-trips through the emulator's keys."""
    sealed = sdk.encrypt(data="123-45-6789 ü", key_context=CONTEXT, associated_data=associated_data)
    assert sdk.decrypt(encrypted_data=sealed, associated_data=associated_data) == "123-45-6789 ü"


def test_an_object_from_its_creation_to_its_end(sdk):
    """Create, read by id and name, describe, update, list versions, delete."""
    created = sdk.create_kv(name="my/secret ü", value="first", key_context=CONTEXT)
    assert created.context == CONTEXT
    read = sdk.get_kv(created.id)
    assert (read.name, read.value, read.metadata) == ("my/secret ü", "first", created)
    assert sdk.get_name("my/secret ü") == read

    updated = sdk.update_kv(created.id, value="second", version_check=created.version_id)
    assert sdk.update_kv(created.id, value="third", version_check=None).id == created.id
    described = sdk.list_kv_metadata(created.id)
    assert (described.id, described.name) == (created.id, "my/secret ü")
    versions = sdk.list_kv_versions(created.id).data
    assert [version.id for version in versions] == [
        described.metadata.version_id,
        updated.metadata.version_id,
        created.version_id,
    ]
    assert [version.current_version for version in versions] == [True, False, False]

    sdk.delete_kv(created.id, version_check=described.metadata.version_id)
    with pytest.raises(NotFoundError):
        sdk.get_kv(created.id)


def test_conflicts_are_the_sdks_conflict_error(sdk):
    """A taken name and a stale version arrive as ConflictError."""
    created = sdk.create_kv(name="a", value="1", key_context=CONTEXT)
    with pytest.raises(ConflictError):
        sdk.create_kv(name="a", value="2", key_context=CONTEXT)
    for call in (
        lambda: sdk.update_kv(created.id, value="2", version_check="x"),
        lambda: sdk.delete_kv(created.id, version_check="x"),
    ):
        with pytest.raises(ConflictError):
            call()


def test_lists(sdk):
    """The SDK's paging iterator follows the cursors; every filter works."""
    for index in range(5):
        sdk.create_kv(name=f"object {index}", value="secret", key_context=CONTEXT)
    expected = [f"object {index}" for index in range(5)]
    assert sdk.names(sdk.list_kv(limit=2, order="asc")) == expected
    page = sdk.list_kv(limit=2)
    assert [item.name for item in page.data] == ["object 4", "object 3"]
    following = sdk.list_kv(limit=2, after=page.after)
    assert sdk.list_kv(limit=2, before=following.before).data == page.data
    assert [item.name for item in sdk.list_kv(search="OBJECT 3").data] == ["object 3"]
    assert sdk.list_kv(updated_after=datetime.now(UTC) + timedelta(days=1)).data == []
    assert len(sdk.list_kv(updated_after=datetime.now(UTC) - timedelta(days=1)).data) == 5


def test_the_whole_module_is_covered():
    """A call that the SDK grows is noticed here."""
    calls = {name for name, member in vars(Vault).items() if callable(member) and not name.startswith("_")}
    source = Path(__file__).read_text()
    assert {name for name in calls if f"sdk.{name}(" not in source} == set()
    assert len(calls) == 13


def test_a_bad_context_is_the_sdks_validation_error(sdk):
    """422 arrives as UnprocessableEntityError."""
    with pytest.raises(UnprocessableEntityError):
        sdk.create_data_key(context={"a": "x" * 501})


def test_a_withdrawn_key_is_the_sdks_bad_request(sdk, vault_emulator):
    """What the SDK's user meets when an organization takes its key back."""
    sealed = sdk.encrypt(data="secret", key_context=CONTEXT)
    vault_emulator.revoke("organization_id", "org_1")
    with pytest.raises(BadRequestError):
        sdk.decrypt(encrypted_data=sealed)


def test_a_wrong_api_key_is_the_sdks_authentication_error(vault_emulator):
    """401 arrives as AuthenticationError."""
    client = WorkOSClient(api_key="sk_test_wrong", client_id="client_1", base_url=vault_emulator.url)
    with pytest.raises(AuthenticationError):
        client.vault.create_data_key(context=CONTEXT)
    client.close()
