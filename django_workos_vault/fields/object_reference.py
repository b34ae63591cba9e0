"""What the column of a ``VaultObjectField`` holds, as text, and what the objects that it names are called."""

import re
from dataclasses import dataclass, field, fields
from hashlib import sha256
from typing import Any

#: how the column names a kind of value: whether it is JSON, and whether it is split into parts
_KINDS = {"": (False, False), "json": (True, False), "parts": (False, True), "json-parts": (True, True)}
_KIND_NAMES = {kind: name for name, kind in _KINDS.items()}
#: ids and versions are UUIDs in the API description's examples; others must fit a URL and the column
_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z._~-]{0,79}")
_PROOF = re.compile(r"[0-9A-Za-z_-]{43}")
_NAME_END = re.compile(r"/[0-9a-f]{32}(/before-[0-9a-f]{16}|/part-[0-9a-f]{12}-[0-9]{4})?")


def is_id(text: object) -> bool:
    """Whether ``text`` can be an object's id, or a version's: 1 to 80 characters that no URL escapes."""
    return isinstance(text, str) and _ID.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class ObjectReference:
    """What the column holds: the object's id and version, and whether its value is JSON. Never the value.

    ``values()`` and annotations give it. As text it is ``id:version[:kind]:proof``; ``proof`` is the digest
    that ties it to its field, its row and its key context. ``split`` says that the object names the parts of
    a value too large for one. Where the column holds no reference, ``id`` is empty, and ``unreadable`` is
    what it holds. Equal ones name the same version of the same object.
    """

    id: str
    version: str
    structured: bool = False
    proof: str = field(default="", compare=False, repr=False)
    unreadable: str = field(default="", repr=False)
    split: bool = False

    @classmethod
    def parse(cls, stored: Any) -> "ObjectReference":
        """Return the reference in a column or fixture, an unreadable one for whatever else is there."""
        if isinstance(stored, str):
            object_id, _, rest = stored.partition(":")
            version, *more = rest.split(":", 3)
            kind = more.pop(0) if more and more[0] and more[0] in _KINDS else ""
            proven = not more or (len(more) == 1 and _PROOF.fullmatch(more[0]))
            if proven and is_id(object_id) and is_id(version):
                structured, split = _KINDS[kind]
                return cls(object_id, version, structured, "".join(more), split=split)
        return cls("", "", unreadable=stored if isinstance(stored, str) and stored else repr(stored))

    def __setstate__(self, state: list[Any]) -> None:
        """Take up what was pickled, also before there were proofs or parts: attributes are missing then."""
        former: list[Any] = ["", "", False, "", "", False]
        for attribute, value in zip(fields(self), [*state, *former[len(state) :]], strict=True):
            object.__setattr__(self, attribute.name, value)

    def __str__(self) -> str:
        parts = (self.id, self.version, _KIND_NAMES[self.structured, self.split], self.proof)
        return self.unreadable or ":".join(part for part in parts if part)


def name_of_copy(name: str, version: str) -> str:
    """Return the name under which the value of ``version`` of the object ``name`` is kept for a rollback."""
    return f"{name}/before-{sha256(version.encode()).hexdigest()[:16]}"


def name_of_part(name: str, generation: str, number: int) -> str:
    """Return the name of one part of the object ``name``; a value's parts are one generation (12 digits)."""
    return f"{name}/part-{generation}-{number:04}"


def name_of_whole(name: str) -> str:
    """Return the name of the object that a copy or a part belongs to; an object's own stays as it is."""
    whole, _, last = name.rpartition("/")
    return whole if last.startswith(("before-", "part-")) else name


def is_part_of(name: str, whole: str) -> bool:
    """Whether ``name`` is one that the object ``whole`` gives to a part."""
    return name.startswith(f"{whole}/part-") and "/" not in name.removeprefix(f"{whole}/")


def is_name_under(labels: tuple[str, ...], name: str, *, beside: bool = False) -> bool:
    """Whether ``name`` is one that a field with one of ``labels`` gives to an object.

    With ``beside``, what stands beside one counts too: what was kept for a rollback, and parts.
    """
    for label in labels:
        end = _NAME_END.fullmatch(name.removeprefix(label)) if name.startswith(f"{label}/") else None
        if end is not None and (beside or end[1] is None):
            return True
    return False
