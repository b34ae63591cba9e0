"""The byte layouts in which the WorkOS SDKs keep a value that they encrypted, as pure functions.

All seal with AES-256-GCM under the data key itself, with text as associated data, and encode the parts in
base64. Worked out from the SDKs' code:

=========================================  ===================================================================
python, node, php, ruby, kotlin, dotnet    ``nonce 12 | tag 16 | LEB128 length | wrapped key | ciphertext``
go                                         ``LEB128 length | wrapped key | nonce 12 | ciphertext | tag 16``
=========================================  ===================================================================

What .NET keeps as the wrapped key is not Vault's bytes but their base64 text.
"""

import base64
import binascii
from os import urandom
from typing import Literal, NamedTuple, get_args

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from django_workos_vault import envelope
from django_workos_vault.datakey import NONCE_BYTES, TAG_BYTES, DataKey
from django_workos_vault.exceptions import MalformedEnvelope, TamperedEnvelope

SDK = Literal["python", "node", "php", "ruby", "kotlin", "go", "dotnet"]


class Payload(NamedTuple):
    """The parts of an SDK's payload. ``wrapped`` is Vault's blob, in raw bytes."""

    nonce: bytes
    tag: bytes
    wrapped: bytes
    ciphertext: bytes

    def open(self, key: DataKey, associated_data: str | None) -> bytes:
        """Return the plaintext, and wipe ``key``. Raises TamperedEnvelope."""
        try:
            # A copy, so that wiping the key cannot reach into the cipher object (see datakey.LoadedKey).
            aead = AESGCM(bytes(key.plaintext))
            return aead.decrypt(self.nonce, self.ciphertext + self.tag, (associated_data or "").encode())
        except InvalidTag:
            raise TamperedEnvelope(
                "The SDK's payload was changed, or its associated data is another."
            ) from None
        finally:
            key.wipe()


def seal(key: DataKey, plaintext: bytes, associated_data: str | None) -> Payload:
    """Return ``plaintext`` sealed under ``key``, which is wiped and must seal nothing else."""
    try:
        nonce = urandom(NONCE_BYTES)
        sealed = AESGCM(bytes(key.plaintext)).encrypt(nonce, plaintext, (associated_data or "").encode())
        return Payload(nonce, sealed[-TAG_BYTES:], key.wrapped, sealed[:-TAG_BYTES])
    finally:
        key.wipe()


def encode(payload: Payload, sdk: SDK) -> str:
    """Return ``payload`` as the SDK ``sdk`` takes it. Raises ValueError for an SDK that is none."""
    _check(sdk)
    wrapped = base64.b64encode(payload.wrapped) if sdk == "dotnet" else payload.wrapped
    keys = envelope.encode_leb128(len(wrapped)) + wrapped
    if sdk == "go":
        raw = keys + payload.nonce + payload.ciphertext + payload.tag
    else:
        raw = payload.nonce + payload.tag + keys + payload.ciphertext
    return base64.b64encode(raw).decode()


def decode(encrypted_data: str, sdk: SDK) -> Payload:
    """Return the parts of what the SDK ``sdk`` made. Raises MalformedEnvelope, and ValueError as above."""
    _check(sdk)
    raw = _unbase64(encrypted_data)
    length, key_at = envelope.decode_leb128(raw, 0 if sdk == "go" else NONCE_BYTES + TAG_BYTES)
    key_end = key_at + length
    wrapped = raw[key_at:key_end]
    behind = NONCE_BYTES + TAG_BYTES if sdk == "go" else 0
    if not length or len(raw) < key_end + behind:
        raise MalformedEnvelope("The SDK's payload ends before its ciphertext.")
    if sdk == "dotnet":
        wrapped = _unbase64(wrapped)
    if not 0 < len(wrapped) <= envelope.MAX_KEY_REFERENCE_BYTES:
        raise MalformedEnvelope("The wrapped key in the SDK's payload has no length that Vault's have.")
    if sdk == "go":
        text_at = key_end + NONCE_BYTES
        return Payload(raw[key_end:text_at], raw[-TAG_BYTES:], wrapped, raw[text_at:-TAG_BYTES])
    nonce, tag = raw[:NONCE_BYTES], raw[NONCE_BYTES : NONCE_BYTES + TAG_BYTES]
    return Payload(nonce, tag, wrapped, raw[key_end:])


def _check(sdk: str) -> None:
    if sdk not in get_args(SDK):
        raise ValueError(f"{sdk!r} is no WorkOS SDK; known: {', '.join(get_args(SDK))}.")


def _unbase64(text: str | bytes) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise MalformedEnvelope("The SDK's payload is not base64.") from None
