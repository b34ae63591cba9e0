"""Vault's JSON answers, read into results or refused.

Every member the API description requires must be there with its type; members it does not name are
ignored. A refusal (``Mismatch``) says which member was wrong and how, and never quotes it.
"""

import json
from base64 import b64decode
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Never, TypeVar

from django_workos_vault.backends.base import MAX_WRAPPED_BYTES
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
from django_workos_vault.datakey import DATA_KEY_BYTES, DataKey

Result = TypeVar("Result")


#: UUIDs are 36 characters; the registry's columns take 200
MAX_ID_LENGTH = 200
MAX_COUNT = 2**63 - 1


class Mismatch(Exception):
    """An answer is not what the API description says."""


class ContextMismatch(Mismatch):
    """Vault used another key context than it was asked to."""


class Fields:
    """The members of one JSON object, each asked for by name and type; ``where`` names it in errors."""

    __slots__ = ("_members", "_where")

    def __init__(self, members: object, where: str = "") -> None:
        if not isinstance(members, dict):
            raise Mismatch(f"{where or 'the answer'} is {_kind(members)}, not an object")
        self._members: dict[str, Any] = members
        self._where = where

    @classmethod
    def parse(cls, body: bytes) -> "Fields":
        """Read a JSON text (RFC 8259): UTF-8, without the NaN that Python's reader would take."""
        try:
            members = json.loads(body.decode(), parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            members = None
        else:
            return cls(members)
        # Raised here, outside the handler: a JSONDecodeError carries the whole text.
        raise Mismatch("the answer is not JSON")

    def text(self, name: str) -> str:
        text = self._get(name, str)
        if not is_text(text):
            raise Mismatch(f"{self._path(name)} holds half a character (a surrogate)")
        return text

    def id(self, name: str) -> str:
        """Return an id: what goes into columns, paths and logs as it is."""
        text = self.text(name)
        if not 0 < len(text) <= MAX_ID_LENGTH:
            raise Mismatch(f"{self._path(name)} has {len(text)} characters, not 1 to {MAX_ID_LENGTH}")
        if not text.isprintable():
            raise Mismatch(f"{self._path(name)} holds a character that no id has")
        return text

    def id_or_none(self, name: str) -> str | None:
        return None if self._members.get(name) is None else self.id(name)

    def flag(self, name: str) -> bool:
        return self._get(name, bool)

    def count(self, name: str) -> int:
        number = self._get(name, int)
        if isinstance(number, bool) or not 0 <= number <= MAX_COUNT:
            raise Mismatch(f"{self._path(name)} is not a count")
        return number

    def moment(self, name: str) -> datetime:
        moment = None
        with suppress(ValueError, OverflowError):
            moment = datetime.fromisoformat(self._get(name, str))
            moment.astimezone(UTC)  # in the first and the last hours of time there is none
        if moment is None or moment.tzinfo is None:
            raise Mismatch(f"{self._path(name)} is not an RFC 3339 date and time")
        return moment

    def moment_or_none(self, name: str) -> datetime | None:
        return None if self._members.get(name) is None else self.moment(name)

    def data(self, name: str) -> bytes:
        """Return the bytes of a base64 member (RFC 4648, section 4)."""
        data = None
        with suppress(ValueError):
            data = b64decode(self._get(name, str), validate=True)
        if data is None:
            raise Mismatch(f"{self._path(name)} is not base64")
        return data

    def strings(self, name: str) -> dict[str, str]:
        strings = self._get(name, dict)
        if not all(isinstance(value, str) for value in strings.values()):
            raise Mismatch(f"{self._path(name)} has a value that is not a string")
        if not all(is_text(text) for item in strings.items() for text in item):
            raise Mismatch(f"{self._path(name)} holds half a character (a surrogate)")
        return strings

    def inner(self, name: str) -> "Fields":
        return Fields(self._get(name, dict), self._path(name))

    def each(self, name: str, read: Callable[["Fields"], Result]) -> tuple[Result, ...]:
        items = enumerate(self._get(name, list))
        return tuple(read(Fields(item, f"{self._path(name)}[{index}]")) for index, item in items)

    def _get(self, name: str, kind: type[Result]) -> Result:
        if name not in self._members:
            raise Mismatch(f"{self._path(name)} is missing")
        member = self._members[name]
        if not isinstance(member, kind):
            raise Mismatch(f"{self._path(name)} is {_kind(member)}, not {_KINDS[kind]}")
        return member

    def _path(self, name: str) -> str:
        return f"{self._where}.{name}" if self._where else name


def created_key(fields: Fields, asked: Mapping[str, str]) -> DataKey:
    """``CreateDataKeyResponse``: what create and rekey answer, when ``asked`` to use that key context."""
    context = _context(fields, asked)
    wrapped = fields.data("encrypted_keys")
    if not 0 < len(wrapped) <= MAX_WRAPPED_BYTES:
        raise Mismatch(f"encrypted_keys has {len(wrapped)} bytes, not 1 to {MAX_WRAPPED_BYTES}")
    return _data_key(fields, wrapped, context)


def decrypted_key(fields: Fields, wrapped: bytes) -> DataKey:
    """``DecryptResponse``, for the blob that was sent."""
    return _data_key(fields, wrapped, None)


def _data_key(fields: Fields, wrapped: bytes, context: dict[str, str] | None) -> DataKey:
    key_id = fields.id("id")
    plaintext = bytearray(fields.data("data_key"))
    if len(plaintext) != DATA_KEY_BYTES:
        raise Mismatch(f"data_key has {len(plaintext)} bytes, not {DATA_KEY_BYTES}")
    if not any(plaintext):
        raise Mismatch("data_key is all zeros")
    return DataKey(id=key_id, plaintext=plaintext, wrapped=wrapped, context=context)


def _context(fields: Fields, asked: Mapping[str, str], then: str = "") -> dict[str, str]:
    """Return the answer's context if it is ``asked``. Raises ContextMismatch, naming items and no values."""
    context = fields.strings("context")
    wrong = [
        f"item {name!r} is missing" if name not in context else f"item {name!r} has another value"
        for name, value in asked.items()
        if context.get(name) != value
    ]
    if len(context.keys() - asked.keys()):
        wrong.append(f"it has {len(context.keys() - asked.keys())} items that were not asked for")
    if wrong:
        raise ContextMismatch("; ".join(wrong) + then)
    return context


def created_object(fields: Fields, asked: Mapping[str, str]) -> ObjectMetadata:
    """``ObjectMetadata`` of an object made under the key context ``asked``."""
    created = metadata(fields)
    _context(fields, asked, then=f". Object {created.id} lies there: delete it")
    return created


def metadata(fields: Fields) -> ObjectMetadata:
    """``ObjectMetadata``."""
    actor = fields.inner("updated_by")
    return ObjectMetadata(
        id=fields.id("id"),
        environment_id=fields.id("environment_id"),
        key_id=fields.id("key_id"),
        context=fields.strings("context"),
        updated_at=fields.moment("updated_at"),
        updated_by=Actor(id=actor.id("id"), name=actor.text("name")),
        version_id=fields.id_or_none("version_id"),
    )


def object_with_value(fields: Fields) -> VaultObject:
    """``Object``."""
    found = object_without_value(fields)
    return VaultObject(id=found.id, name=found.name, value=fields.text("value"), metadata=found.metadata)


def object_without_value(fields: Fields) -> ObjectWithoutValue:
    """``ObjectWithoutValue``."""
    return ObjectWithoutValue(
        id=fields.id("id"), name=fields.text("name"), metadata=metadata(fields.inner("metadata"))
    )


def deleted(fields: Fields) -> DeletedObject:
    """``DeleteObjectResponse``: an answer of 200 that denies success is not an answer we know."""
    if not fields.flag("success"):
        raise Mismatch("success is false")
    return DeletedObject(name=fields.text("name"))


def page(fields: Fields) -> Page[ObjectSummary]:
    """``ObjectListResponse``."""
    cursors = fields.inner("list_metadata")
    return Page(
        items=fields.each("data", _summary),
        before=cursors.id_or_none("before"),
        after=cursors.id_or_none("after"),
    )


def versions(fields: Fields) -> tuple[ObjectVersion, ...]:
    """``VersionListResponse``; its cursors are not used, as the call takes none."""
    fields.inner("list_metadata")
    return fields.each("data", _version)


def _summary(fields: Fields) -> ObjectSummary:
    return ObjectSummary(
        id=fields.id("id"), name=fields.text("name"), updated_at=fields.moment_or_none("updated_at")
    )


def _version(fields: Fields) -> ObjectVersion:
    return ObjectVersion(
        id=fields.id("id"),
        created_at=fields.moment("created_at"),
        current_version=fields.flag("current_version"),
        size=fields.count("size"),
        etag=fields.text("etag"),
    )


def is_text(text: str) -> bool:
    """Whether ``text`` has a UTF-8 form: JSON's escapes, and Python's strings, allow half a character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refuse_constant(name: str) -> Never:
    raise ValueError(name)


_KINDS: Mapping[type, str] = {
    str: "a string",
    bool: "true or false",
    int: "an integer",
    float: "a number",
    dict: "an object",
    list: "a list",
    type(None): "null",
}


def _kind(value: object) -> str:
    return _KINDS.get(type(value), "something else")
