"""Cells and the WorkOS SDKs' own format, without re-encryption.

The SDKs keep a locally encrypted value as ``base64(nonce 12 | tag 16 | LEB128 length | wrapped key |
ciphertext)``, AES-256-GCM with the data key itself and text as associated data: the parts of an envelope in
another order. So any WorkOS SDK, in any language, opens a cell when it is given the associated data's text.
"""

import base64
import binascii
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from django_workos_vault import envelope
from django_workos_vault.backends.base import VaultBackend
from django_workos_vault.exceptions import MalformedEnvelope, TamperedEnvelope, WrongBinding
from django_workos_vault.keys import NONCE_BYTES, TAG_BYTES


class SDKPayload(NamedTuple):
    """The two arguments of ``vault.decrypt()`` in the WorkOS SDKs."""

    encrypted_data: str
    associated_data: str


def cell_to_sdk(cell: bytes, label: str, *, wrapped: bytes | None = None) -> SDKPayload:
    """Return ``cell`` rearranged for ``workos.vault.decrypt()``.

    ``label`` is what the field seals for (``app_label.Model.field`` unless it was given one); ``wrapped`` is
    the wrapped data key, needed only for a cell that refers to the registry. The SDK gives back the encoded
    plaintext: for text fields the text, for a padded one the text and its ISO/IEC 7816-4 padding. Raises
    MalformedEnvelope or UnknownFormat for what is no envelope, WrongBinding for another label's.
    """
    parsed = envelope.parse(cell)
    if parsed.label_id != envelope.label_id(label):
        raise WrongBinding(f"The cell was not sealed for {label}.")
    key_reference = parsed.key_reference or wrapped
    if not key_reference:
        raise MalformedEnvelope("The cell refers to the registry: pass its wrapped data key.")
    payload = b"".join(
        (
            parsed.nonce,
            parsed.tag,
            envelope.encode_leb128(len(key_reference)),
            key_reference,
            parsed.ciphertext,
        )
    )
    associated_data = envelope.associated_data(
        parsed.flags, parsed.commitment, parsed.binding, parsed.digests, label
    )
    return SDKPayload(base64.b64encode(payload).decode(), associated_data.decode())


def open_from_sdk(backend: VaultBackend, encrypted_data: str, associated_data: str | None = None) -> bytes:
    """Return the plaintext of what ``workos.vault.encrypt()`` made.

    ``backend`` unwraps the data key (``vaults["default"].backend``). Raises MalformedEnvelope when the text
    is not of that format, TamperedEnvelope when it fails authentication, VaultError when the key cannot be
    unwrapped.
    """
    try:
        payload = base64.b64decode(encrypted_data, validate=True)
    except (binascii.Error, ValueError):
        raise MalformedEnvelope("The SDK's payload is not base64.") from None
    length, key_at = envelope.decode_leb128(payload, NONCE_BYTES + TAG_BYTES)
    ciphertext_at = key_at + length
    if not 0 < length <= envelope.MAX_KEY_REFERENCE_BYTES or len(payload) < ciphertext_at:
        raise MalformedEnvelope("The SDK's payload ends before its ciphertext.")
    nonce, tag = payload[:NONCE_BYTES], payload[NONCE_BYTES : NONCE_BYTES + TAG_BYTES]
    key = backend.decrypt_data_key(payload[key_at:ciphertext_at])
    try:
        # A copy, so that wiping the key cannot reach into the cipher object (see keys.LoadedKey).
        aead = AESGCM(bytes(key.plaintext))
        return aead.decrypt(nonce, payload[ciphertext_at:] + tag, (associated_data or "").encode())
    except InvalidTag:
        raise TamperedEnvelope("The SDK's payload was changed, or its associated data is another.") from None
    finally:
        key.wipe()
