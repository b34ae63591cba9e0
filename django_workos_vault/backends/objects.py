"""What the object calls return: frozen values, named as in the API description, with no secret in a repr.

An ``etag`` is a hash of the value (``ObjectVersion.etag``): it would give a short value away, so it stays
out of the repr as the value itself does.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Actor:
    """The user or API key that did something."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class ObjectMetadata:
    """An object without its name and value. ``version_id`` is None where Vault does not tell it."""

    id: str
    environment_id: str
    key_id: str
    context: dict[str, str]
    updated_at: datetime
    updated_by: Actor
    version_id: str | None = None


@dataclass(frozen=True, slots=True)
class ObjectWithoutValue:
    """An object as ``describe_object`` and ``update_object`` return it."""

    id: str
    name: str
    metadata: ObjectMetadata


@dataclass(frozen=True, slots=True)
class VaultObject:
    """An object with its decrypted value."""

    id: str
    name: str
    value: str = field(repr=False)
    metadata: ObjectMetadata


@dataclass(frozen=True, slots=True)
class ObjectSummary:
    """One line of a list. ``updated_at`` is None where Vault does not tell it."""

    id: str
    name: str
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ObjectVersion:
    """One version of an object; ``size`` is in bytes."""

    id: str
    created_at: datetime
    current_version: bool
    size: int
    etag: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class DeletedObject:
    """What ``delete_object`` returns: the name is free again."""

    name: str


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """One page of a list, with the cursors of its neighbours (None at an end)."""

    items: tuple[Item, ...]
    before: str | None = None
    after: str | None = None
