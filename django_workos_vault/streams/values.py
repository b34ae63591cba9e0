"""Values that belong to no field: anything in, one self-describing blob out, or an SDK's payload."""

from collections.abc import AsyncIterable, Iterable, Iterator
from contextlib import suppress
from os import urandom
from typing import Any, Protocol, runtime_checkable

from django_workos_vault import sdk_format
from django_workos_vault.context import KeyContext
from django_workos_vault.datakey import NONCE_BYTES, TAG_BYTES
from django_workos_vault.exceptions import EnvelopeError
from django_workos_vault.forbidding import check_opening_allowed
from django_workos_vault.frame_locals import leaves_no_locals
from django_workos_vault.keyring.ring import KeyRing
from django_workos_vault.sdk_format import SDK, Payload
from django_workos_vault.streams import header as headers
from django_workos_vault.streams.cipher import FileCipher
from django_workos_vault.streams.frames import AT_ONCE
from django_workos_vault.streams.sources import BytesSource


@runtime_checkable
class Readable(Protocol):
    """A file open for reading."""

    def read(self, size: int = -1, /) -> Any:
        """Return the next bytes, or text."""


#: What :func:`chunks_of` takes.
Data = bytes | bytearray | memoryview | str | Readable | Iterable[bytes]


def chunks_of(data: Data) -> Iterator[bytes]:
    """Yield the bytes of ``data``: text in UTF-8; a file from where it stands, or an iterable, as it comes.

    Raises TypeError for anything else.
    """
    if isinstance(data, bytes | bytearray | memoryview | str):
        return iter([as_bytes(data)])
    if isinstance(data, int):  # bytes(5) are five zeros
        raise TypeError("Bytes, text, a file or an iterable of bytes can be sealed, not a number.")
    if isinstance(data, Readable):
        return _read(data)
    return map(as_bytes, data)


async def gathered(data: Data | AsyncIterable[bytes]) -> Data:
    """Return ``data``, or what it yields when it is an async iterable and no file."""
    if isinstance(data, AsyncIterable) and not isinstance(data, Readable):
        return [chunk async for chunk in data]
    return data


@leaves_no_locals
def seal_value(cipher: FileCipher, data: Data, context: KeyContext) -> bytes:
    """Return ``data`` as a blob: a file without a name, and without room in its header."""
    return b"".join(cipher.seal(chunks_of(data), context, fill=1))


@leaves_no_locals
def open_value(cipher: FileCipher, blob: bytes) -> bytes:
    """Return what :func:`seal_value` was given, as bytes."""
    return cipher.open(BytesSource(blob)).read()


@leaves_no_locals
def seal_for_sdk(
    keyring: KeyRing, data: Data, context: KeyContext, associated_data: str | None, sdk: SDK
) -> str:
    """Return ``data`` as an SDK's ``encrypt()`` would, under the data key that ``context`` has now."""
    plaintext = b"".join(chunks_of(data))
    key = keyring.sealing_key(context)
    nonce = urandom(NONCE_BYTES)
    sealed = key.aead.encrypt(nonce, plaintext, (associated_data or "").encode())
    return sdk_format.encode(Payload(nonce, sealed[-TAG_BYTES:], key.wrapped, sealed[:-TAG_BYTES]), sdk)


@leaves_no_locals
def open_from_sdk(keyring: KeyRing, payload: str, associated_data: str | None, sdk: SDK) -> bytes:
    """Return the plaintext of an SDK's payload. Each costs a request: it does not say which key it needs."""
    check_opening_allowed(keyring.vault)
    parts = sdk_format.decode(payload, sdk)
    keyring.check_may_wait()
    plaintext = parts.open(keyring.backend.decrypt_data_key(parts.wrapped), associated_data)
    keyring.counters.opened += 1
    return plaintext


@leaves_no_locals
async def aopen_from_sdk(keyring: KeyRing, payload: str, associated_data: str | None, sdk: SDK) -> bytes:
    """:func:`open_from_sdk` for async code."""
    check_opening_allowed(keyring.vault)
    parts = sdk_format.decode(payload, sdk)
    plaintext = parts.open(await keyring.backend.adecrypt_data_key(parts.wrapped), associated_data)
    keyring.counters.opened += 1
    return plaintext


async def load_key(keyring: KeyRing, blob: bytes) -> None:
    """Have the key of a blob in memory, if it can be had: opening it tells why not."""
    check_opening_allowed(keyring.vault)
    with suppress(EnvelopeError):
        await keyring.aload([headers.parse(blob).wants])


def _read(file: Readable) -> Iterator[bytes]:
    while chunk := file.read(AT_ONCE):
        yield as_bytes(chunk)


def as_bytes(chunk: Any) -> bytes:
    """Return one piece of what is to be sealed as bytes. Raises TypeError for a piece that is none."""
    if isinstance(chunk, str):
        return chunk.encode()
    if isinstance(chunk, memoryview):
        return bytes(chunk)
    if not isinstance(chunk, bytes | bytearray):
        raise TypeError(f"Bytes and text can be sealed, not {type(chunk).__name__}.")
    return chunk if isinstance(chunk, bytes) else bytes(chunk)
