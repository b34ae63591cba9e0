"""How a value looks to somebody who may not read it. Pure functions, named by a field's ``mask``.

A mask reveals no length. What it shows of a value is at most half of it: a value too short for that is
masked whole.
"""

from collections.abc import Callable
from typing import Any

__all__ = ["email", "last4", "masked"]

#: The whole mask, the same for every value.
FULL = "••••••••"
_HIDDEN = "••••"


def last4(value: Any) -> str:
    """Return ``"•••• 6789"`` for text or a number of at least eight characters, the whole mask otherwise."""
    text = str(value) if isinstance(value, str | int) else ""
    return f"{_HIDDEN} {text[-4:]}" if len(text) >= 8 else FULL


def email(value: Any) -> str:
    """Return ``"a••••@example.com"`` for an address, without the letter when it is the only one."""
    name, at, domain = str(value).rpartition("@")
    if not at or not domain:
        return FULL
    return f"{name[:1] if len(name) > 1 else ''}{_HIDDEN}@{domain}"


_PARTIAL: dict[str, Callable[[Any], str]] = {"last4": last4, "email": email}

#: Every name that a field's ``mask`` may have.
NAMES = ("full", *_PARTIAL)


def masked(name: str, read: Callable[[], Any]) -> str:
    """Return the mask ``name`` of the value that ``read`` returns. ``"full"`` does not read it.

    Raises KeyError for an unknown name, and whatever ``read`` raises.
    """
    return FULL if name == "full" else _PARTIAL[name](read())
