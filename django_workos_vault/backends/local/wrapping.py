"""Wrapping a data key under one key per context item: the engine of the local vault and of the emulator.

::

    "WOS.EKM.v1" 0 | data key id 36 | count | (KEK id | wrapped data key) x count

The layout follows the example blob of the Vault API description (``CreateDataKeyResponse.encrypted_keys``):
ids are UUIDs as text, and each field behind the data key id stands as ``1 | length 1 | bytes``, the count as
a decimal number. A wrapped data key is 116 bytes long, as in the example; one item makes 206 bytes::

    nonce 12 | AES-256-GCM( data key 32 | zeros 56 ) | tag 16

Everything before the count is authenticated. A KEK is found again by its id alone: the id is derived from the
context item, the KEK from the id, both with HKDF-SHA256 (RFC 5869) under the master key, so a blob tells
nothing about the context.
"""

import os
from collections.abc import Collection, Iterator, Mapping
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from django_workos_vault.backends.key_context import MAX_CONTEXT_ITEMS
from django_workos_vault.datakey import DATA_KEY_BYTES, derive
from django_workos_vault.exceptions import VaultPermissionDenied, VaultRequestError

MAGIC = b"WOS.EKM.v1\x00"
MASTER_KEY_BYTES = 32

_ID_BYTES = 36
_NONCE_BYTES = 12
_PADDING = bytes(56)
_WRAPPED_BYTES = 116
_COUNTS = frozenset(str(number).encode("ascii") for number in range(1, MAX_CONTEXT_ITEMS + 1))
_CUT_SHORT = "The wrapped data key is cut short, or one of its fields has a wrong length."
_KEK_ID_INFO = b"django_workos_vault/1/local/kek-id"
_KEK_INFO = b"django_workos_vault/1/local/kek"


class KeyWrapper:
    """Wraps and unwraps data keys under keys derived from ``master_key`` (32 bytes)."""

    __slots__ = ("_master_key",)

    def __init__(self, master_key: bytes) -> None:
        if len(master_key) != MASTER_KEY_BYTES:
            raise ValueError(f"a master key has {MASTER_KEY_BYTES} bytes, not {len(master_key)}")
        self._master_key = master_key

    def kek_id(self, name: str, value: str) -> str:
        """Return the id (a UUID) of the key that stands for one context item."""
        # The length keeps {"a": "bc"} and {"ab": "c"} apart.
        item = len(name).to_bytes(4, "big") + (name + value).encode("utf-8", "surrogatepass")
        return str(UUID(bytes=derive(self._master_key, _KEK_ID_INFO + item)[:16], version=4))

    def wrap(self, data_key_id: str, data_key: bytes | bytearray, context: Mapping[str, str]) -> bytes:
        """Return the blob of ``data_key`` (32 bytes) wrapped by the KEK of each item of ``context``."""
        front = MAGIC + data_key_id.encode("ascii")
        fields = [str(len(context)).encode("ascii")]
        for name, value in context.items():
            kek_id = self.kek_id(name, value)
            nonce = os.urandom(_NONCE_BYTES)
            wrapped = self._aead(kek_id).encrypt(nonce, data_key + _PADDING, front)
            fields += (kek_id.encode("ascii"), nonce + wrapped)
        return front + b"".join(bytes((1, len(field))) + field for field in fields)

    def unwrap(self, blob: bytes, revoked: Collection[str] = ()) -> tuple[str, bytearray]:
        """Return the data key's id and its 32 bytes, by way of any KEK that is not among the ``revoked`` ids.

        Raises VaultRequestError when ``blob`` is malformed, damaged or from another master key, and
        VaultPermissionDenied when it takes a revoked KEK to open it.
        """
        data_key_id, wrapped_keys = parse(blob)
        front = blob[: len(MAGIC) + _ID_BYTES]
        for kek_id, wrapped in wrapped_keys.items():
            if kek_id in revoked:
                continue
            try:
                padded = self._aead(kek_id).decrypt(wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], front)
            except InvalidTag:
                continue
            return data_key_id, bytearray(padded[:DATA_KEY_BYTES])
        withdrawn = [kek_id for kek_id in wrapped_keys if kek_id in revoked]
        if withdrawn:
            raise VaultPermissionDenied(
                f"Data key {data_key_id} cannot be unwrapped: key {', '.join(withdrawn)} has been revoked."
            )
        raise VaultRequestError(
            f"Data key {data_key_id} cannot be unwrapped: the wrapped key is damaged, or was made with "
            "another master key."
        )

    def _aead(self, kek_id: str) -> AESGCM:
        return AESGCM(derive(self._master_key, _KEK_INFO + kek_id.encode("ascii")))


def parse(blob: bytes) -> tuple[str, dict[str, bytes]]:
    """Return the data key id of ``blob``, and its wrapped data keys by KEK id. Raises VaultRequestError."""
    if not blob.startswith(MAGIC):
        raise VaultRequestError("This is not a wrapped data key: it does not begin with WOS.EKM.v1.")
    fields = _fields(blob, len(MAGIC) + _ID_BYTES)
    data_key_id = _uuid(blob[len(MAGIC) : len(MAGIC) + _ID_BYTES])
    count = next(fields, b"")
    if count not in _COUNTS:
        raise VaultRequestError(f"The wrapped data key does not name 1 to {MAX_CONTEXT_ITEMS} keys.")
    wrapped_keys = {}
    for _ in range(int(count)):
        kek_id, wrapped = _uuid(next(fields, b"")), next(fields, b"")
        if len(wrapped) != _WRAPPED_BYTES:
            raise VaultRequestError(_CUT_SHORT)
        wrapped_keys[kek_id] = wrapped
    if next(fields, None) is not None:
        raise VaultRequestError("The wrapped data key is followed by other bytes.")
    return data_key_id, wrapped_keys


def _fields(blob: bytes, at: int) -> Iterator[bytes]:
    while at < len(blob):
        end = at + 2 + int.from_bytes(blob[at + 1 : at + 2])
        if blob[at] != 1 or end > len(blob):
            raise VaultRequestError(_CUT_SHORT)
        yield blob[at + 2 : end]
        at = end


def _uuid(text: bytes) -> str:
    try:
        value = text.decode("ascii")
        if str(UUID(value)) == value:
            return value
    except ValueError:
        pass
    raise VaultRequestError("The wrapped data key holds an id that is not a UUID.")
