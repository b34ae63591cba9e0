"""Blind indexes: keyed digests that let equal values be found without opening them. Pure functions.

A digest is HMAC-SHA-256 (RFC 2104) of the normalised value, under a key derived for one (label, index name,
version). Each class says what makes two values equal; a field's ``blind_indexes`` list declares which digests
stand in front of its cells, in that order.
"""

import hmac
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from django_workos_vault.envelope import DIGEST_BYTES

FULL_BITS = DIGEST_BYTES * 8
MIN_BITS = 4

Encode = Callable[[Any], bytes]


@dataclass(frozen=True, slots=True)
class Digest:
    """What stands in front of a cell for its value in one index. No value of any field is of this type.

    ``raw`` is :data:`DIGEST_BYTES` long; ValueError otherwise, as what follows would be read as the envelope.
    """

    raw: bytes

    def __post_init__(self) -> None:
        if len(self.raw) != DIGEST_BYTES:
            raise ValueError(f"A digest has {DIGEST_BYTES} bytes.")


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What every blind index has.

    ``name`` names the index, in the lookup ``field__name`` and in the derivation of its key. ``version``
    counts from 1; another version has an unrelated key. ``bits`` keeps only that many bits of each digest, so
    that different values collide on purpose; results stay exact, because candidates are opened and compared.
    """

    name: str
    version: int = 1
    bits: int = FULL_BITS

    #: Django's lookups that this index answers, beside the one of its name.
    lookups: ClassVar[tuple[str, ...]] = ()

    #: Whether :meth:`message` takes the text of a value, of whatever type it is.
    of_text: ClassVar[bool] = False

    def message(self, value: Any, encode: Encode) -> bytes:
        """Return the bytes to digest for a stored ``value``; ``encode`` is the field's own encoding."""
        raise NotImplementedError

    def searched(self, value: Any, encode: Encode) -> bytes:
        """Return the bytes to digest for a ``value`` searched for."""
        return self.message(value, encode)

    def info(self, label: str) -> bytes:
        """Return what the index key is derived for. The label comes last: it alone may hold a colon."""
        return f"blind-index:{self.version}:{self.name}:{label}".encode()

    def deconstruct(self) -> tuple[str, tuple[()], dict[str, Any]]:
        """Return what a migration writes: the arguments that are not the defaults."""
        given = {f.name: getattr(self, f.name) for f in fields(self)}
        defaults = {f.name: f.default for f in fields(self)}
        return (
            f"django_workos_vault.indexes.{type(self).__name__}",
            (),
            {name: value for name, value in given.items() if value != defaults[name]},
        )


@dataclass(frozen=True, kw_only=True)
class Exact(Kind):
    """Equal when the values are: answers ``exact`` and ``in``. For fields of any type."""

    name: str = "exact"

    lookups: ClassVar[tuple[str, ...]] = ("exact", "in")

    def message(self, value: Any, encode: Encode) -> bytes:
        return encode(value)


@dataclass(frozen=True, kw_only=True)
class _Text(Kind):
    """``exact=True`` lets the index answer ``exact`` and ``in`` as well, by its own notion of equality."""

    exact: bool = False

    of_text: ClassVar[bool] = True

    @property
    def lookups(self) -> tuple[str, ...]:  # type: ignore[override]
        return ("exact", "in") if self.exact else ()

    def message(self, value: Any, encode: Encode) -> bytes:
        return self.normalise(str(value)).encode()

    def normalise(self, text: str) -> str:
        """Return what all texts equal to ``text`` have in common."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class CaseFolded(_Text):
    """Equal whatever the case and the Unicode form: answers ``iexact``.

    Canonical caseless matching of the Unicode Standard (section 3.13, D145).
    """

    name: str = "folded"

    @property
    def lookups(self) -> tuple[str, ...]:  # type: ignore[override]
        return ("iexact", *super().lookups)

    def normalise(self, text: str) -> str:
        return unicodedata.normalize("NFD", unicodedata.normalize("NFD", text).casefold())


@dataclass(frozen=True, kw_only=True)
class Digits(_Text):
    """Equal when the digits are, for numbers typed with or without dashes, dots and spaces."""

    name: str = "digits"

    def normalise(self, text: str) -> str:
        return digits_of(text)


@dataclass(frozen=True, kw_only=True)
class Normalised(_Text):
    """Equal when a function of yours says so: ``by`` takes the text and returns what is digested.

    ``by`` must be importable, as migrations name it, and must never change its mind about a stored value:
    after a change, give the index another version and re-encrypt.
    """

    by: Callable[[str], str]

    def normalise(self, text: str) -> str:
        return self.by(text)


@dataclass(frozen=True, kw_only=True)
class LastCharacters(_Text):
    """Equal when the last ``count`` characters are, or digits with ``digits_only``: "the last four"."""

    name: str = "last4"
    count: int = 4
    digits_only: bool = False

    def message(self, value: Any, encode: Encode) -> bytes:
        return self.normalise(str(value))[-self.count :].encode()

    def searched(self, value: Any, encode: Encode) -> bytes:
        return self.normalise(str(value)).encode()  # a longer text ends no value

    def normalise(self, text: str) -> str:
        return digits_of(text) if self.digits_only else text


@dataclass(frozen=True, kw_only=True)
class FirstCharacters(LastCharacters):
    """Equal when the first ``count`` characters are, or digits with ``digits_only``."""

    name: str = "first3"
    count: int = 3

    def message(self, value: Any, encode: Encode) -> bytes:
        return self.normalise(str(value))[: self.count].encode()


@dataclass(frozen=True, kw_only=True)
class Compound(Kind):
    """Equal when this field *and* the encrypted fields named in ``with_fields`` are; shows neither alone.

    Searched with the values in order, this field's own first: ``field__name=[own, other, ...]``.
    """

    with_fields: tuple[str, ...]

    def combined(self, messages: Iterable[bytes]) -> bytes:
        """Return one message of several, each with its length so that no two combinations read the same."""
        return b"".join(len(message).to_bytes(8, "big") + message for message in messages)


def digits_of(text: str) -> str:
    """Return the decimal digits of ``text``, of any script, as ASCII."""
    return "".join(str(unicodedata.decimal(character)) for character in text if character.isdecimal())


def digest(key: bytes, message: bytes, bits: int = FULL_BITS) -> bytes:
    """Return the 32-byte digest of ``message``; beyond ``bits`` all bits are zero."""
    whole = hmac.digest(key, message, "sha256")
    if bits == FULL_BITS:
        return whole
    kept = int.from_bytes(whole, "big") >> (FULL_BITS - bits) << (FULL_BITS - bits)
    return kept.to_bytes(DIGEST_BYTES, "big")
