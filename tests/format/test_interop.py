"""Nobody is locked in: the official Python SDK opens our cells, and we open what it made."""

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import override_settings
from workos import WorkOSClient

from django_workos_vault import vaults
from django_workos_vault.emulator import RunningEmulator
from django_workos_vault.exceptions import (
    DecryptionForbidden,
    MalformedEnvelope,
    TamperedEnvelope,
    WrongBinding,
)
from django_workos_vault.fields import stored_cell
from django_workos_vault.interop import cell_to_sdk, open_from_sdk, plain_bytes, seal_for_sdk, value_to_sdk
from tests.app.everything import Everything
from tests.app.models import Person

pytestmark = pytest.mark.django_db


@pytest.fixture
def sdk(vault_emulator: RunningEmulator) -> Iterator[Any]:
    client = WorkOSClient(
        api_key=vault_emulator.api_key, client_id="client_1", base_url=vault_emulator.url, max_retries=0
    )
    options = {"api_key": vault_emulator.api_key, "base_url": vault_emulator.url}
    vault = {
        "BACKEND": "django_workos_vault.backends.workos.WorkOSVault",
        "KEY_CONTEXT": {"app": "tests"},
        "OPTIONS": options,
    }
    with override_settings(WORKOS_VAULTS={"default": vault}):
        yield client.vault
    client.close()


def test_the_sdk_opens_our_cell(sdk: Any) -> None:
    """A stored cell, rearranged, is what ``workos.vault.decrypt`` takes."""
    person = Person.objects.create(ssn="123-45-6789")
    payload = cell_to_sdk(stored_cell(person, "ssn"), "app.Person.ssn")
    assert sdk.decrypt(**payload._asdict()) == "123-45-6789"


def test_we_open_what_the_sdk_sealed(sdk: Any) -> None:
    """What ``workos.vault.encrypt`` made opens with our backend, with and without associated data."""
    for associated_data in (None, "patient 7"):
        sealed = sdk.encrypt(
            data="Grüße", key_context={"organization_id": "org_1"}, associated_data=associated_data
        )
        opened = open_from_sdk(vaults["default"].backend, sealed, associated_data)
        assert opened.decode() == "Grüße"


def test_opening_can_be_forbidden(sdk: Any) -> None:
    """Where nothing of the vault may be opened, neither may what an SDK sealed for it."""
    vault = vaults["default"]
    payload = seal_for_sdk(vault, b"x", {"app": "tests"})
    with vault.decryption_forbidden(), pytest.raises(DecryptionForbidden):
        open_from_sdk(vault, payload)
    assert open_from_sdk(vault, payload) == b"x"


def test_a_changed_payload_is_tampering(sdk: Any) -> None:
    """One flipped bit of the SDK's ciphertext is refused."""
    payload = bytearray(base64.b64decode(sdk.encrypt(data="x" * 20, key_context={"app": "tests"})))
    payload[-1] ^= 1
    with pytest.raises(TamperedEnvelope):
        open_from_sdk(vaults["default"].backend, base64.b64encode(payload).decode())


@pytest.mark.parametrize("payload", ["not base64!", "", base64.b64encode(bytes(29)).decode()])
def test_nonsense_is_malformed(sdk: Any, payload: str) -> None:
    """What is not of the SDK's format is one clear error, before any request."""
    with pytest.raises(MalformedEnvelope):
        open_from_sdk(vaults["default"].backend, payload)


def test_a_cell_of_another_label_is_not_rearranged(sdk: Any) -> None:
    """The associated data of another field would only fail later, without a reason."""
    person = Person.objects.create(ssn="123-45-6789")
    with pytest.raises(WrongBinding):
        cell_to_sdk(stored_cell(person, "ssn"), "app.Person.notes")


def test_the_sdk_opens_a_typed_value_that_was_sealed_for_it(sdk: Any) -> None:
    """A number's cell is no text, so its value is sealed once more, as the text that the SDK gives back."""
    row = Everything.objects.create(integer=471622, colour="r")
    with pytest.raises(UnicodeDecodeError):
        sdk.decrypt(**value_to_sdk(row, "colour")._asdict())  # padded to the longest choice
    assert plain_bytes(row, "colour") == b"r"
    assert int.from_bytes(plain_bytes(row, "integer"), signed=True) == 471622
    backend = vaults["default"].backend
    sealed = seal_for_sdk(backend, str(row.integer).encode(), {"app": "tests"}, "row 1")
    assert sdk.decrypt(encrypted_data=sealed, associated_data="row 1") == "471622"
