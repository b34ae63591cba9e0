"""Vault's JSON answers: their shapes, read into results or refused, and written by whoever answers.

Every member that the API description requires must be there with its type; members that it does not name are
ignored. A refusal (``Mismatch``) says which member was wrong and how, and never quotes it.
"""

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import msgspec

from django_workos_vault.backends.arguments import MAX_WRAPPED_BYTES
from django_workos_vault.backends.carried import Arguments
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


class Mismatch(Exception):
    """An answer is not what the API description says."""


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


@dataclass(frozen=True, slots=True)
class _Error:
    error: str


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
        return self.result(_decoded(body, self.wire), arguments)

    def write(self, result: Result) -> bytes:
        """Return the answer that says ``result``."""
        return msgspec.json.encode(self.answer(result))


def error_text(body: bytes) -> str | None:
    """Return what an error answer says, None where it is none."""
    try:
        error: str = _decoded(body, _Error).error
    except Mismatch:
        return None
    return error


def _decoded(body: bytes, wire: Any) -> Any:
    problem = "the answer is not JSON"
    with suppress(*_NO_JSON):
        try:
            return msgspec.json.decode(body, type=wire)
        except msgspec.ValidationError as error:
            msgspec.json.decode(body)  # which reads on to the end
            problem = _told(str(error))
    # Raised here, outside of the handlers: a UnicodeDecodeError carries the whole text.
    raise Mismatch(problem)


_NO_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


_PLACE = re.compile(r"(?s)(.*) - at `\$\.?(.*)`")
_KINDS: Mapping[str, str] = {
    "str": "a string",
    "bytes": "a string",
    "datetime": "a string",
    "bool": "true or false",
    "int": "an integer",
    "float": "a number",
    "object": "an object",
    "array": "a list",
    "null": "null",
}
_PROBLEMS = (
    (re.compile(r"Expected `int` [<>]="), "is not a count"),
    (re.compile(r"Expected `str.*` of length"), "has more or fewer characters than any id has"),
    (
        re.compile(r"Expected `datetime.*` with a timezone|Invalid RFC3339"),
        "is not an RFC 3339 date and time",
    ),
    (re.compile(r"Invalid base64"), "is not base64"),
)


def _told(problem: str) -> str:
    """Return msgspec's ``problem`` in our words. What we have none for is not repeated."""
    if match := _PLACE.fullmatch(problem):
        problem, where = match[1], match[2]
    else:
        where = ""
    member = where or "the answer"
    if match := re.fullmatch(r"Object missing required field `(\w+)`", problem):
        return f"{where}.{match[1]} is missing" if where else f"{match[1]} is missing"
    if match := re.fullmatch(r"(\w+) (holds a character that no id has|is not an RFC .*)", problem):
        return f"{where}.{problem}" if where else problem
    if match := re.fullmatch(r"Expected `([a-z]+)[^`]*`, got `(\w+)`", problem):
        wanted = _KINDS.get(match[1], "something else")
        if member.endswith("[...]"):
            return f"{member.removesuffix('[...]')} has a value that is not {wanted}"
        return f"{member} is {_KINDS.get(match[2], 'something else')}, not {wanted}"
    for pattern, told in _PROBLEMS:
        if pattern.match(problem):
            return f"{member} {told}"
    return f"{member} is not what it should be"


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
