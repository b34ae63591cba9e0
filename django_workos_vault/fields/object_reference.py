"""What the column of a ``VaultObjectField`` holds, as text, and what the objects that it names are called."""

import re
from dataclasses import dataclass, field, fields
from hashlib import sha256
from typing import Any

_STRUCTURED = "json"
#: ids and versions are UUIDs in the API description's examples; others must fit a URL and the column
_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z._~-]{0,79}")
_PROOF = re.compile(r"[0-9A-Za-z_-]{43}")
_NAME_END = re.compile(r"/[0-9a-f]{32}(/before-[0-9a-f]{16})?")


def is_id(text: object) -> bool:
    """Whether ``text`` can be an object's id, or a version's: 1 to 80 characters that no URL escapes."""
    return isinstance(text, str) and _ID.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class ObjectReference:
    """What the column holds: the object's id and version, and whether its value is JSON. Never the value.

    ``values()`` and annotations give it. As text it is ``id:version[:json]:proof``; ``proof`` is the digest
    that ties it to its field, its row and its key context. Where the column holds no reference, ``id`` is
    empty, and ``unreadable`` is what it holds. Equal ones name the same version of the same object.
    """

    id: str
    version: str
    structured: bool = False
    proof: str = field(default="", compare=False, repr=False)
    unreadable: str = field(default="", repr=False)

    @classmethod
    def parse(cls, stored: Any) -> "ObjectReference":
        """Return the reference in a column or fixture, an unreadable one for whatever else is there."""
        if isinstance(stored, str):
            object_id, _, rest = stored.partition(":")
            version, *more = rest.split(":", 3)
            structured = more[:1] == [_STRUCTURED]
            proofs = more[1:] if structured else more
            proven = not proofs or (len(proofs) == 1 and _PROOF.fullmatch(proofs[0]))
            if proven and is_id(object_id) and is_id(version):
                return cls(object_id, version, structured, *proofs)
        return cls("", "", unreadable=stored if isinstance(stored, str) and stored else repr(stored))

    def __setstate__(self, state: list[Any]) -> None:
        """Take up what was pickled, also before there were proofs: two attributes are missing then."""
        for attribute, value in zip(fields(self), [*state, "", ""], strict=False):
            object.__setattr__(self, attribute.name, value)

    def __str__(self) -> str:
        parts = (self.id, self.version, _STRUCTURED if self.structured else "", self.proof)
        return self.unreadable or ":".join(part for part in parts if part)


def name_of_copy(name: str, version: str) -> str:
    """Return the name under which the value of ``version`` of the object ``name`` is kept for a rollback."""
    return f"{name}/before-{sha256(version.encode()).hexdigest()[:16]}"


def is_name_under(labels: tuple[str, ...], name: str, *, copies: bool = False) -> bool:
    """Whether ``name`` is one that a field with one of ``labels`` gives to an object (or to a kept copy)."""
    for label in labels:
        end = _NAME_END.fullmatch(name.removeprefix(label)) if name.startswith(f"{label}/") else None
        if end is not None and (copies or end[1] is None):
            return True
    return False
