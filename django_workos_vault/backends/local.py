"""A vault without a network, for development and tests: keys derived from one local master key.

Blobs have the size and the semantics of WorkOS Vault's: each context item is a key of its own, any one of
them unwraps, and one of them can be revoked. Whoever reads the master key can read everything sealed under
it, which is why ``check --deploy`` refuses this backend.
"""

import os
import threading
from base64 import b64decode
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path

from django_workos_vault.backends import calls
from django_workos_vault.backends.base import Order, VaultBackend, validate_key_context
from django_workos_vault.backends.keyfile import load_or_create_key
from django_workos_vault.backends.localkeys import LocalKeys
from django_workos_vault.backends.localstate import MEMORY, LocalState
from django_workos_vault.backends.objects import (
    Actor,
    DeletedObject,
    ObjectMetadata,
    ObjectSummary,
    ObjectVersion,
    ObjectWithoutValue,
    Page,
    VaultObject,
)
from django_workos_vault.backends.objectstore import ObjectStore
from django_workos_vault.backends.wrapping import MASTER_KEY_BYTES
from django_workos_vault.datakey import DataKey
from django_workos_vault.exceptions import InvalidVaultConfiguration, VaultRequestError

_ACTOR = Actor(id="key_local", name="LocalVault")


class LocalVault(VaultBackend):
    """Data keys wrapped by keys derived from ``master_key``, or from the one kept in ``key_file``.

    ``master_key`` is 32 bytes, raw or as base64 text. ``key_file`` is a path; the file is made on first use,
    readable by its owner alone. Give exactly one, or InvalidVaultConfiguration is raised. ``objects_file`` is
    an SQLite file, made on first use, that keeps objects and revocations, or ``":memory:"``; without it there
    are no objects, and revocations end with the process.
    """

    for_development = True
    answers_at_once = True

    def __init__(
        self,
        *,
        master_key: str | bytes | None = None,
        key_file: str | os.PathLike[str] | None = None,
        objects_file: str | os.PathLike[str] | None = None,
    ) -> None:
        self._state = LocalState(MEMORY if objects_file is None else objects_file)
        self.keys = LocalKeys(_master_key_loader(master_key, key_file), self._state)
        self.objects = None if objects_file is None else ObjectStore(self._state, self.keys)
        self._lock = threading.Lock()
        self.requests_made = 0

    def __repr__(self) -> str:
        return "<LocalVault>"

    def create_data_key(self, context: Mapping[str, str]) -> DataKey:
        context = validate_key_context(context)
        self._count_request()
        return self.keys.create(context)

    def decrypt_data_key(self, wrapped: bytes) -> DataKey:
        self._count_request()
        return self.keys.unwrap(wrapped)

    def rekey_data_key(self, wrapped: bytes, context: Mapping[str, str]) -> DataKey:
        context = validate_key_context(context)
        self._count_request()
        return self.keys.rekey(wrapped, context)

    # These take microseconds, so the async twins answer at once. Those of the object calls use threads.

    async def acreate_data_key(self, context: Mapping[str, str]) -> DataKey:
        return self.create_data_key(context)

    async def adecrypt_data_key(self, wrapped: bytes) -> DataKey:
        return self.decrypt_data_key(wrapped)

    async def arekey_data_key(self, wrapped: bytes, context: Mapping[str, str]) -> DataKey:
        return self.rekey_data_key(wrapped, context)

    # Making the request that would be sent to Vault checks its limits.

    def create_object(self, name: str, value: str, key_context: Mapping[str, str]) -> ObjectMetadata:
        calls.create_object(name, calls.Carried(value), key_context)
        return self._counted_objects().create(name, value, key_context, _ACTOR)

    def read_object(self, object_id: str) -> VaultObject:
        calls.read_object(object_id)
        return self._counted_objects().read(object_id)

    def read_object_by_name(self, name: str) -> VaultObject:
        calls.read_object_by_name(name)
        return self._counted_objects().read_by_name(name)

    def update_object(
        self, object_id: str, value: str, version_check: str | None = None
    ) -> ObjectWithoutValue:
        calls.update_object(object_id, calls.Carried(value), version_check)
        return self._counted_objects().update(object_id, value, version_check, _ACTOR)

    def delete_object(self, object_id: str, version_check: str | None = None) -> DeletedObject:
        calls.delete_object(object_id, version_check)
        return self._counted_objects().delete(object_id, version_check)

    def describe_object(self, object_id: str) -> ObjectWithoutValue:
        calls.describe_object(object_id)
        return self._counted_objects().describe(object_id)

    def list_object_versions(self, object_id: str) -> tuple[ObjectVersion, ...]:
        calls.list_object_versions(object_id)
        return self._counted_objects().versions(object_id)

    def list_objects(
        self,
        *,
        limit: int | None = None,
        before: str | None = None,
        after: str | None = None,
        order: Order | None = None,
        search: str | None = None,
        updated_after: datetime | None = None,
    ) -> Page[ObjectSummary]:
        calls.list_objects(limit, before, after, order, search, updated_after)
        return self._counted_objects().list(
            limit=limit,
            before=before,
            after=after,
            ascending=order == "asc",
            search=search,
            updated_after=updated_after,
        )

    def revoke(self, name: str, value: str) -> str:
        """Withdraw the key of one context item, as an organization does that takes back its own key.

        From now on this key neither wraps nor unwraps: a blob that another, unrevoked key wraps too still
        opens, any other raises VaultPermissionDenied. Returns the id of the key.
        """
        return self.keys.revoke(name, value)

    def close(self) -> None:
        self._state.close()

    def _counted_objects(self) -> ObjectStore:
        if self.objects is None:
            raise VaultRequestError("This LocalVault keeps no objects: give it the option objects_file.")
        self._count_request()
        return self.objects

    def _count_request(self) -> None:
        with self._lock:
            self.requests_made += 1


def _master_key_loader(
    master_key: str | bytes | None, key_file: str | os.PathLike[str] | None
) -> Callable[[], bytes]:
    if master_key is not None and key_file is None:
        decoded = _decoded(master_key)
        return lambda: decoded
    if key_file is not None and master_key is None:
        return partial(load_or_create_key, Path(key_file))
    raise InvalidVaultConfiguration("LocalVault takes either master_key or key_file.")


def _decoded(master_key: str | bytes) -> bytes:
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
