"""Vault's JSON answers, read into results or refused.

Every member the API description requires must be there with its type; members it does not name are
ignored. A refusal (``Mismatch``) says which member was wrong and how, and never quotes it.
"""

import json
from base64 import b64decode
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, TypeVar

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
from django_workos_vault.keys import DATA_KEY_BYTES, DataKey

Result = TypeVar("Result")


class Mismatch(Exception):
    """An answer is not what the API description says."""


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
        """Read a JSON text (RFC 8259)."""
        try:
            members = json.loads(body)
        except (ValueError, RecursionError):
            members = None
        else:
            return cls(members)
        # Raised here, outside the handler: a JSONDecodeError carries the whole text.
        raise Mismatch("the answer is not JSON")

    def text(self, name: str) -> str:
        return self._get(name, str)

    def text_or_none(self, name: str) -> str | None:
        return None if self._members.get(name) is None else self._get(name, str)

    def flag(self, name: str) -> bool:
        return self._get(name, bool)

    def count(self, name: str) -> int:
        number = self._get(name, int)
        if isinstance(number, bool) or number < 0:
            raise Mismatch(f"{self._path(name)} is not a count")
        return number

    def moment(self, name: str) -> datetime:
        moment = None
        with suppress(ValueError):
            moment = datetime.fromisoformat(self._get(name, str))
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


def created_key(fields: Fields) -> DataKey:
    """``CreateDataKeyResponse``: what create and rekey answer."""
    wrapped = fields.data("encrypted_keys")
    if not 0 < len(wrapped) <= MAX_WRAPPED_BYTES:
        raise Mismatch(f"encrypted_keys has {len(wrapped)} bytes, not 1 to {MAX_WRAPPED_BYTES}")
    return _data_key(fields, wrapped, fields.strings("context"))


def decrypted_key(fields: Fields, wrapped: bytes) -> DataKey:
    """``DecryptResponse``, for the blob that was sent."""
    return _data_key(fields, wrapped, None)


def _data_key(fields: Fields, wrapped: bytes, context: dict[str, str] | None) -> DataKey:
    plaintext = bytearray(fields.data("data_key"))
    if len(plaintext) != DATA_KEY_BYTES:
        raise Mismatch(f"data_key has {len(plaintext)} bytes, not {DATA_KEY_BYTES}")
    return DataKey(id=fields.text("id"), plaintext=plaintext, wrapped=wrapped, context=context)


def metadata(fields: Fields) -> ObjectMetadata:
    """``ObjectMetadata``."""
    actor = fields.inner("updated_by")
    return ObjectMetadata(
        id=fields.text("id"),
        environment_id=fields.text("environment_id"),
        key_id=fields.text("key_id"),
        context=fields.strings("context"),
        updated_at=fields.moment("updated_at"),
        updated_by=Actor(id=actor.text("id"), name=actor.text("name")),
        version_id=fields.text_or_none("version_id"),
    )


def object_with_value(fields: Fields) -> VaultObject:
    """``Object``."""
    return VaultObject(
        id=fields.text("id"),
        name=fields.text("name"),
        value=fields.text("value"),
        metadata=metadata(fields.inner("metadata")),
    )


def object_without_value(fields: Fields) -> ObjectWithoutValue:
    """``ObjectWithoutValue``."""
    return ObjectWithoutValue(
        id=fields.text("id"), name=fields.text("name"), metadata=metadata(fields.inner("metadata"))
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
        before=cursors.text_or_none("before"),
        after=cursors.text_or_none("after"),
    )


def versions(fields: Fields) -> tuple[ObjectVersion, ...]:
    """``VersionListResponse``; its cursors are not used, as the call takes none."""
    fields.inner("list_metadata")
    return fields.each("data", _version)


def _summary(fields: Fields) -> ObjectSummary:
    return ObjectSummary(
        id=fields.text("id"), name=fields.text("name"), updated_at=fields.moment_or_none("updated_at")
    )


def _version(fields: Fields) -> ObjectVersion:
    return ObjectVersion(
        id=fields.text("id"),
        created_at=fields.moment("created_at"),
        current_version=fields.flag("current_version"),
        size=fields.count("size"),
        etag=fields.text("etag"),
    )


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
