"""What an instance holds of a value that lives in Vault: a reference, until somebody reads the attribute."""

import asyncio
import os
from contextlib import suppress
from typing import Any

from asgiref.sync import sync_to_async
from django.db.models import Model

from django_workos_vault.backends.base import VaultBackend
from django_workos_vault.backends.objects import VaultObject
from django_workos_vault.context import KeyContext
from django_workos_vault.exceptions import UntrustedReference, VaultNotFound, WouldBlockEventLoop
from django_workos_vault.fields.cell import Withheld
from django_workos_vault.fields.object_encoding import Encoded, decode, encode
from django_workos_vault.fields.object_parts import PartStore
from django_workos_vault.fields.object_reference import ObjectReference, name_of_copy
from django_workos_vault.fields.object_scheme import FieldInVault
from django_workos_vault.forbidding import check_opening_allowed

_UNREAD: Any = object()
#: how often a value is looked for whose writers are faster
_ATTEMPTS = 5
_IN_ANOTHER = (
    " While a field moves to another vault, values stay in the old one: vault_check --explain moving."
)


class StoredObject(Withheld):
    """One value in Vault. Read at most once; copied and pickled as its reference.

    ``reference`` is what the row holds, or will when it is written; ``seen`` the version of the value that
    was read, which differs from it after a crash between Vault and the database. ``written_for`` tells in
    which state an instance was when this was stored, until its transaction has committed; ``replaced`` is
    what the row held before. ``row`` is what the row held in the field's ``row_columns`` when it was loaded.
    """

    __slots__ = (
        "_context",
        "_encoded",
        "_proven",
        "_value",
        "is_bound",
        "reference",
        "replaced",
        "seen",
        "written_for",
    )

    field: FieldInVault

    def __init__(
        self, reference: ObjectReference, field: FieldInVault, row: tuple[Any, ...] | None = None
    ) -> None:
        self.reference = reference
        self.field = field
        self.row = row
        self.seen = reference.version
        self.written_for: Any = None
        self.replaced: StoredObject | None = None
        self._value = self._encoded = _UNREAD
        self._context: KeyContext | None = None
        self._proven = False
        #: whether the reference, once proven, names its row
        self.is_bound = False

    def note_row(self, instance: Model) -> None:
        if self.row is None:
            self.row = self.field.scheme.row_of(instance)

    @property
    def is_read(self) -> bool:
        """Whether the value is in memory."""
        return self._value is not _UNREAD

    def place(self, instance: Model | None) -> KeyContext:
        """Return the key context of the row, as it was loaded, and remember it.

        May query the database for it. Raises FieldError without an instance where the row chooses it, and
        InvalidVaultConfiguration where the row does not tell it.
        """
        if self._context is None:
            if instance is not None:
                self.complete(instance)
                instance = self.field.scheme.as_loaded(instance, self.row)
            self._context = self.field.context_for(instance)
        return self._context

    def prove(self, instance: Model | None = None) -> KeyContext:
        """Return the row's key context, once the reference is proven to be this row's.

        Raises UntrustedReference when it is not, VaultError when the key of the proofs cannot be had.
        """
        context = self.place(instance)
        if not self._proven:
            self.is_bound = self.field.scheme.check_proof(self.reference, self.row, context)
            self._proven = True
        return context

    async def aprove(self, instance: Model | None = None) -> KeyContext:
        """:meth:`prove` for async code: what asks the database or Vault does so in a thread."""
        if self.field.vault.proves_at_once and not self.field.scheme.needs_row:
            return self.prove(instance)
        return await sync_to_async(self.prove)(instance)

    def open(self, instance: Model | None = None) -> Any:
        """Return the value, asking Vault for it the first time. ``instance`` is its row.

        Raises UntrustedReference when the object is not this row's, and VaultError.
        """
        if not self.is_read:
            backend = self._backend()
            placed = self._context is not None or not self.field.scheme.needs_row or backend.answers_at_once
            self._check_may_wait(self._proven or (placed and self.field.vault.proves_at_once))
            context = self.prove(instance)
            self._check_may_wait(backend.answers_at_once)
            tried: list[str | None] = []
            while not self.is_read:
                found = None
                try:
                    found = self._find(backend, context)
                    self.take(self._whole(found))
                except VaultNotFound:
                    self._check_is_there(found, tried)
        return self._value

    async def aopen(self, instance: Model | None = None) -> Any:
        """:meth:`open` for async code."""
        if not self.is_read:
            backend = self._backend()
            context = await self.aprove(instance)
            tried: list[str | None] = []
            while not self.is_read:
                found = None
                try:
                    found = await self._afind(backend, context)
                    self.take(await self._awhole(found))
                except VaultNotFound:
                    self._check_is_there(found, tried)
        return self._value

    def remember(self, value: Any, encoded: Encoded) -> None:
        """Take ``value``, stored as ``encoded``, for what is in Vault."""
        self._value, self._encoded = value, encoded

    def holds(self, value: Any) -> bool:
        """Whether ``value`` is what was read, or equal to it and of the same type."""
        if not self.is_read:
            return False
        try:
            return bool(encode(value) == self._encoded)
        except (TypeError, ValueError):
            return False

    def has_changed(self) -> bool:
        """Whether the value was changed in place since it was read, like a list appended to."""
        return self.is_read and self.reference.structured and not self.holds(self._value)

    def _check_may_wait(self, at_once: bool) -> None:
        if at_once or os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE"):
            return
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return
        raise WouldBlockEventLoop(
            f"Reading {self.field} asks Vault for the value, and waiting for it here would block the event "
            "loop. Before reading: await aload_objects(instances), from django_workos_vault.fields."
        )

    def _backend(self) -> VaultBackend:
        check_opening_allowed(self.field.vault_alias)
        return self.field.vault.backend

    def _find(self, backend: VaultBackend, context: KeyContext) -> VaultObject:
        """Return the object that holds the row's value, proven to be the row's."""
        found = backend.read_object(self.reference.id)
        self.field.scheme.check_answer(self.reference.id, found, context)
        if found.metadata.version_id == self.reference.version:
            return found
        # The object is ahead of the row. While a transaction is under way, and after one was rolled back, the
        # row's own value is kept beside it; otherwise the current value is the only one there is.
        with suppress(VaultNotFound):
            return self._checked_copy(found, backend.read_object_by_name(self._name_of_copy(found)))
        self.seen = found.metadata.version_id or self.seen
        return found

    async def _afind(self, backend: VaultBackend, context: KeyContext) -> VaultObject:
        found = await backend.aread_object(self.reference.id)
        self.field.scheme.check_answer(self.reference.id, found, context)
        if found.metadata.version_id == self.reference.version:
            return found
        with suppress(VaultNotFound):
            return self._checked_copy(found, await backend.aread_object_by_name(self._name_of_copy(found)))
        self.seen = found.metadata.version_id or self.seen
        return found

    def _name_of_copy(self, found: VaultObject) -> str:
        return name_of_copy(found.name, self.reference.version)

    def _checked_copy(self, found: VaultObject, kept: VaultObject) -> VaultObject:
        if kept.name != self._name_of_copy(found) or kept.metadata.context != found.metadata.context:
            raise UntrustedReference(f"What was kept of {self.field} for a rollback has another key context.")
        return kept

    def _whole(self, found: VaultObject) -> VaultObject:
        return PartStore(self.field).whole(found) if self.reference.split else found

    async def _awhole(self, found: VaultObject) -> VaultObject:
        return await PartStore(self.field).awhole(found) if self.reference.split else found

    def _check_is_there(self, found: VaultObject | None, tried: list[str | None]) -> None:
        """Note that parts of ``found`` are gone. Raises VaultNotFound unless another may be in its place."""
        version = None if found is None else found.metadata.version_id
        if found is None or version in tried or len(tried) == _ATTEMPTS:
            raise self._gone() from None
        tried.append(version)

    def take(self, found: VaultObject) -> None:
        """Take the value of ``found``, proven to be this row's. Raises VaultError when it is no JSON."""
        self.remember(*decode(found.value, self.reference.structured, self.field))

    def _gone(self) -> VaultNotFound:
        return VaultNotFound(
            f"The object {self.reference.id} of {self.field} is gone from Vault: it was replaced or deleted "
            "since this row was loaded (refresh_from_db() tells), or something else deleted it (vault_check "
            "--objects lists such rows)." + (_IN_ANOTHER if self.field.vault.also_reads else "")
        )

    def __repr__(self) -> str:
        return f"<StoredObject {self.field} {self.reference.id}>"

    def __reduce__(self) -> tuple[Any, ...]:
        if self.has_changed():
            return Assigned, (self._value, StoredObject(self.reference, self.field, self.row))
        return StoredObject, (self.reference, self.field, self.row)

    def __copy__(self) -> "StoredObject":
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        maker, arguments = self.__reduce__()
        return maker(*arguments)


class Assigned:
    """A value that the program assigned and did not save yet. ``base`` is what it will replace."""

    __slots__ = ("base", "value")

    def __init__(self, value: Any, base: StoredObject | None) -> None:
        self.value = value
        self.base = base

    def __repr__(self) -> str:
        return "<Assigned>"
