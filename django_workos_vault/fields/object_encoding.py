"""A value as the text that Vault keeps: a str as it is, anything else that JSON can hold as JSON."""

import json
from dataclasses import dataclass, field
from typing import Any

from django_workos_vault.exceptions import VaultError

#: The API description names no maximum, so this is ours: what goes in one request and comes back in one, well
#: inside the 16 MiB that the client takes. A larger value is kept in parts of this size.
MAX_OBJECT_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Encoded:
    """What to store for a value; ``structured`` says that it is JSON."""

    text: str = field(repr=False)
    structured: bool

    @property
    def size(self) -> int:
        """The bytes of its UTF-8. Raises UnicodeEncodeError for half a character."""
        return len(self.text) if self.text.isascii() else len(self.text.encode())

    @property
    def split(self) -> bool:
        """Whether it is more than one object holds."""
        return self.size > MAX_OBJECT_BYTES


def encode(value: Any) -> Encoded:
    """Return what to store for ``value``.

    Raises TypeError or ValueError, without quoting the value, for what JSON cannot hold.
    """
    if isinstance(value, str):
        return Encoded(str(value), False)
    try:
        return Encoded(json.dumps(value, ensure_ascii=False, allow_nan=False), True)
    except (TypeError, ValueError, RecursionError) as exc:
        kind: type[Exception] = TypeError if isinstance(exc, TypeError) else ValueError
    raise kind("A Vault object holds a str, or what JSON can hold: dict, list, number, bool.")


def decode(text: str, structured: bool, owner: object) -> tuple[Any, Encoded]:
    """Return the value that ``owner`` stored as ``text``, and what :func:`encode` makes of it.

    Raises VaultError when it is no JSON and should be.
    """
    if not structured:
        return text, Encoded(text, False)
    value = None
    try:
        value = json.loads(text)
        return value, encode(value)  # which also refuses what Python reads beyond JSON: NaN, Infinity
    except (TypeError, ValueError, RecursionError):
        problem = VaultError(f"The object of {owner} holds no JSON: something else wrote it.")
    del text, value
    raise problem  # outside the handler: a JSONDecodeError carries the whole text
