"""The interface that every vault backend offers: data keys, objects, and both in many at once.

Limits and shapes are those of the Vault API description (``CreateDataKeyRequest``, ``DecryptRequest``,
``RekeyRequest``, ``CreateObjectRequest``, ``UpdateObjectRequest``).
"""

import asyncio
import re
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Literal

from django_workos_vault.backends import batch
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
from django_workos_vault.exceptions import (
    InvalidVaultConfiguration,
    VaultError,
    VaultRequestError,
    VaultUnavailable,
)

MAX_CONTEXT_ITEMS = 10
MAX_CONTEXT_VALUE_LENGTH = 500
MAX_NAME_LENGTH = 200
#: a wrapped key is 206 bytes for one context item; the bound leaves room for ten long ones
MAX_WRAPPED_BYTES = 8192

Order = Literal["asc", "desc"]

#: what no database stores as text
_NO_TEXT = re.compile("[\\x00\\ud800-\\udfff]")


class VaultBackend(ABC):
    """Makes, unwraps and rekeys data keys; a backend that also keeps objects overrides the object calls.

    Every method raises a :class:`~django_workos_vault.exceptions.VaultError` when the vault cannot, or
    will not, do it. Backends are shared by all threads and event loops of a process. The async twin of an
    object call runs the sync one in a thread unless a backend has something better.
    """

    #: requests sent since the process started, for people and tests that count them
    requests_made: int = 0
    #: "test" or "live" where the vault's API key says so
    api_key_environment: str | None = None
    #: whether its keys are good for development only
    for_development: bool = False

    #: seconds after which every call has ended, one way or the other
    deadline: float = 15.0
    #: whether calls return without waiting for a network, so that they may be made in an event loop
    answers_at_once: bool = False

    @abstractmethod
    def create_data_key(self, context: Mapping[str, str]) -> DataKey:
        """Make a data key, wrapped by the KEK of each item of ``context``."""

    @abstractmethod
    def decrypt_data_key(self, wrapped: bytes) -> DataKey:
        """Unwrap ``wrapped`` (raw bytes, as stored in an envelope)."""

    @abstractmethod
    def rekey_data_key(self, wrapped: bytes, context: Mapping[str, str]) -> DataKey:
        """Wrap the same data key again, under ``context``."""

    @abstractmethod
    async def acreate_data_key(self, context: Mapping[str, str]) -> DataKey:
        """:meth:`create_data_key` for async code."""

    @abstractmethod
    async def adecrypt_data_key(self, wrapped: bytes) -> DataKey:
        """:meth:`decrypt_data_key` for async code."""

    @abstractmethod
    async def arekey_data_key(self, wrapped: bytes, context: Mapping[str, str]) -> DataKey:
        """:meth:`rekey_data_key` for async code."""

    def create_data_keys(self, contexts: Sequence[Mapping[str, str]]) -> list[DataKey | VaultError]:
        """:meth:`create_data_key` for each of ``contexts``, concurrently; see :mod:`.batch` for failures."""
        return batch.run(self.create_data_key, contexts)

    def decrypt_data_keys(self, wrapped: Sequence[bytes]) -> list[DataKey | VaultError]:
        """:meth:`decrypt_data_key` for each of ``wrapped``, concurrently; see :mod:`.batch` for failures."""
        return batch.run(self.decrypt_data_key, wrapped)

    async def acreate_data_keys(self, contexts: Sequence[Mapping[str, str]]) -> list[DataKey | VaultError]:
        """:meth:`create_data_keys` for async code."""
        return await batch.arun(self.acreate_data_key, contexts)

    async def adecrypt_data_keys(self, wrapped: Sequence[bytes]) -> list[DataKey | VaultError]:
        """:meth:`decrypt_data_keys` for async code."""
        return await batch.arun(self.adecrypt_data_key, wrapped)

    def create_object(self, name: str, value: str, key_context: Mapping[str, str]) -> ObjectMetadata:
        """Store ``value`` under ``name`` (1 to 200 characters). VaultConflict when the name is taken."""
        raise self._keeps_no_objects()

    def read_object(self, object_id: str) -> VaultObject:
        """Return the object with its value. VaultNotFound when there is none."""
        raise self._keeps_no_objects()

    def read_object_by_name(self, name: str) -> VaultObject:
        """Return the object called ``name`` with its value. VaultNotFound when there is none."""
        raise self._keeps_no_objects()

    def update_object(
        self, object_id: str, value: str, version_check: str | None = None
    ) -> ObjectWithoutValue:
        """Store ``value`` as a new version.

        VaultConflict when ``version_check`` is given and is not the id of the current version.
        """
        raise self._keeps_no_objects()

    def delete_object(self, object_id: str, version_check: str | None = None) -> DeletedObject:
        """Delete the object. VaultNotFound when there is none; VaultConflict as for :meth:`update_object`."""
        raise self._keeps_no_objects()

    def describe_object(self, object_id: str) -> ObjectWithoutValue:
        """Return the object without its value, which is not decrypted. VaultNotFound when there is none."""
        raise self._keeps_no_objects()

    def list_object_versions(self, object_id: str) -> tuple[ObjectVersion, ...]:
        """Return the object's versions in the vault's order. VaultNotFound when there is no such object."""
        raise self._keeps_no_objects()

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
        """Return one page of at most ``limit`` objects (10 unless told), ``before`` or ``after`` a cursor.

        ``search`` filters by name; ``updated_after`` is an aware datetime.
        """
        raise self._keeps_no_objects()

    def iter_objects(
        self,
        *,
        limit: int | None = None,
        order: Order | None = None,
        search: str | None = None,
        updated_after: datetime | None = None,
    ) -> Iterator[ObjectSummary]:
        """Yield every object, page by page; ``limit`` is the size of a page."""
        seen: set[str] = set()
        after = None
        while True:
            page = self.list_objects(
                limit=limit, after=after, order=order, search=search, updated_after=updated_after
            )
            yield from page.items
            after = _next_cursor(page, seen)
            if after is None:
                return

    async def acreate_object(self, name: str, value: str, key_context: Mapping[str, str]) -> ObjectMetadata:
        """:meth:`create_object` for async code."""
        return await asyncio.to_thread(self.create_object, name, value, key_context)

    async def aread_object(self, object_id: str) -> VaultObject:
        """:meth:`read_object` for async code."""
        return await asyncio.to_thread(self.read_object, object_id)

    async def aread_object_by_name(self, name: str) -> VaultObject:
        """:meth:`read_object_by_name` for async code."""
        return await asyncio.to_thread(self.read_object_by_name, name)

    async def aupdate_object(
        self, object_id: str, value: str, version_check: str | None = None
    ) -> ObjectWithoutValue:
        """:meth:`update_object` for async code."""
        return await asyncio.to_thread(self.update_object, object_id, value, version_check)

    async def adelete_object(self, object_id: str, version_check: str | None = None) -> DeletedObject:
        """:meth:`delete_object` for async code."""
        return await asyncio.to_thread(self.delete_object, object_id, version_check)

    async def adescribe_object(self, object_id: str) -> ObjectWithoutValue:
        """:meth:`describe_object` for async code."""
        return await asyncio.to_thread(self.describe_object, object_id)

    async def alist_object_versions(self, object_id: str) -> tuple[ObjectVersion, ...]:
        """:meth:`list_object_versions` for async code."""
        return await asyncio.to_thread(self.list_object_versions, object_id)

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
        """:meth:`list_objects` for async code."""
        return await asyncio.to_thread(
            self.list_objects,
            limit=limit,
            before=before,
            after=after,
            order=order,
            search=search,
            updated_after=updated_after,
        )

    async def aiter_objects(
        self,
        *,
        limit: int | None = None,
        order: Order | None = None,
        search: str | None = None,
        updated_after: datetime | None = None,
    ) -> AsyncIterator[ObjectSummary]:
        """:meth:`iter_objects` for async code: ``async for summary in vault.aiter_objects()``."""
        seen: set[str] = set()
        after = None
        while True:
            page = await self.alist_objects(
                limit=limit, after=after, order=order, search=search, updated_after=updated_after
            )
            for summary in page.items:
                yield summary
            after = _next_cursor(page, seen)
            if after is None:
                return

    def asks_again_in(self) -> float:
        """Return the seconds for which calls fail at once, as Vault failed a moment ago; 0 if they do not."""
        return 0.0

    def forget_outage(self) -> None:  # noqa: B027 - a backend may remember none
        """Ask Vault at the next call, whatever it failed with before."""

    def close(self) -> None:  # noqa: B027 - a backend may have nothing to release
        """Release pooled connections. The backend can be used again afterwards."""

    def _keeps_no_objects(self) -> VaultRequestError:
        return VaultRequestError(f"{type(self).__name__} makes data keys but keeps no objects.")


def _next_cursor(page: Page[ObjectSummary], seen: set[str]) -> str | None:
    if page.after in seen:
        raise VaultUnavailable("Vault's list of objects does not end: a cursor came back a second time.")
    if page.after is not None:
        seen.add(page.after)
    return page.after


def validate_key_context(context: object) -> dict[str, str]:
    """Return ``context`` as a dict if Vault would take it: 1 to 10 items, strings of at most 500 characters.

    Raises InvalidVaultConfiguration, naming the key at fault but never a value, which may be personal.
    Source: the API description, ``CreateDataKeyRequest.context``. An empty context names no KEK.
    """
    if not isinstance(context, Mapping):
        raise InvalidVaultConfiguration(
            f"A key context is a mapping of strings, not {type(context).__name__}."
        )
    if not context:
        raise InvalidVaultConfiguration("A key context needs at least one item: each item names a key.")
    if len(context) > MAX_CONTEXT_ITEMS:
        raise InvalidVaultConfiguration(
            f"A key context has at most {MAX_CONTEXT_ITEMS} items, this one has {len(context)}."
        )
    for name, value in context.items():
        if not isinstance(name, str):
            raise InvalidVaultConfiguration(f"A key context's names are strings, not {type(name).__name__}.")
        if not isinstance(value, str):
            raise InvalidVaultConfiguration(
                f"Key context item {name!r} must be a string, not {type(value).__name__}."
            )
        if not value:
            raise InvalidVaultConfiguration(
                f"Key context item {name!r} is empty: it would name a shared key."
            )
        if _NO_TEXT.search(name + value):
            raise InvalidVaultConfiguration(
                f"Key context item {name!r} holds a zero byte or half a character: it names no key."
            )
        if len(value) > MAX_CONTEXT_VALUE_LENGTH:
            raise InvalidVaultConfiguration(
                f"Key context item {name!r} has {len(value)} characters; Vault takes at most "
                f"{MAX_CONTEXT_VALUE_LENGTH}."
            )
    return dict(context)
