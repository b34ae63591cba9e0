"""``vaults["default"].encrypt()``: values that belong to no field."""

import io
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.files.base import ContentFile
from workos import WorkOSClient

from django_workos_vault import vaults
from django_workos_vault.exceptions import (
    DecryptionForbidden,
    EnvelopeError,
    InvalidVaultConfiguration,
    MalformedEnvelope,
    TamperedEnvelope,
    WouldBlockEventLoop,
    WrongBinding,
)
from django_workos_vault.interop import open_from_sdk

pytestmark = pytest.mark.django_db

TEXT = "Grüße, \N{SNOWMAN}"
BYTES = TEXT.encode()

GIVEN: dict[str, Any] = {
    "bytes": lambda: BYTES,
    "bytearray": lambda: bytearray(BYTES),
    "memoryview": lambda: memoryview(BYTES),
    "text": lambda: TEXT,
    "file": lambda: io.BytesIO(BYTES),
    "text file": lambda: io.StringIO(TEXT),
    "Django's file": lambda: ContentFile(BYTES),
    "iterable": lambda: [BYTES[:3], b"", BYTES[3:]],
    "iterator": lambda: iter([BYTES]),
}


@pytest.mark.parametrize("given", GIVEN)
def test_anything_comes_back_as_bytes(given: str) -> None:
    """Bytes, text, files and iterables are sealed, in either format, and come back as bytes."""
    vault = vaults["default"]
    blob = vault.encrypt(GIVEN[given]())
    assert BYTES not in blob
    assert vault.decrypt(blob) == BYTES
    payload = vault.encrypt(GIVEN[given](), format="sdk")
    assert vault.decrypt(payload, format="sdk") == BYTES
    assert vault.decrypt_stream(io.BytesIO(b"".join(vault.encrypt_stream(GIVEN[given]())))).read() == BYTES


@pytest.mark.parametrize("wrong", [5, 1.5, None, [1, 2], object()])
def test_what_cannot_be_sealed(wrong: Any) -> None:
    """Numbers and other objects are a TypeError, never the bytes that Python would make of them."""
    with pytest.raises(TypeError):
        vaults["default"].encrypt(wrong)


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 3 << 20])
def test_any_length(size: int) -> None:
    """A value of no bytes is one, and long ones are many frames."""
    data = os.urandom(size)
    blob = vaults["default"].encrypt(data)
    assert vaults["default"].decrypt(blob) == data
    assert len(blob) < size + 400 + size // 65536 * 16


def test_a_value_opens_for_its_purpose_alone() -> None:
    """A blob sealed under one label is refused under another, and one of a context of its own opens."""
    vault = vaults["default"]
    blob = vault.encrypt(TEXT, label="reset tokens", key_context={"organization_id": "org_1"})
    assert vault.decrypt(blob, label="reset tokens") == BYTES
    with pytest.raises(WrongBinding):
        vault.decrypt(blob)
    payload = vault.encrypt(TEXT, format="sdk", associated_data="reset tokens")
    assert vault.decrypt(payload, format="sdk", associated_data="reset tokens") == BYTES
    with pytest.raises(TamperedEnvelope):
        vault.decrypt(payload, format="sdk")


def test_formats_are_not_guessed() -> None:
    """Each format is opened from its own type, and arguments of the other are refused."""
    vault = vaults["default"]
    blob, payload = vault.encrypt(TEXT), vault.encrypt(TEXT, format="sdk")
    for wrong, options in ((blob, {"format": "sdk"}), (payload, {})):
        with pytest.raises(TypeError, match="is opened from"):
            vault.decrypt(wrong, **options)  # type: ignore[arg-type]
    for options in ({"format": "jwe"}, {"format": "sdk", "label": "x"}, {"associated_data": "x"}):
        with pytest.raises(ValueError, match="format"):
            vault.encrypt(TEXT, **options)  # type: ignore[call-overload]
    for junk in (b"", b"junk", blob[:50], blob[:-1], blob + b"x"):
        with pytest.raises(EnvelopeError):
            vault.decrypt(junk)
    for junk_text in ("", "junk", "!", payload[:60]):
        with pytest.raises(MalformedEnvelope):
            vault.decrypt(junk_text, format="sdk")


def test_keys_are_shared_and_counted() -> None:
    """A thousand values cost one data key; opening one by the SDKs' format costs a request each."""
    vault = vaults["default"]
    blobs = [vault.encrypt(TEXT) for _ in range(100)]
    assert [vault.decrypt(blob) for blob in blobs] == [BYTES] * 100
    assert (vault.stats().requests, vault.stats().sealed, vault.stats().opened) == (1, 100, 100)
    vault.decrypt(vault.encrypt(TEXT, format="sdk"), format="sdk")
    assert (vault.stats().requests, vault.stats().sealed, vault.stats().opened) == (2, 101, 101)


async def adecrypted(vault: Any, *args: Any, **options: Any) -> Any:
    return await vault.adecrypt(*args, **options)


def test_decryption_forbidden() -> None:
    """Where opening is off nothing is opened, nor is a key asked for; sealing goes on."""
    vault = vaults["default"]
    blob, payload = vault.encrypt(TEXT), vault.encrypt(TEXT, format="sdk")
    vault.keyring.forget()
    before = vault.stats().requests
    with vault.decryption_forbidden():
        for ask in (
            lambda: vault.decrypt(blob),
            lambda: vault.decrypt(payload, format="sdk"),
            lambda: vault.decrypt_stream(io.BytesIO(blob)),
        ):
            with pytest.raises(DecryptionForbidden):
                ask()
        assert vault.stats().requests == before
        vault.encrypt(TEXT)


@async_to_sync
async def check_async() -> None:
    vault = vaults["default"]

    async def chunks() -> AsyncIterator[bytes]:
        yield BYTES[:2]
        yield BYTES[2:]

    blob = await vault.aencrypt(TEXT)
    assert await vault.adecrypt(await vault.aencrypt(chunks())) == BYTES
    payload = await vault.aencrypt(TEXT, format="sdk", associated_data="x")
    vault.keyring.forget()
    with pytest.raises(WouldBlockEventLoop):
        vault.decrypt(blob)
    with pytest.raises(WouldBlockEventLoop):
        vault.decrypt(payload, format="sdk", associated_data="x")
    assert await vault.adecrypt(blob) == BYTES
    assert await vault.adecrypt(payload, format="sdk", associated_data="x") == BYTES
    with vault.decryption_forbidden():
        for options in ({}, {"format": "sdk"}):
            with pytest.raises(DecryptionForbidden):
                await vault.adecrypt(payload if options else blob, **options)  # type: ignore[arg-type]


def test_async(remote_vault: Any) -> None:
    """Async code seals and opens without blocking the loop, and takes async iterables."""
    check_async()


def test_a_vault_without_a_context(settings: Any) -> None:
    """Where neither the vault nor the call gives a key context, the error says so."""
    one = dict(settings.WORKOS_VAULTS["default"])
    one.pop("KEY_CONTEXT")
    settings.WORKOS_VAULTS = {"default": one}
    with pytest.raises(InvalidVaultConfiguration, match="key_context"):
        vaults["default"].encrypt(TEXT)
    assert vaults["default"].decrypt(vaults["default"].encrypt(TEXT, key_context={"a": "b"})) == BYTES


@pytest.mark.parametrize("sdk", ["python", "node", "go", "dotnet"])
def test_each_sdk_has_its_layout(sdk: Any) -> None:
    """What is sealed for an SDK is in its layout, as the older functions read it too."""
    vault = vaults["default"]
    payload = vault.encrypt(TEXT, format="sdk", associated_data="x", sdk=sdk)
    assert open_from_sdk(vault.backend, payload, "x", sdk=sdk) == BYTES
    assert vault.decrypt(payload, format="sdk", associated_data="x", sdk=sdk) == BYTES


def test_the_streams_are_read_as_they_are_needed() -> None:
    """``encrypt_stream`` takes its input piece by piece, seals a name, pads, and reads anywhere."""
    vault = vaults["default"]
    taken = []

    def source() -> Any:
        for number in range(100):
            taken.append(number)
            yield bytes(1 << 16)

    stream = vault.encrypt_stream(source(), label="scans", name="a.bin", padding="padme")
    first = next(stream)
    assert taken == []
    stored = first + b"".join(stream)
    file = vault.decrypt_stream(io.BytesIO(stored), label="scans")
    assert (file.original_name, file.size) == ("a.bin", 100 << 16)


@pytest.mark.parametrize("associated_data", [None, "invitation"])
def test_the_official_sdk_reads_and_writes_it(remote_vault: Any, associated_data: str | None) -> None:
    """The ``workos`` SDK opens what ``format="sdk"`` gave, and what it sealed is opened."""
    client = WorkOSClient(
        api_key=remote_vault.api_key, client_id="client_1", base_url=remote_vault.url, max_retries=0
    )
    vault = vaults["default"]
    payload = vault.encrypt(TEXT, format="sdk", associated_data=associated_data)
    assert client.vault.decrypt(encrypted_data=payload, associated_data=associated_data) == TEXT
    theirs = client.vault.encrypt(data=TEXT, key_context={"app": "tests"}, associated_data=associated_data)
    assert vault.decrypt(theirs, format="sdk", associated_data=associated_data) == BYTES
    client.close()
