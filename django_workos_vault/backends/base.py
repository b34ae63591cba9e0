"""The interface that every vault backend offers: data keys, objects, and both in many at once.

Each of the eleven operations (:mod:`.operations`) stands here once, with its types. A backend carries them
out in :meth:`VaultBackend.call`.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import TypeVar

from django_workos_vault.backends import batch, operations
from django_workos_vault.backends.arguments import Order
from django_workos_vault.backends.carried import Arguments
from django_workos_vault.backends.health import Health
from django_workos_vault.backends.objects import (
    DeletedObject,
    ObjectMetadata,
    ObjectSummary,
    ObjectVersion,
    ObjectWithoutValue,
    Page,
    VaultObject,
)
from django_workos_vault.backends.observing import Observer
from django_workos_vault.backends.operations import Operation
from django_workos_vault.backends.threads import Threads
from django_workos_vault.datakey import DataKey
from django_workos_vault.exceptions import VaultError, VaultRequestError, VaultUnavailable

Result = TypeVar("Result")


class VaultBackend:
    """Makes, unwraps and rekeys data keys, and may keep objects.

    A backend overrides :meth:`call`, or the methods of the operations that it has. Every method raises a
    :class:`~django_workos_vault.exceptions.VaultError` when the vault cannot, or will not, do it. Backends
    are shared by all threads and event loops of a process. The async twin of a method runs it in one of a
    few threads (:attr:`async_threads`) of the backend's own.
    """

    #: requests sent since the process started, for people and tests that count them
    requests_made: int = 0
    #: "test" or "live" where the vault's API key says so
    api_key_environment: str | None = None
    #: what it needs before it can be asked, as a sentence; empty where nothing is missing
    lacks: str = ""
    #: whether its keys are good for development only
    for_development: bool = False

    #: what the project has around each call, if anything
    observer: Observer | None = None

    #: seconds after which every call has ended, one way or the other
    deadline: float = 15.0
    #: whether key calls return without waiting for a network, so that they may be made in an event loop
    answers_at_once: bool = False
    #: calls of async code that run at a time; the others wait
    async_threads: int = 10

    def call(self, operation: Operation[Result], arguments: Arguments) -> Result:
        """Carry out ``operation``. Raises VaultRequestError for arguments that Vault would not take."""
        lacking = "" if operation.is_about_keys else "makes data keys but keeps no objects: it "
        raise VaultRequestError(f"{type(self).__name__} {lacking}cannot {operation.purpose}.")

    def create_data_key(self, context: Mapping[str, str]) -> DataKey:
        """Make a data key, wrapped by the KEK of each item of ``context``."""
        return self.call(operations.CREATE_DATA_KEY, Arguments(context=context))

    def decrypt_data_key(self, wrapped: bytes) -> DataKey:
        """Unwrap ``wrapped`` (raw bytes, as stored in an envelope)."""
        return self.call(operations.DECRYPT_DATA_KEY, Arguments(wrapped=wrapped))

    def rekey_data_key(self, wrapped: bytes, context: Mapping[str, str]) -> DataKey:
        """Wrap the same data key again, under ``context``."""
        return self.call(operations.REKEY_DATA_KEY, Arguments(wrapped=wrapped, context=context))

    async def acreate_data_key(self, context: Mapping[str, str]) -> DataKey:
        """:meth:`create_data_key` for async code."""
        return await self._about_keys(self.create_data_key, Arguments(context=context))

    async def adecrypt_data_key(self, wrapped: bytes) -> DataKey:
        """:meth:`decrypt_data_key` for async code."""
        return await self._about_keys(self.decrypt_data_key, Arguments(wrapped=wrapped))

    async def arekey_data_key(self, wrapped: bytes, context: Mapping[str, str]) -> DataKey:
        """:meth:`rekey_data_key` for async code."""
        return await self._about_keys(self.rekey_data_key, Arguments(wrapped=wrapped, context=context))

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
        arguments = Arguments(name=name, value=value, key_context=key_context)
        del value  # a traceback shows the locals of this frame
        return self.call(operations.CREATE_OBJECT, arguments)

    def read_object(self, object_id: str) -> VaultObject:
        """Return the object with its value. VaultNotFound when there is none."""
        return self.call(operations.READ_OBJECT, Arguments(object_id=object_id))

    def read_object_by_name(self, name: str) -> VaultObject:
        """Return the object called ``name`` with its value. VaultNotFound when there is none."""
        return self.call(operations.READ_OBJECT_BY_NAME, Arguments(name=name))

    def update_object(
        self, object_id: str, value: str, version_check: str | None = None
    ) -> ObjectWithoutValue:
        """Store ``value`` as a new version.

        VaultConflict when ``version_check`` is given and is not the id of the current version.
        """
        arguments = Arguments(object_id=object_id, value=value, version_check=version_check)
        del value  # a traceback shows the locals of this frame
        return self.call(operations.UPDATE_OBJECT, arguments)

    def delete_object(self, object_id: str, version_check: str | None = None) -> DeletedObject:
        """Delete the object. VaultNotFound when there is none; VaultConflict as for :meth:`update_object`."""
        return self.call(
            operations.DELETE_OBJECT, Arguments(object_id=object_id, version_check=version_check)
        )

    def describe_object(self, object_id: str) -> ObjectWithoutValue:
        """Return the object without its value, which is not decrypted. VaultNotFound when there is none."""
        return self.call(operations.DESCRIBE_OBJECT, Arguments(object_id=object_id))

    def list_object_versions(self, object_id: str) -> tuple[ObjectVersion, ...]:
        """Return the object's versions in the vault's order. VaultNotFound when there is no such object."""
        return self.call(operations.LIST_OBJECT_VERSIONS, Arguments(object_id=object_id))

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
        arguments = Arguments(
            limit=limit, before=before, after=after, order=order, search=search, updated_after=updated_after
        )
        return self.call(operations.LIST_OBJECTS, arguments)

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
        arguments = Arguments(name=name, value=value, key_context=key_context)
        del value  # a traceback shows the locals of this frame
        return await self._threads.run(self.create_object, arguments)

    async def aread_object(self, object_id: str) -> VaultObject:
        """:meth:`read_object` for async code."""
        return await self._threads.run(self.read_object, Arguments(object_id=object_id))

    async def aread_object_by_name(self, name: str) -> VaultObject:
        """:meth:`read_object_by_name` for async code."""
        return await self._threads.run(self.read_object_by_name, Arguments(name=name))

    async def aupdate_object(
        self, object_id: str, value: str, version_check: str | None = None
    ) -> ObjectWithoutValue:
        """:meth:`update_object` for async code."""
        arguments = Arguments(object_id=object_id, value=value, version_check=version_check)
        del value  # a traceback shows the locals of this frame
        return await self._threads.run(self.update_object, arguments)

    async def adelete_object(self, object_id: str, version_check: str | None = None) -> DeletedObject:
        """:meth:`delete_object` for async code."""
        return await self._threads.run(
            self.delete_object, Arguments(object_id=object_id, version_check=version_check)
        )

    async def adescribe_object(self, object_id: str) -> ObjectWithoutValue:
        """:meth:`describe_object` for async code."""
        return await self._threads.run(self.describe_object, Arguments(object_id=object_id))

    async def alist_object_versions(self, object_id: str) -> tuple[ObjectVersion, ...]:
        """:meth:`list_object_versions` for async code."""
        return await self._threads.run(self.list_object_versions, Arguments(object_id=object_id))

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
        arguments = Arguments(
            limit=limit, before=before, after=after, order=order, search=search, updated_after=updated_after
        )
        return await self._threads.run(self.list_objects, arguments)

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

    def health(self) -> Health:
        """Return how Vault did, as this process has seen it."""
        return Health(asks_again_in=self.asks_again_in())

    def forget_outage(self) -> None:
        """Ask Vault at the next call, whatever it failed with before."""

    def close(self) -> None:
        """Release pooled connections. The backend can be used again afterwards."""
        self._threads.close()

    @cached_property
    def _threads(self) -> Threads:
        return Threads(self.async_threads)

    async def _about_keys(self, verb: Callable[..., Result], arguments: Arguments) -> Result:
        if self.answers_at_once:
            result: Result = arguments.pass_to(verb)
            return result
        return await self._threads.run(verb, arguments)


def _next_cursor(page: Page[ObjectSummary], seen: set[str]) -> str | None:
    if page.after in seen:
        raise VaultUnavailable("Vault's list of objects does not end: a cursor came back a second time.")
    if page.after is not None:
        seen.add(page.after)
    return page.after
