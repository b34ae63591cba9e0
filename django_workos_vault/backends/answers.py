"""Vault's answers: the shape of each, read into a result or refused, and written by whoever answers.

Every member that the API description requires must be there with its type; members that it does not name are
ignored.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import msgspec

from django_workos_vault.backends.arguments import MAX_WRAPPED_BYTES
from django_workos_vault.backends.carried import Arguments
from django_workos_vault.backends.decoding import Mismatch, decoded
from django_workos_vault.backends.objects import (
    Checked,
    DeletedObject,
    Id,
    ObjectMetadata,
    ObjectSummary,
    ObjectVersion,
    ObjectWithoutValue,
    Page,
    VaultObject,
)
from django_workos_vault.datakey import DATA_KEY_BYTES, DataKey

Result = TypeVar("Result")


class ContextMismatch(Mismatch):
    """Vault used another key context than it was asked to."""


@dataclass(frozen=True, slots=True)
class _DecryptedKey(Checked):
    id: Id
    data_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class _CreatedKey(Checked):
    id: Id
    data_key: bytes = field(repr=False)
    encrypted_keys: bytes = field(repr=False)
    context: dict[str, str]


@dataclass(frozen=True, slots=True)
class _Deleted:
    success: bool
    name: str


@dataclass(frozen=True, slots=True)
class _Cursors(Checked):
    before: Id | None = None
    after: Id | None = None


@dataclass(frozen=True, slots=True)
class _Objects:
    data: tuple[ObjectSummary, ...]
    list_metadata: _Cursors


@dataclass(frozen=True, slots=True)
class _Versions:
    data: tuple[ObjectVersion, ...]
    list_metadata: _Cursors


@dataclass(frozen=True, slots=True, eq=False)
class Shape(Generic[Result]):
    """The form of one kind of answer.

    ``wire`` is the JSON object's own type, as the API description has it. ``result`` makes of it what the
    call with such arguments returns, or raises Mismatch; ``answer`` is the way back.
    """

    wire: Any
    result: Callable[[Any, Arguments], Result] = lambda wire, arguments: wire
    answer: Callable[[Result], Any] = lambda result: result

    def read(self, body: bytes, arguments: Arguments) -> Result:
        """Return what the answer ``body`` says. Raises Mismatch, which quotes nothing of it."""
        return self.result(decoded(body, self.wire), arguments)

    def write(self, result: Result) -> bytes:
        """Return the answer that says ``result``."""
        return msgspec.json.encode(self.answer(result))


def _decrypted(answer: _DecryptedKey, arguments: Arguments) -> DataKey:
    return _data_key(answer, bytes(arguments["wrapped"]), None)


def _created(answer: _CreatedKey, arguments: Arguments) -> DataKey:
    _check_context(answer.context, arguments["context"])
    if not 0 < len(answer.encrypted_keys) <= MAX_WRAPPED_BYTES:
        raise Mismatch(f"encrypted_keys has {len(answer.encrypted_keys)} bytes, not 1 to {MAX_WRAPPED_BYTES}")
    return _data_key(answer, answer.encrypted_keys, answer.context)


def _data_key(answer: _DecryptedKey | _CreatedKey, wrapped: bytes, context: dict[str, str] | None) -> DataKey:
    plaintext = bytearray(answer.data_key)
    if len(plaintext) != DATA_KEY_BYTES:
        raise Mismatch(f"data_key has {len(plaintext)} bytes, not {DATA_KEY_BYTES}")
    if not any(plaintext):
        raise Mismatch("data_key is all zeros")
    return DataKey(id=answer.id, plaintext=plaintext, wrapped=wrapped, context=context)


def _stored(answer: ObjectMetadata, arguments: Arguments) -> ObjectMetadata:
    _check_context(
        answer.context, arguments["key_context"], then=f". Object {answer.id} lies there: delete it"
    )
    return answer


def _check_context(context: Mapping[str, str], asked: Mapping[str, str], then: str = "") -> None:
    """Raise ContextMismatch, naming items and no values, when ``context`` is not the one ``asked`` for."""
    wrong = [
        f"item {name!r} is missing" if name not in context else f"item {name!r} has another value"
        for name, value in asked.items()
        if context.get(name) != value
    ]
    if len(context.keys() - asked.keys()):
        wrong.append(f"it has {len(context.keys() - asked.keys())} items that were not asked for")
    if wrong:
        raise ContextMismatch("; ".join(wrong) + then)


def _deleted(answer: _Deleted, arguments: Arguments) -> DeletedObject:
    if not answer.success:  # an answer of 200 that denies success is not an answer we know
        raise Mismatch("success is false")
    return DeletedObject(name=answer.name)


def _page(answer: _Objects, arguments: Arguments) -> Page[ObjectSummary]:
    return Page(answer.data, answer.list_metadata.before, answer.list_metadata.after)


CREATED_KEY: Shape[DataKey] = Shape(
    _CreatedKey,
    _created,
    lambda key: _CreatedKey(key.id, bytes(key.plaintext), key.wrapped, key.context or {}),
)
DECRYPTED_KEY: Shape[DataKey] = Shape(
    _DecryptedKey, _decrypted, lambda key: _DecryptedKey(key.id, bytes(key.plaintext))
)
STORED_OBJECT: Shape[ObjectMetadata] = Shape(ObjectMetadata, _stored)
OBJECT: Shape[VaultObject] = Shape(VaultObject)
OBJECT_WITHOUT_VALUE: Shape[ObjectWithoutValue] = Shape(ObjectWithoutValue)
DELETED: Shape[DeletedObject] = Shape(_Deleted, _deleted, lambda deleted: _Deleted(True, deleted.name))
#: its cursors are not used, as the call takes none
VERSIONS: Shape[tuple[ObjectVersion, ...]] = Shape(
    _Versions, lambda answer, arguments: answer.data, lambda versions: _Versions(versions, _Cursors())
)
OBJECTS: Shape[Page[ObjectSummary]] = Shape(
    _Objects, _page, lambda page: _Objects(page.items, _Cursors(page.before, page.after))
)
