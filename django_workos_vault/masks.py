"""How a value looks to somebody who may not read it: named by a field's ``mask``, or a function of one's own.

What a mask shows of a value is at most half of its characters, whatever its length: a value too short for
that is masked whole. How long a mask is depends on what it shows, never on what it hides.
"""

import datetime
import json
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from copy import deepcopy
from functools import cache
from typing import Any

from django.utils import timezone
from django.utils.module_loading import import_string

__all__ = ["card", "email", "first_last", "keys", "last4", "masked", "phone", "problem", "year"]

logger = logging.getLogger(__name__)

#: The whole mask, the same for every value.
FULL = "••••••••"
_HIDDEN = "••••"
_KEYS_SHOWN, _LENGTH_SHOWN = 20, 200
#: What a function of one's own may count the hidden characters with.
_FILLERS = re.compile(r"[•●∙·○◦■□▪█▮*#_]+|[.=~+?-]{2,}|[xX]{2,}")


def first_last(value: Any) -> str:
    """Return ``"A••••••e"`` for text of at least four characters, the whole mask otherwise."""
    text = value if isinstance(value, str) else ""
    return f"{text[0]}{_HIDDEN}••{text[-1]}" if len(text) >= 4 else FULL


def last4(value: Any) -> str:
    """Return ``"•••• 6789"`` for text or a number of at least eight characters, the whole mask otherwise."""
    text = _text_or_number(value)
    return f"{_HIDDEN} {text[-4:]}" if len(text) >= 8 else FULL


def card(value: Any) -> str:
    """Return ``"•••• •••• •••• 4242"`` for 12 to 19 digits (ISO/IEC 7812), with spaces and hyphens."""
    digits = _text_or_number(value).replace(" ", "").replace("-", "")
    if not (12 <= len(digits) <= 19 and digits.isascii() and digits.isdigit()):
        return FULL
    return f"{_HIDDEN} {_HIDDEN} {_HIDDEN} {digits[-4:]}"


def phone(value: Any) -> str:
    """Return ``"•••• 567"`` for a number of six to 15 digits (ITU-T E.164) as people write it."""
    text = _text_or_number(value)
    digits = re.sub(r"[\s()./+-]", "", text)
    if not (6 <= len(digits) <= 15 and digits.isascii() and digits.isdigit()):
        return FULL
    return f"{_HIDDEN} {digits[-3:]}"


def email(value: Any) -> str:
    """Return ``"a••••@••••.com"`` for an address long enough, the whole mask otherwise."""
    text = str(value)
    name, _, domain = text.rpartition("@")
    host, _, top = domain.rpartition(".")
    shown = f"{name[:1]}{_HIDDEN}@{_HIDDEN}.{top}"
    is_domain = host and 0 < len(top) <= 63  # which a label of DNS has at most
    return shown if len(name) > 1 and is_domain and not _shows_too_much(shown, text) else FULL


def year(value: Any) -> str:
    """Return ``"1971 ••••"`` for a date, a moment (where the site is), or the ISO 8601 text of one."""
    if isinstance(value, str):
        if len(value) < 8:  # 1971W29
            return FULL
        try:
            value = datetime.datetime.fromisoformat(value)
        except ValueError:
            return FULL
    if isinstance(value, datetime.datetime) and timezone.is_aware(value):
        try:
            value = timezone.localtime(value)
        except OverflowError:
            return FULL
    return f"{value.year:04} {_HIDDEN}" if isinstance(value, datetime.date) else FULL


def keys(value: Any) -> str:
    """Return ``"street, city: ••••"`` for a JSON object whose keys are at most half of it."""
    if not (isinstance(value, dict) and value and all(isinstance(key, str) for key in value)):
        return FULL
    shown = _printable(f"{', '.join(value)}: {_HIDDEN}")
    if len(value) > _KEYS_SHOWN or len(shown) > _LENGTH_SHOWN or _shows_too_much(shown, _as_text(value)):
        return FULL
    return shown


_PARTIAL: dict[str, Callable[[Any], str]] = {
    function.__name__: function for function in (first_last, last4, card, phone, email, year, keys)
}

#: Every name that a field's ``mask`` may have.
NAMES = ("full", *_PARTIAL)


def masked(name: Any, read: Callable[[], Any]) -> str:
    """Return the mask ``name`` of the value that ``read`` returns. ``"full"`` does not read it.

    ``name`` is one of :data:`NAMES`, a function of one's own, or the dotted path of one. Such a function gets
    the value and returns text. Of a function that cannot be had or raises, or shows more than half of the
    value, the result is the whole mask, and the log says so once. Raises whatever ``read`` raises.
    """
    if name == "full":
        return FULL
    if isinstance(name, str) and name in _PARTIAL:
        return _PARTIAL[name](read())
    reason = problem(name)
    if reason:
        _complain(path_of(name), reason)
        return FULL
    return _by_own_function(name, read())


def problem(name: Any) -> str:
    """Return why ``name`` is no mask, as a sentence; empty if it is one."""
    if isinstance(name, str) and name in NAMES:
        return ""
    try:
        function = import_string(name) if isinstance(name, str) and "." in name else name
    except Exception as exc:
        return f"The mask {name!r} cannot be imported: {type(exc).__name__}: {exc}."
    return "" if callable(function) else f"There is no mask {name!r}."


def path_of(name: Any) -> str:
    """Return ``name`` as a migration spells it: a function by its dotted path."""
    if isinstance(name, str):
        return name
    return f"{getattr(name, '__module__', '')}.{getattr(name, '__qualname__', type(name).__qualname__)}"


def _by_own_function(name: Any, value: Any) -> str:
    function = import_string(name) if isinstance(name, str) else name
    try:
        shown = function(deepcopy(value) if isinstance(value, dict | list) else value)  # it may change it
    except Exception as exc:  # whose text may quote the value
        _complain(path_of(name), f"It raised {type(exc).__name__}.")
        return FULL
    if not isinstance(shown, str):
        _complain(path_of(name), f"It returned {type(shown).__name__} instead of text.")
        return FULL
    # A plain string of one line: markup that calls itself safe would go into pages as it is.
    shown = _printable(shown[:_LENGTH_SHOWN])
    shown = _FILLERS.sub(_HIDDEN, " ".join(shown.split()))
    if any(_shows_too_much(shown, text) for text in _spellings(value)):
        _complain(path_of(name), "It shows more than half of a value.")
        return FULL
    return shown


@cache  # once: a list has hundreds of rows
def _complain(title: str, reason: str) -> None:
    logger.error("The mask %s is not used, the whole mask is shown instead. %s", title, reason)


def _shows_too_much(shown: str, text: str) -> bool:
    """Whether more than half of the characters of ``text`` stand in ``shown``, in whatever order."""
    common = Counter(re.sub(r"[•\s]", "", shown).casefold()) & Counter(text.casefold())
    return common.total() > len(text) // 2


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)


def _spellings(value: Any) -> Iterator[str]:
    if isinstance(value, bytearray | memoryview):
        value = bytes(value)
    yield _as_text(value)
    if isinstance(value, bytes):
        with suppress(UnicodeDecodeError):
            yield value.decode()


def _as_text(value: Any) -> str:
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    return value.hex() if isinstance(value, bytes) else str(value)


def _text_or_number(value: Any) -> str:
    return str(value) if isinstance(value, str | int) else ""
