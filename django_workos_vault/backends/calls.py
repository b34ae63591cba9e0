"""The eleven calls of the Vault API, described once: what the sync and the async client both send.

Limits of the API description are checked here, before anything is sent, with a VaultRequestError (or, for a
key context, an InvalidVaultConfiguration).
"""

import json
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from django_workos_vault.backends import answers
from django_workos_vault.backends.base import MAX_NAME_LENGTH, MAX_WRAPPED_BYTES, Order, validate_key_context
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
from django_workos_vault.exceptions import VaultRequestError

Result = TypeVar("Result")

MAX_KEY_ANSWER = 64 * 1024
MAX_OBJECT_ANSWER = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Call(Generic[Result]):
    """One request. Its repr shows ``purpose`` and method alone: the rest may be personal or secret.

    ``repeatable`` says that doing it twice does no harm, so it may be sent again when nobody can tell
    whether it was carried out. ``quotable`` says that Vault's error text cannot echo a value or a name.
    """

    purpose: str
    method: str
    path: str = field(repr=False)
    read: Callable[[answers.Fields], Result] = field(repr=False)
    body: Mapping[str, object] | None = field(default=None, repr=False)
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    repeatable: bool = field(default=True, repr=False)
    quotable: bool = field(default=True, repr=False)
    max_answer: int = field(default=MAX_OBJECT_ANSWER, repr=False)

    @property
    def content(self) -> bytes | None:
        return None if self.body is None else json.dumps(self.body).encode()


@dataclass(frozen=True, slots=True)
class Carried:
    """A secret on its way into a request: what frames hold instead of the text, as its repr hides it."""

    text: Any = field(repr=False)


def create_data_key(context: Mapping[str, str]) -> Call[DataKey]:
    asked = validate_key_context(context)
    return Call(
        purpose="create a data key",
        method="POST",
        path="/vault/v1/keys/data-key",
        body={"context": asked},
        read=partial(answers.created_key, asked=asked),
        max_answer=MAX_KEY_ANSWER,
    )


def decrypt_data_key(wrapped: bytes) -> Call[DataKey]:
    return Call(
        purpose="decrypt a data key",
        method="POST",
        path="/vault/v1/keys/decrypt",
        body={"keys": _wrapped(wrapped)},
        read=partial(answers.decrypted_key, wrapped=bytes(wrapped)),
        max_answer=MAX_KEY_ANSWER,
    )


def rekey_data_key(wrapped: bytes, context: Mapping[str, str]) -> Call[DataKey]:
    asked = validate_key_context(context)
    return Call(
        purpose="rekey a data key",
        method="POST",
        path="/vault/v1/keys/rekey",
        body={"context": asked, "encrypted_keys": _wrapped(wrapped)},
        read=partial(answers.created_key, asked=asked),
        max_answer=MAX_KEY_ANSWER,
    )


def create_object(name: str, value: Carried, key_context: Mapping[str, str]) -> Call[ObjectMetadata]:
    asked = validate_key_context(key_context)
    return Call(
        purpose="create an object",
        method="POST",
        path="/vault/v1/kv",
        body={"name": _name(name), "value": _value(value), "key_context": asked},
        read=partial(answers.created_object, asked=asked),
        repeatable=False,
        quotable=False,
    )


def read_object(object_id: str) -> Call[VaultObject]:
    return Call(
        purpose="read an object",
        method="GET",
        path=f"/vault/v1/kv/{_segment(object_id, 'id')}",
        read=answers.object_with_value,
    )


def read_object_by_name(name: str) -> Call[VaultObject]:
    return Call(
        purpose="read an object by name",
        method="GET",
        path=f"/vault/v1/kv/name/{_segment(_name(name), 'name')}",
        read=answers.object_with_value,
        quotable=False,
    )


def update_object(object_id: str, value: Carried, version_check: str | None) -> Call[ObjectWithoutValue]:
    body = {"value": _value(value)}
    if version_check is not None:
        body["version_check"] = _text(version_check, "version_check")
    return Call(
        purpose="update an object",
        method="PUT",
        path=f"/vault/v1/kv/{_segment(object_id, 'id')}",
        body=body,
        read=answers.object_without_value,
        repeatable=False,
        quotable=False,
    )


def delete_object(object_id: str, version_check: str | None) -> Call[DeletedObject]:
    return Call(
        purpose="delete an object",
        method="DELETE",
        path=f"/vault/v1/kv/{_segment(object_id, 'id')}",
        query={} if version_check is None else {"version_check": _text(version_check, "version_check")},
        read=answers.deleted,
        repeatable=False,
    )


def describe_object(object_id: str) -> Call[ObjectWithoutValue]:
    return Call(
        purpose="describe an object",
        method="GET",
        path=f"/vault/v1/kv/{_segment(object_id, 'id')}/metadata",
        read=answers.object_without_value,
    )


def list_object_versions(object_id: str) -> Call[tuple[ObjectVersion, ...]]:
    return Call(
        purpose="list an object's versions",
        method="GET",
        path=f"/vault/v1/kv/{_segment(object_id, 'id')}/versions",
        read=answers.versions,
    )


def list_objects(
    limit: int | None,
    before: str | None,
    after: str | None,
    order: Order | None,
    search: str | None,
    updated_after: datetime | None,
) -> Call[Page[ObjectSummary]]:
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
        raise VaultRequestError("An object list's limit is an integer, 1 or more.")
    if order not in (None, "asc", "desc"):
        raise VaultRequestError("An object list's order is 'asc' or 'desc'.")
    if updated_after is not None and updated_after.tzinfo is None:
        raise VaultRequestError("updated_after needs a time zone: give an aware datetime.")
    query = {
        "limit": None if limit is None else str(limit),
        "before": before,
        "after": after,
        "order": order,
        "search": search,
        "updatedAfter": updated_after and updated_after.astimezone(UTC).isoformat().replace("+00:00", "Z"),
    }
    return Call(
        purpose="list objects",
        method="GET",
        path="/vault/v1/kv",
        query={name: _text(value, name) for name, value in query.items() if value is not None},
        read=answers.page,
        quotable=False,
    )


def _wrapped(wrapped: bytes) -> str:
    if not 0 < len(wrapped) <= MAX_WRAPPED_BYTES:
        raise VaultRequestError(
            f"A wrapped data key has 1 to {MAX_WRAPPED_BYTES} bytes, this one {len(wrapped)}."
        )
    return b64encode(wrapped).decode()


def _name(name: str) -> str:
    if not 0 < len(_text(name, "name")) <= MAX_NAME_LENGTH:
        raise VaultRequestError(
            f"An object's name has 1 to {MAX_NAME_LENGTH} characters, this one {len(name)}."
        )
    # They mean "here" and "one up" in a path (RFC 3986, section 5.2.4), so no request could read them back.
    if name in (".", ".."):
        raise VaultRequestError("An object cannot be called '.' or '..': no URL can name it.")
    return name


def _value(value: Carried) -> str:
    return _text(value.text, "value")


def _segment(text: str, what: str) -> str:
    """Return ``text`` escaped as one segment of a path (RFC 3986, section 3.3)."""
    if _text(text, what) in ("", ".", ".."):
        raise VaultRequestError(f"An object's {what} is neither empty nor '.' or '..'.")
    return quote(text, safe="")


def _text(text: object, what: str) -> str:
    if not isinstance(text, str):
        raise VaultRequestError(f"An object's {what} is a string, not {type(text).__name__}.")
    if not answers.is_text(text):
        raise VaultRequestError(f"An object's {what} holds half a character (a surrogate), which is no text.")
    return text
