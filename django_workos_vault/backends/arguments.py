"""What the operations take: how an argument is checked, written into a request, and read from one.

Limits are those of the API description. One that is broken is a VaultRequestError (or, for a key context, an
InvalidVaultConfiguration) before anything is sent.
"""

from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from django_workos_vault.backends.key_context import validate_key_context
from django_workos_vault.exceptions import VaultRequestError

MAX_NAME_LENGTH = 200
#: a wrapped key is 206 bytes for one context item; the bound leaves room for ten long ones
MAX_WRAPPED_BYTES = 8192

Order = Literal["asc", "desc"]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of argument. The functions get the value and the name of the request's member.

    ``check`` returns the value as it is sent, or refuses it. ``read`` is the way back, for whoever answers
    requests: it takes all that the API description allows, which is more than we send.
    """

    check: Callable[[Any, str], Any]
    read: Callable[[Any, str], Any]


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of an operation: ``name`` in Python, ``member`` in the request.

    ``wrong`` is the status with which a request is refused that has another kind of value there.
    """

    name: str
    kind: Kind
    member: str
    place: Literal["path", "query", "body"] = "body"
    required: bool = True
    wrong: int = 400


def is_text(text: str) -> bool:
    """Whether ``text`` has a UTF-8 form: JSON's escapes, and Python's strings, allow half a character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _text(text: object, what: str) -> str:
    if not isinstance(text, str):
        raise VaultRequestError(f"An object's {what} is a string, not {type(text).__name__}.")
    if not is_text(text):
        raise VaultRequestError(f"An object's {what} holds half a character (a surrogate), which is no text.")
    return text


def _name(name: object, what: str) -> str:
    text = _text(name, what)
    if not 0 < len(text) <= MAX_NAME_LENGTH:
        raise VaultRequestError(
            f"An object's name has 1 to {MAX_NAME_LENGTH} characters, this one {len(text)}."
        )
    return _segment(text, what)


def _segment(segment: object, what: str) -> str:
    text = _text(segment, what)
    # They mean "here" and "one up" in a path (RFC 3986, section 5.2.4), so no request could read them back.
    if text in ("", ".", ".."):
        raise VaultRequestError(f"An object's {what} is neither empty nor '.' or '..': no URL can name it.")
    return text


def _wrapped(wrapped: bytes, what: str) -> str:
    if not 0 < len(wrapped) <= MAX_WRAPPED_BYTES:
        raise VaultRequestError(
            f"A wrapped data key has 1 to {MAX_WRAPPED_BYTES} bytes, this one {len(wrapped)}."
        )
    return b64encode(wrapped).decode()


def _limit(limit: object, what: str) -> str:
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
        raise VaultRequestError("An object list's limit is an integer, 1 or more.")
    return str(limit)


def _order(order: object, what: str) -> str:
    if order not in ("asc", "desc"):
        raise VaultRequestError("An object list's order is 'asc' or 'desc'.")
    return str(order)


def _moment(moment: datetime, what: str) -> str:
    if moment.tzinfo is None:
        raise VaultRequestError("updated_after needs a time zone: give an aware datetime.")
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _given_text(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise VaultRequestError(f"{what} must be given, as a string.")
    return value


def _given_name(value: object, what: str) -> str:
    name = _given_text(value, what)
    if not 1 <= len(name) <= MAX_NAME_LENGTH:
        raise VaultRequestError(f"{what} must have 1 to {MAX_NAME_LENGTH} characters.")
    return name


def _given_wrapped(value: object, what: str) -> bytes:
    encoded = _given_text(value, what)
    try:
        return b64decode(encoded, validate=True)
    except ValueError:
        raise VaultRequestError("The encrypted keys are not base64.") from None


def _given_limit(value: str, what: str) -> int:
    if not (value.isascii() and value.isdecimal() and value.strip("0")):
        raise VaultRequestError("limit is a whole number, 1 or more.")
    return int(value) if len(value) < 10 else 10**9


def _given_order(value: str, what: str) -> str:
    return _order(value, what)


def _given_moment(value: str, what: str) -> datetime:
    try:
        moment = datetime.fromisoformat(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise VaultRequestError(f"{what} is an ISO 8601 timestamp.") from None


def _context(context: object, what: str) -> dict[str, str]:
    return validate_key_context(context)


CONTEXT = Kind(_context, _context)
WRAPPED = Kind(_wrapped, _given_wrapped)
NAME = Kind(_name, _given_name)
NAMED = Kind(_name, _given_text)
ID = Kind(_segment, _given_text)
TEXT = Kind(_text, _given_text)
LIMIT = Kind(_limit, _given_limit)
ORDER = Kind(_order, _given_order)
MOMENT = Kind(_moment, _given_moment)
