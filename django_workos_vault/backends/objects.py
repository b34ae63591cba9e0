"""What the object calls return: frozen values, named as in the API description, with no secret in a repr.

An ``etag`` is a hash of the value (``ObjectVersion.etag``): it would give a short value away, so it stays
out of the repr as the value itself does.
"""

from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Annotated, Generic, TypeVar

from msgspec import Meta

Item = TypeVar("Item")

#: UUIDs are 36 characters; the registry's columns take 200
MAX_ID_LENGTH = 200

Id = Annotated[str, Meta(min_length=1, max_length=MAX_ID_LENGTH)]
Moment = Annotated[datetime, Meta(tz=True)]
Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]


@dataclass(frozen=True, slots=True)
class Checked:
    """Something with ids that go into columns, paths and logs, and with moments that have a UTC form."""

    def __post_init__(self) -> None:
        for member in fields(self):
            value = getattr(self, member.name)
            if member.type in _IDS and value is not None and not value.isprintable():
                raise ValueError(f"{member.name} holds a character that no id has")
            if isinstance(value, datetime):
                try:
                    value.astimezone(UTC)  # in the first and the last hours of time there is none
                except OverflowError:
                    raise ValueError(f"{member.name} is not an RFC 3339 date and time") from None


_IDS = (Id, Id | None)


@dataclass(frozen=True, slots=True)
class Actor(Checked):
    """The user or API key that did something."""

    id: Id
    name: str


@dataclass(frozen=True, slots=True)
class ObjectMetadata(Checked):
    """An object without its name and value. ``version_id`` is None where Vault does not tell it."""

    id: Id
    environment_id: Id
    key_id: Id
    context: dict[str, str]
    updated_at: Moment
    updated_by: Actor
    version_id: Id | None = None


@dataclass(frozen=True, slots=True)
class ObjectWithoutValue(Checked):
    """An object as ``describe_object`` and ``update_object`` return it."""

    id: Id
    name: str
    metadata: ObjectMetadata


@dataclass(frozen=True, slots=True)
class VaultObject(Checked):
    """An object with its decrypted value."""

    id: Id
    name: str
    value: str = field(repr=False)
    metadata: ObjectMetadata


@dataclass(frozen=True, slots=True)
class ObjectSummary(Checked):
    """One line of a list. ``updated_at`` is None where Vault does not tell it."""

    id: Id
    name: str
    updated_at: Moment | None = None


@dataclass(frozen=True, slots=True)
class ObjectVersion(Checked):
    """One version of an object; ``size`` is in bytes."""

    id: Id
    created_at: Moment
    current_version: bool
    size: Count
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
