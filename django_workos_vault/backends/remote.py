"""A vault reached by requests: each operation is a described call, handed to one of two senders."""

from abc import abstractmethod
from collections.abc import Mapping
from datetime import datetime
from typing import TypeVar

from django_workos_vault.backends import calls
from django_workos_vault.backends.base import Order, VaultBackend
from django_workos_vault.backends.calls import Call, Carried
from django_workos_vault.backends.objects import (
    DeletedObject,
    ObjectMetadata,
    ObjectSummary,
    ObjectVersion,
    ObjectWithoutValue,
    Page,
    VaultObject,
)
from django_workos_vault.datakey import DataKey

Result = TypeVar("Result")


class RemoteVault(VaultBackend):
    """The eleven operations in terms of :meth:`_send` and :meth:`_asend`."""

    @abstractmethod
    def _send(self, call: Call[Result]) -> Result:
        """Send ``call`` and return what its ``read`` makes of the answer. Raises VaultError."""

    @abstractmethod
    async def _asend(self, call: Call[Result]) -> Result:
        """:meth:`_send` for async code."""

    def create_data_key(self, context: Mapping[str, str]) -> DataKey:
        return self._send(calls.create_data_key(context))

    def decrypt_data_key(self, wrapped: bytes) -> DataKey:
        return self._send(calls.decrypt_data_key(wrapped))

    def rekey_data_key(self, wrapped: bytes, context: Mapping[str, str]) -> DataKey:
        return self._send(calls.rekey_data_key(wrapped, context))

    async def acreate_data_key(self, context: Mapping[str, str]) -> DataKey:
        return await self._asend(calls.create_data_key(context))

    async def adecrypt_data_key(self, wrapped: bytes) -> DataKey:
        return await self._asend(calls.decrypt_data_key(wrapped))

    async def arekey_data_key(self, wrapped: bytes, context: Mapping[str, str]) -> DataKey:
        return await self._asend(calls.rekey_data_key(wrapped, context))

    def create_object(self, name: str, value: str, key_context: Mapping[str, str]) -> ObjectMetadata:
        carried = Carried(value)
        del value  # a traceback shows the locals of this frame
        return self._send(calls.create_object(name, carried, key_context))

    def read_object(self, object_id: str) -> VaultObject:
        return self._send(calls.read_object(object_id))

    def read_object_by_name(self, name: str) -> VaultObject:
        return self._send(calls.read_object_by_name(name))

    def update_object(
        self, object_id: str, value: str, version_check: str | None = None
    ) -> ObjectWithoutValue:
        carried = Carried(value)
        del value
        return self._send(calls.update_object(object_id, carried, version_check))

    def delete_object(self, object_id: str, version_check: str | None = None) -> DeletedObject:
        return self._send(calls.delete_object(object_id, version_check))

    def describe_object(self, object_id: str) -> ObjectWithoutValue:
        return self._send(calls.describe_object(object_id))

    def list_object_versions(self, object_id: str) -> tuple[ObjectVersion, ...]:
        return self._send(calls.list_object_versions(object_id))

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
        return self._send(calls.list_objects(limit, before, after, order, search, updated_after))

    async def acreate_object(self, name: str, value: str, key_context: Mapping[str, str]) -> ObjectMetadata:
        carried = Carried(value)
        del value
        return await self._asend(calls.create_object(name, carried, key_context))

    async def aread_object(self, object_id: str) -> VaultObject:
        return await self._asend(calls.read_object(object_id))

    async def aread_object_by_name(self, name: str) -> VaultObject:
        return await self._asend(calls.read_object_by_name(name))

    async def aupdate_object(
        self, object_id: str, value: str, version_check: str | None = None
    ) -> ObjectWithoutValue:
        carried = Carried(value)
        del value
        return await self._asend(calls.update_object(object_id, carried, version_check))

    async def adelete_object(self, object_id: str, version_check: str | None = None) -> DeletedObject:
        return await self._asend(calls.delete_object(object_id, version_check))

    async def adescribe_object(self, object_id: str) -> ObjectWithoutValue:
        return await self._asend(calls.describe_object(object_id))

    async def alist_object_versions(self, object_id: str) -> tuple[ObjectVersion, ...]:
        return await self._asend(calls.list_object_versions(object_id))

    async def alist_objects(
        self,
        *,
        limit: int | None = None,
        before: str | None = None,
        after: str | None = None,
        order: Order | None = None,
        search: str | None = None,
        updated_after: datetime | None = None,
    ) -> Page[ObjectSummary]:
        return await self._asend(calls.list_objects(limit, before, after, order, search, updated_after))
