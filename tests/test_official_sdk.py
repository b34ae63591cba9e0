"""The official ``workos`` SDK takes the emulator for WorkOS: its whole ``vault`` module, sync and async."""

import asyncio

import pytest
from workos import AsyncWorkOSClient, WorkOSClient
from workos._errors import AuthenticationError, BadRequestError, UnprocessableEntityError

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
