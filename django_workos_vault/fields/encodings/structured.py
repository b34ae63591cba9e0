"""UUIDs, addresses and JSON; and what fields of other people make of their values."""

import json
from collections.abc import Callable
from ipaddress import ip_address
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from django.db import connection

from django_workos_vault.fields.encodings.base import Encoding, Prepare


class UUIDBytes(Encoding):
    """The sixteen bytes of RFC 9562."""

    varies_in_length = False

    def encode(self, value: UUID) -> bytes:
        return value.bytes

    def decode(self, plaintext: bytes) -> Any:
        return UUID(bytes=plaintext)


class IPAddress(Encoding):
    """The version (4 or 6) in one byte, then the address in sixteen, an IPv4 one in the last four of them."""

    varies_in_length = False

    def __init__(self, to_python: Prepare) -> None:
        self._to_python = to_python

    def prepare(self, value: Any, prepare: Prepare) -> Any:
        return prepare(value) or None  # as Django's columns: no empty addresses

    def encode(self, value: str) -> bytes:
        address = ip_address(value)
        if getattr(address, "scope_id", None):
            raise ValueError("an address with a scope has no packed form")
        return bytes((address.version,)) + address.packed.rjust(16, b"\x00")

    def decode(self, plaintext: bytes) -> Any:
        version, packed = plaintext[0], plaintext[1:]
        if len(packed) != 16 or version not in (4, 6) or (version == 4 and any(packed[:12])):
            raise ValueError("no address")
        return self._to_python(str(ip_address(packed[12:] if version == 4 else packed)))


class JSON(Encoding):
    """JSON text in UTF-8, by the field's ``encoder`` and ``decoder``."""

    def __init__(
        self, encoder: type[json.JSONEncoder] | None, decoder: type[json.JSONDecoder] | None
    ) -> None:
        self._encoder = encoder
        self._decoder = decoder

    def encode(self, value: Any) -> bytes:
        return json.dumps(value, cls=self._encoder).encode()

    def equal(self, value: Any) -> bytes:
        return json.dumps(json.loads(self.encode(value), parse_float=_number), sort_keys=True).encode()

    def decode(self, plaintext: bytes) -> Any:
        return json.loads(plaintext.decode(), cls=self._decoder)


def _number(text: str) -> float:
    number = float(text)
    return int(number) if number.is_integer() else number  # 1.0 is 1


class Serialized(Encoding):
    """What ``value_to_string()`` makes of a value, which ``to_python()`` understands.

    Django asks that of every field for fixtures, so it holds for a field of any column type. ``plain`` is the
    field.
    """

    def __init__(self, plain: Any) -> None:
        self._plain = plain

    def prepare(self, value: Any, prepare: Prepare) -> Any:
        return value

    def encode(self, value: Any) -> bytes:
        row: Any = SimpleNamespace(**{self._plain.attname: value})
        return str(self._plain.value_to_string(row)).encode()

    def decode(self, plaintext: bytes) -> Any:
        return self._plain.to_python(plaintext.decode())


class Converted(Encoding):
    """Another encoding whose values a field's own ``from_db_value()`` still has to convert."""

    def __init__(self, encoding: Encoding, convert: Callable[[Any, Any, Any], Any]) -> None:
        self._encoding = encoding
        self._convert = convert
        self.varies_in_length = encoding.varies_in_length
        self.prepare = encoding.prepare  # type: ignore[method-assign]
        self.encode = encoding.encode  # type: ignore[method-assign]
        self.equal = encoding.equal  # type: ignore[method-assign]

    def decode(self, plaintext: bytes) -> Any:
        return self._convert(self._encoding.decode(plaintext), None, connection)
