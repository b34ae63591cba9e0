"""The layouts of all WorkOS SDKs: what differs is translated both ways.

The Python SDK is run, in ``test_interop.py``. The known answers here were put together by hand, from the code
of the other SDKs' ``encrypt`` and ``decrypt``; docs/format.md says which of them were run by hand.
"""

import base64
from typing import Any, get_args

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.test import override_settings

from django_workos_vault import envelope, interop, sdk_format, vaults
from django_workos_vault.datakey import DataKey
from django_workos_vault.exceptions import (
    EnvelopeError,
    MalformedEnvelope,
    TamperedEnvelope,
    VaultError,
    WrongBinding,
    WrongKey,
)
from django_workos_vault.fields import stored_cell
from django_workos_vault.models import DataKeyRecord
from django_workos_vault.sdk_format import SDK, Payload
from tests.app.everything import EACH_TYPE_AND_ONE_VALUE, Everything
from tests.app.models import Account, Device, Organization, Person

pytestmark = pytest.mark.django_db

SDKS: tuple[Any, ...] = get_args(SDK)
KEY, NONCE, WRAPPED = bytes(range(32)), bytes(range(100, 112)), b"WOS.EKM.v1\x00" + bytes(range(195))
SEALED = AESGCM(KEY).encrypt(NONCE, "Grüße".encode(), b"patient 7")
CIPHERTEXT, TAG = SEALED[:-16], SEALED[-16:]
# 206 is 0xCE 0x01 in LEB128; its base64 text has 276 bytes, 0x94 0x02.
KNOWN: dict[str, bytes] = {
    **dict.fromkeys(
        ("python", "node", "php", "ruby", "kotlin"), NONCE + TAG + b"\xce\x01" + WRAPPED + CIPHERTEXT
    ),
    "go": b"\xce\x01" + WRAPPED + NONCE + CIPHERTEXT + TAG,
    "dotnet": NONCE + TAG + b"\x94\x02" + base64.b64encode(WRAPPED) + CIPHERTEXT,
}


def reference_vault() -> Any:
    from django.conf import settings

    vault = settings.WORKOS_VAULTS["default"] | {"DATA_KEYS": {"envelope": "reference"}}
    return override_settings(WORKOS_VAULTS={"default": vault})


@pytest.mark.parametrize("sdk", SDKS)
def test_known_answers(sdk: Any) -> None:
    """Each layout is read and written byte for byte, and opens with the data key."""
    assert len(WRAPPED) == 206
    payload = Payload(NONCE, TAG, WRAPPED, CIPHERTEXT)
    text = base64.b64encode(KNOWN[sdk]).decode()
    assert sdk_format.encode(payload, sdk) == text
    assert sdk_format.decode(text, sdk) == payload
    opened = sdk_format.decode(text, sdk).open(DataKey("key_1", bytearray(KEY), WRAPPED), "patient 7")
    assert opened.decode() == "Grüße"


@pytest.mark.parametrize("sdk", SDKS)
@pytest.mark.parametrize("associated_data", [None, "patient 7"])
@pytest.mark.parametrize("plaintext", [b"", b"x", b"\x00\xff" * 500])
def test_what_is_sealed_for_an_sdk_opens_again(
    sdk: Any, associated_data: str | None, plaintext: bytes
) -> None:
    """Any bytes round-trip in every layout; another associated data, or layout, does not open them."""
    backend = vaults["default"].backend
    sealed = interop.seal_for_sdk(backend, plaintext, {"app": "tests"}, associated_data, sdk=sdk)
    assert interop.open_from_sdk(backend, sealed, associated_data, sdk=sdk) == plaintext
    with pytest.raises(TamperedEnvelope):
        interop.open_from_sdk(backend, sealed, "another", sdk=sdk)
    others: set[Any] = {"python", "go", "dotnet"} - {sdk if sdk in ("go", "dotnet") else "python"}
    for other in others:
        with pytest.raises((EnvelopeError, VaultError)):
            interop.open_from_sdk(backend, sealed, associated_data, sdk=other)


@pytest.mark.parametrize("sdk", ["python", "go", "dotnet"])
@pytest.mark.parametrize(("name", "value"), EACH_TYPE_AND_ONE_VALUE)
def test_a_cell_of_any_type_goes_out_and_comes_back_the_same(sdk: Any, name: str, value: Any) -> None:
    """Rearranged, taken back and saved, a cell is the same bytes; its plain bytes are those an SDK gives."""
    row = Everything.objects.create(**{name: value})
    cell = stored_cell(row, name)
    payload = interop.value_to_sdk(row, name, sdk=sdk)
    opened = interop.open_from_sdk(vaults["default"].backend, *payload, sdk=sdk)
    plain = interop.plain_bytes(Everything.objects.get(), name)
    assert opened == plain or (opened.rstrip(b"\x00")[:-1] == plain and envelope.parse(cell).flags & 4)
    Everything.objects.update(**{name: None})
    loaded = Everything.objects.get()
    interop.value_from_sdk(loaded, name, *payload, sdk=sdk)
    loaded.save()
    assert stored_cell(Everything.objects.get(), name) == cell
    assert getattr(Everything.objects.get(), name) == value


@pytest.mark.parametrize("sdk", ["python", "go", "dotnet"])
@pytest.mark.parametrize("reference", [False, True])
def test_indexed_bound_and_referring_cells(sdk: Any, reference: bool) -> None:
    """Digests, a row's identity and a key in the registry are no obstacle."""
    with reference_vault() if reference else override_settings():
        organization = Organization.objects.create(name="Org", workos_id="org_1")
        rows = [
            (Device.objects.create(organization=organization, pin="1234"), "pin", "1234"),
            (Account.objects.create(login="ada"), "login", "ada"),
            (Person.objects.create(ssn="123-45-6789"), "ssn", "123-45-6789"),
        ]
        vaults.reset()
        for row, name, value in rows:
            assert (not envelope.parse(stored_cell(row, name)).key_reference) is reference
            payload = interop.value_to_sdk(row, name, sdk=sdk)
            backend = vaults["default"].backend
            assert interop.open_from_sdk(backend, *payload, sdk=sdk).decode() == value
            row = type(row)._default_manager.get()
            assert interop.plain_bytes(row, name).decode() == value
            interop.value_from_sdk(row, name, *payload, sdk=sdk)
            row.save()
            assert getattr(type(row)._default_manager.get(), name) == value


def test_a_key_that_is_not_in_the_registry_is_an_error() -> None:
    """A referring cell whose record is gone is no payload."""
    with reference_vault():
        person = Person.objects.create(ssn="123-45-6789")
        DataKeyRecord.objects.all().delete()
        vaults.reset()
        with pytest.raises(WrongKey, match="no record"):
            interop.value_to_sdk(person, "ssn")


def test_only_a_cell_of_the_column_that_opens_is_taken() -> None:
    """Another column's payload, a changed one, an SDK's own associated data: the value stays."""
    person = Person.objects.create(ssn="123-45-6789", notes="none")
    text, associated_data = interop.value_to_sdk(person, "ssn")
    changed = bytearray(base64.b64decode(text))
    changed[-1] ^= 1
    own = interop.seal_for_sdk(vaults["default"].backend, b"x", {"app": "tests"}, "patient 7")
    commitment = associated_data.split(":")[3]
    for name, attempt, error in [
        ("notes", (text, associated_data), WrongBinding),
        ("ssn", (base64.b64encode(changed).decode(), associated_data), TamperedEnvelope),
        ("ssn", (own, "patient 7"), MalformedEnvelope),
        ("ssn", (own, associated_data), WrongKey),
        *(
            ("ssn", (text, associated_data.replace("1:1:0", wrong, 1)), MalformedEnvelope)
            for wrong in ("2:1:0", "1:2:0", "1:1:1", "1:1:2", "1:1:300", "1:1:-1", "1:1:x", "01:1:0", "")
        ),
        ("ssn", (text, associated_data.replace(commitment, commitment[2:])), MalformedEnvelope),
        ("ssn", (text, associated_data.replace(commitment, commitment.upper())), MalformedEnvelope),
        ("ssn", ("", associated_data), MalformedEnvelope),
    ]:
        with pytest.raises(error):
            interop.value_from_sdk(person, name, *attempt)
    assert (person.ssn, person.notes) == ("123-45-6789", "none")


@pytest.mark.parametrize("sdk", SDKS)
def test_cut_payloads_are_malformed(sdk: Any) -> None:
    """Every cut of every layout is one clear error, or a shorter ciphertext that does not open."""
    for end in range(len(KNOWN[sdk])):
        text = base64.b64encode(KNOWN[sdk][:end]).decode()
        try:
            payload = sdk_format.decode(text, sdk)
        except MalformedEnvelope:
            continue
        with pytest.raises(TamperedEnvelope):
            payload.open(DataKey("key_1", bytearray(KEY), WRAPPED), "patient 7")


def test_wrong_arguments() -> None:
    """An SDK that is none, a plain field and a NULL say so."""
    person = Person.objects.create()
    with pytest.raises(ValueError, match="no WorkOS SDK"):
        interop.open_from_sdk(vaults["default"].backend, "", sdk="cobol")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="no encrypted field"):
        interop.value_to_sdk(person, "name")
    with pytest.raises(ValueError, match="no stored cell"):
        interop.plain_bytes(person, "ssn")
