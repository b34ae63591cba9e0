"""A vault without a network, for development and tests: keys derived from one local master key.

Blobs have the size and the semantics of WorkOS Vault's: each context item is a key of its own, any one of
them unwraps, and one of them can be revoked. Whoever reads the master key can read everything sealed under
it, which is why ``check --deploy`` refuses this backend.
"""

import os
import threading
from base64 import b64decode
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from uuid import uuid4

from django_workos_vault.backends.base import VaultBackend, validate_key_context
from django_workos_vault.backends.keyfile import load_or_create_key
from django_workos_vault.backends.wrapping import MASTER_KEY_BYTES, KeyWrapper
from django_workos_vault.exceptions import InvalidVaultConfiguration, VaultPermissionDenied
from django_workos_vault.keys import DATA_KEY_BYTES, DataKey


class LocalVault(VaultBackend):
    """Data keys wrapped by keys derived from ``master_key``, or from the one kept in ``key_file``.

    ``master_key`` is 32 bytes, raw or as base64 text. ``key_file`` is a path; the file is made on first use,
    readable by its owner alone. Give exactly one, or InvalidVaultConfiguration is raised.
    """

    def __init__(
        self, *, master_key: str | bytes | None = None, key_file: str | os.PathLike[str] | None = None
    ) -> None:
        if (master_key is None) == (key_file is None):
            raise InvalidVaultConfiguration("LocalVault takes either master_key or key_file.")
        self._master_key = None if master_key is None else _decode_master_key(master_key)
        self._key_file = None if key_file is None else Path(key_file)
        self._revoked: set[str] = set()
        self._lock = threading.Lock()
        self.requests_made = 0

    @cached_property
    def _wrapper(self) -> KeyWrapper:
        if self._key_file is not None:
            return KeyWrapper(load_or_create_key(self._key_file))
        assert self._master_key is not None  # noqa: S101 - one of the two is given
        return KeyWrapper(self._master_key)

    def create_data_key(self, context: Mapping[str, str]) -> DataKey:
        context = validate_key_context(context)
        self._count_request()
        return self._wrapped(str(uuid4()), bytearray(os.urandom(DATA_KEY_BYTES)), context)

    def decrypt_data_key(self, wrapped: bytes) -> DataKey:
        self._count_request()
        data_key_id, plaintext = self._wrapper.unwrap(wrapped, self._revoked)
        return DataKey(id=data_key_id, plaintext=plaintext, wrapped=wrapped)

    def rekey_data_key(self, wrapped: bytes, context: Mapping[str, str]) -> DataKey:
        context = validate_key_context(context)
        self._count_request()
        data_key_id, plaintext = self._wrapper.unwrap(wrapped, self._revoked)
        return self._wrapped(data_key_id, plaintext, context)

    # Nothing here waits: the async twins answer at once.

    async def acreate_data_key(self, context: Mapping[str, str]) -> DataKey:
        return self.create_data_key(context)

    async def adecrypt_data_key(self, wrapped: bytes) -> DataKey:
        return self.decrypt_data_key(wrapped)

    async def arekey_data_key(self, wrapped: bytes, context: Mapping[str, str]) -> DataKey:
        return self.rekey_data_key(wrapped, context)

    def revoke(self, name: str, value: str) -> str:
        """Withdraw the key of one context item, as an organization does that takes back its own key.

        From now on this key neither wraps nor unwraps: a blob that another, unrevoked key wraps too still
        opens, any other raises VaultPermissionDenied. Holds for this instance.
        Returns the id of the key.
        """
        kek_id = self._wrapper.kek_id(name, value)
        self._revoked.add(kek_id)
        return kek_id

    def _wrapped(self, data_key_id: str, plaintext: bytearray, context: dict[str, str]) -> DataKey:
        for name, value in context.items():
            if self._wrapper.kek_id(name, value) in self._revoked:
                raise VaultPermissionDenied(f"The key of context item {name!r} has been revoked.")
        blob = self._wrapper.wrap(data_key_id, plaintext, context)
        return DataKey(id=data_key_id, plaintext=plaintext, wrapped=blob, context=context)

    def _count_request(self) -> None:
        with self._lock:
            self.requests_made += 1


def _decode_master_key(master_key: str | bytes) -> bytes:
    if isinstance(master_key, bytes) and len(master_key) == MASTER_KEY_BYTES:
        return master_key
    try:
        decoded = b64decode(master_key, validate=True)
    except (TypeError, ValueError):
        decoded = b""
    if len(decoded) != MASTER_KEY_BYTES:
        raise InvalidVaultConfiguration(
            f"LocalVault's master_key must be {MASTER_KEY_BYTES} bytes, raw or as base64."
        )
    return decoded
