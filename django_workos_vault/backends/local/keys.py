"""The local vault's key calls: new, unwrapped and rekeyed data keys, and keys that were revoked."""

import os
from collections.abc import Callable, Mapping
from functools import cached_property
from uuid import uuid4

from django_workos_vault.backends.local.state import LocalState
from django_workos_vault.backends.local.wrapping import KeyWrapper
from django_workos_vault.datakey import DATA_KEY_BYTES, DataKey
from django_workos_vault.exceptions import VaultPermissionDenied


class LocalKeys:
    """Data keys under a master key. ``load_master_key`` is asked for it once, on first use.

    The operations have the names and arguments that they have everywhere.
    """

    def __init__(self, load_master_key: Callable[[], bytes], state: LocalState) -> None:
        self._load_master_key = load_master_key
        self._state = state

    @cached_property
    def _wrapper(self) -> KeyWrapper:
        return KeyWrapper(self._load_master_key())

    def create_data_key(self, context: Mapping[str, str]) -> DataKey:
        """Return a new data key. Raises VaultPermissionDenied when a key of ``context`` was revoked."""
        return self._wrap(str(uuid4()), bytearray(os.urandom(DATA_KEY_BYTES)), context)

    def decrypt_data_key(self, wrapped: bytes) -> DataKey:
        """Return the data key in ``wrapped``. Raises as :meth:`KeyWrapper.unwrap`."""
        data_key_id, plaintext = self._wrapper.unwrap(wrapped, self._revoked())
        return DataKey(id=data_key_id, plaintext=plaintext, wrapped=wrapped)

    def rekey_data_key(self, wrapped: bytes, context: Mapping[str, str]) -> DataKey:
        """Return the data key in ``wrapped``, wrapped under ``context``. Raises as the two others."""
        data_key_id, plaintext = self._wrapper.unwrap(wrapped, self._revoked())
        return self._wrap(data_key_id, plaintext, context)

    def revoke(self, name: str, value: str) -> str:
        """Revoke the key of one context item and return the key's id."""
        kek_id = self._wrapper.kek_id(name, value)
        with self._state.transaction(write=True) as database:
            database.execute("INSERT OR IGNORE INTO revoked_keys VALUES (?)", (kek_id,))
        return kek_id

    def _wrap(self, data_key_id: str, plaintext: bytearray, context: Mapping[str, str]) -> DataKey:
        revoked = self._revoked()
        for name, value in context.items():
            if self._wrapper.kek_id(name, value) in revoked:
                raise VaultPermissionDenied(f"The key of context item {name!r} has been revoked.")
        blob = self._wrapper.wrap(data_key_id, plaintext, context)
        return DataKey(id=data_key_id, plaintext=plaintext, wrapped=blob, context=dict(context))

    def _revoked(self) -> set[str]:
        with self._state.transaction() as database:
            return {row["id"] for row in database.execute("SELECT id FROM revoked_keys")}
