"""From JSON text to a shape of ours, by msgspec; what it refuses, in words of ours.

A refusal says which member was wrong and how, and never quotes it.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec


class Mismatch(Exception):
    """An answer is not what the API description says."""


def decoded(body: bytes, wire: Any) -> Any:
    """Return the JSON text ``body`` as a ``wire``. Raises Mismatch."""
    problem = "the answer is not JSON"
    with suppress(*_NO_JSON):
        try:
            return msgspec.json.decode(body, type=wire)
        except msgspec.ValidationError as error:
            msgspec.json.decode(body)  # which reads on to the end
            problem = _told(str(error))
    # Raised here, outside of the handlers: a UnicodeDecodeError carries the whole text.
    raise Mismatch(problem)


_NO_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


_PLACE = re.compile(r"(?s)(.*) - at `\$\.?(.*)`")
_KINDS: Mapping[str, str] = {
    "str": "a string",
    "bytes": "a string",
    "datetime": "a string",
    "bool": "true or false",
    "int": "an integer",
    "float": "a number",
    "object": "an object",
    "array": "a list",
    "null": "null",
}
_PROBLEMS = (
    (re.compile(r"Expected `int` [<>]="), "is not a count"),
    (re.compile(r"Expected `str.*` of length"), "has more or fewer characters than any id has"),
    (
        re.compile(r"Expected `datetime.*` with a timezone|Invalid RFC3339"),
        "is not an RFC 3339 date and time",
    ),
    (re.compile(r"Invalid base64"), "is not base64"),
)


def _told(problem: str) -> str:
    """Return msgspec's ``problem`` in our words. What we have none for is not repeated."""
    if match := _PLACE.fullmatch(problem):
        problem, where = match[1], match[2]
    else:
        where = ""
    member = where or "the answer"
    if match := re.fullmatch(r"Object missing required field `(\w+)`", problem):
        return f"{where}.{match[1]} is missing" if where else f"{match[1]} is missing"
    if match := re.fullmatch(r"(\w+) (holds a character that no id has|is not an RFC .*)", problem):
        return f"{where}.{problem}" if where else problem
    if match := re.fullmatch(r"Expected `([a-z]+)[^`]*`, got `(\w+)`", problem):
        wanted = _KINDS.get(match[1], "something else")
        if member.endswith("[...]"):
            return f"{member.removesuffix('[...]')} has a value that is not {wanted}"
        return f"{member} is {_KINDS.get(match[2], 'something else')}, not {wanted}"
    for pattern, told in _PROBLEMS:
        if pattern.match(problem):
            return f"{member} {told}"
    return f"{member} is not what it should be"


@dataclass(frozen=True, slots=True)
class _Error:
    error: str


def error_text(body: bytes) -> str | None:
    """Return what an error answer says, None where it is none."""
    try:
        error: str = decoded(body, _Error).error
    except Mismatch:
        return None
    return error
