"""What an instance holds of a value that lives in Vault: a reference, until somebody reads the attribute."""

import asyncio
import json
import os
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from asgiref.sync import sync_to_async
from django.db.models import Model
from django.db.models.query_utils import DeferredAttribute

from django_workos_vault.backends.base import VaultBackend
from django_workos_vault.backends.objects import VaultObject
from django_workos_vault.context import KeyContext
from django_workos_vault.exceptions import (
    DecryptionForbidden,
    EnvelopeError,
    InvalidVaultConfiguration,
    UntrustedReference,
    VaultError,
    VaultNotFound,
    WouldBlockEventLoop,
)
from django_workos_vault.fields.cell import Withheld
from django_workos_vault.fields.django_internals.frames import caller_moves_values
from django_workos_vault.fields.object_proof import check_answer, check_proof, row_as_loaded
from django_workos_vault.fields.object_reference import ObjectReference, name_of_copy
from django_workos_vault.fields.vault_field import VaultField
from django_workos_vault.forbidding import check_opening_allowed

_UNREAD: Any = object()


def encode(value: Any) -> tuple[str, bool]:
    """Return what to store for ``value``, and whether it is JSON: a str is stored as it is.

    Raises TypeError or ValueError, without quoting the value, for what JSON cannot hold.
    """
    if isinstance(value, str):
        return str(value), False
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False), True
    except (TypeError, ValueError, RecursionError) as exc:
        kind: type[Exception] = TypeError if isinstance(exc, TypeError) else ValueError
    raise kind("A Vault object holds a str, or what JSON can hold: dict, list, number, bool.")


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

    field: VaultField

    def __init__(
        self, reference: ObjectReference, field: VaultField, row: tuple[Any, ...] | None = None
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
                instance = row_as_loaded(self.field, self.row, instance)
            self._context = self.field.context_for(instance)
        return self._context

    def prove(self, instance: Model | None = None) -> KeyContext:
        """Return the row's key context, once the reference is proven to be this row's.

        Raises UntrustedReference when it is not, VaultError when the key of the proofs cannot be had.
        """
        context = self.place(instance)
        if not self._proven:
            self.is_bound = check_proof(self.field, self.reference, self.row, context)
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
            _check_may_wait(self.field, self._proven or (placed and self.field.vault.proves_at_once))
            context = self.prove(instance)
            _check_may_wait(self.field, backend.answers_at_once)
            try:
                found = backend.read_object(self.reference.id)
                check_answer(self.field, self.reference.id, found, context)
                if found.metadata.version_id != self.reference.version:
                    found = self._kept(backend, found)
            except VaultNotFound:
                raise self._gone() from None
            self.take(found)
        return self._value

    async def aopen(self, instance: Model | None = None) -> Any:
        """:meth:`open` for async code."""
        if not self.is_read:
            backend = self._backend()
            context = await self.aprove(instance)
            try:
                found = await backend.aread_object(self.reference.id)
                check_answer(self.field, self.reference.id, found, context)
                if found.metadata.version_id != self.reference.version:
                    found = await self._akept(backend, found)
            except VaultNotFound:
                raise self._gone() from None
            self.take(found)
        return self._value

    def remember(self, value: Any, encoded: str) -> None:
        """Take ``value``, stored as ``encoded``, for what is in Vault."""
        self._value, self._encoded = value, encoded

    def holds(self, value: Any) -> bool:
        """Whether ``value`` is what was read, or equal to it and of the same type."""
        if not self.is_read:
            return False
        try:
            return encode(value) == (self._encoded, self.reference.structured)
        except (TypeError, ValueError):
            return False

    def has_changed(self) -> bool:
        """Whether the value was changed in place since it was read, like a list appended to."""
        return self.is_read and self.reference.structured and not self.holds(self._value)

    def _backend(self) -> VaultBackend:
        check_opening_allowed(self.field.vault_alias)
        return self.field.vault.backend

    def _kept(self, backend: VaultBackend, found: VaultObject) -> VaultObject:
        # The object is ahead of the row. While a transaction is under way, and after one was rolled back, the
        # row's own value is kept beside it; otherwise the current value is the only one there is.
        try:
            return self._checked_copy(found, backend.read_object_by_name(self._name_of_copy(found)))
        except VaultNotFound:
            self.seen = found.metadata.version_id or self.seen
            return found

    async def _akept(self, backend: VaultBackend, found: VaultObject) -> VaultObject:
        try:
            return self._checked_copy(found, await backend.aread_object_by_name(self._name_of_copy(found)))
        except VaultNotFound:
            self.seen = found.metadata.version_id or self.seen
            return found

    def _name_of_copy(self, found: VaultObject) -> str:
        return name_of_copy(found.name, self.reference.version)

    def _checked_copy(self, found: VaultObject, kept: VaultObject) -> VaultObject:
        if kept.name != self._name_of_copy(found) or kept.metadata.context != found.metadata.context:
            raise UntrustedReference(f"What was kept of {self.field} for a rollback has another key context.")
        return kept

    def take(self, found: VaultObject) -> None:
        """Take the value of ``found``, proven to be this row's. Raises VaultError when it is no JSON."""
        if not self.reference.structured:
            self.remember(found.value, found.value)
            return
        value = None
        try:
            value = json.loads(found.value)
            encoded = encode(value)[0]  # which also refuses what Python reads beyond JSON: NaN, Infinity
        except (TypeError, ValueError, RecursionError):
            problem = VaultError(f"The object of {self.field} holds no JSON: something else wrote it.")
        else:
            self.remember(value, encoded)
            return
        del value
        raise problem  # outside the handler: a JSONDecodeError carries the whole text

    def _gone(self) -> VaultNotFound:
        return VaultNotFound(
            f"The object {self.reference.id} of {self.field} is gone from Vault: it was replaced or deleted "
            "since this row was loaded (refresh_from_db() tells), or something else deleted it (vault_check "
            "--objects lists such rows)."
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


class ObjectAttribute(DeferredAttribute):
    """The attribute of a :class:`VaultObjectField`: fetches on reading, keeps the reference otherwise."""

    field: VaultField

    def __get__(self, instance: Model | None, owner: Any = None) -> Any:
        if instance is None:
            return self
        attname = self.field.attname
        if attname not in instance.__dict__:
            super().__get__(instance, owner)  # loads a deferred field into __dict__
        held = instance.__dict__[attname]
        if isinstance(held, Assigned):
            return held.value
        if held is None or (caller_moves_values() and not held.has_changed()):
            return held
        return held.open(instance)

    def __set__(self, instance: Model, value: Any) -> None:
        attname = self.field.attname
        held = instance.__dict__.get(attname)
        if isinstance(value, ObjectReference | StoredObject):
            if held is not None and not caller_moves_values():
                raise TypeError(f"{self.field} takes a value, not the reference to one: read it first.")
            stored = value if isinstance(value, StoredObject) else StoredObject(value, self.field)
            instance.__dict__[attname] = stored
            return
        base = held.base if isinstance(held, Assigned) else held
        if base is not None and base.holds(value):
            instance.__dict__[attname] = base  # what is there already makes no new version
        elif value is None and base is None:
            instance.__dict__[attname] = None
        else:
            instance.__dict__[attname] = Assigned(value, base)


async def aload_objects(instances: Iterable[Model], *names: str) -> None:
    """Fetch the values of Vault objects that ``instances`` refer to, before they are read in an event loop.

    ``names`` are field names, all when none is given. At most 8 requests are under way at a time. A value
    that cannot be had is passed over: reading it raises the reason.
    """
    gate = asyncio.Semaphore(8)

    async def fetch(stored: StoredObject, instance: Model) -> None:
        async with gate:
            with suppress(*_CANNOT_BE_HAD):
                await stored.aopen(instance)

    wanted = [
        (held, instance)
        for instance in instances
        for attname, held in instance.__dict__.items()
        if isinstance(held, StoredObject) and not held.is_read and (not names or attname in names)
    ]
    await asyncio.gather(*(fetch(stored, instance) for stored, instance in wanted))


_CANNOT_BE_HAD = (DecryptionForbidden, EnvelopeError, InvalidVaultConfiguration, VaultError)


def _check_may_wait(field: VaultField, at_once: bool) -> None:
    if at_once or os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE"):
        return
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise WouldBlockEventLoop(
        f"Reading {field} asks Vault for the value, and waiting for it here would block the event loop. "
        "Before reading: await aload_objects(instances), from django_workos_vault.fields."
    )
