"""Numbers and truth values. Every value of a type is sealed in the same number of bytes."""

import struct
from collections.abc import Iterable
from decimal import ROUND_HALF_EVEN, Context, Decimal
from functools import cached_property
from typing import Any

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import DataError, connection

from django_workos_vault.fields.encodings.base import Encoding


def integer_from(plaintext: bytes, width: int) -> int:
    """Return the signed big-endian integer of ``width`` bytes. Raises ValueError unless that many."""
    if len(plaintext) != width:
        raise ValueError(f"{width} bytes expected")
    return int.from_bytes(plaintext, signed=True)


class Integer(Encoding):
    """Nine bytes, big-endian and signed: what any integer column of any supported database can hold.

    ``column_type`` is the internal type of the Django field; its column's range is the encoding's.
    """

    varies_in_length = False
    _WIDTH = 9

    def __init__(self, column_type: str) -> None:
        self._column_type = column_type

    @cached_property
    def bounds(self) -> tuple[int, int]:
        """The least and the greatest number that the Django field's column could hold."""
        return connection.ops.integer_field_range(self._column_type)

    def encode(self, value: int) -> bytes:
        low, high = self.bounds
        if not low <= value <= high:
            raise DataError
        return value.to_bytes(self._WIDTH, signed=True)

    def decode(self, plaintext: bytes) -> Any:
        return integer_from(plaintext, self._WIDTH)


def with_bounds(validators: Iterable[Any], low: int | None, high: int | None) -> list[Any]:
    """Return ``validators`` with those for a column's range, as ``IntegerField.validators`` adds them.

    Django's property asks the field for its column type, which is that of cells.
    """
    given = list(validators)
    lows = [_limit(v) for v in given if isinstance(v, MinValueValidator)]
    highs = [_limit(v) for v in given if isinstance(v, MaxValueValidator)]
    if low is not None and not any(limit >= low for limit in lows):
        given.append(MinValueValidator(low))
    if high is not None and not any(limit <= high for limit in highs):
        given.append(MaxValueValidator(high))
    return given


def _limit(validator: Any) -> Any:
    return validator.limit_value() if callable(validator.limit_value) else validator.limit_value


class Float(Encoding):
    """IEEE 754 binary64, big-endian: eight bytes."""

    varies_in_length = False

    def encode(self, value: float) -> bytes:
        return struct.pack(">d", value)

    def equal(self, value: float) -> bytes:
        return self.encode(value + 0.0)  # -0.0 is 0.0

    def decode(self, plaintext: bytes) -> Any:
        return struct.unpack(">d", plaintext)[0]


class DecimalUnits(Encoding):
    """The value in units of its last decimal place, signed, in as many bytes as ``max_digits`` needs.

    Rounded and bounded as Django's ``format_number()`` does for a column.
    """

    varies_in_length = False

    def __init__(self, max_digits: int, decimal_places: int) -> None:
        self._max_digits = max_digits
        self._decimal_places = decimal_places
        self._width = int(10**max_digits).bit_length() // 8 + 1

    def encode(self, value: Decimal) -> bytes:
        if not value.is_finite():
            raise DataError
        context = Context(prec=self._max_digits, rounding=ROUND_HALF_EVEN)
        rounded = value.quantize(Decimal(1).scaleb(-self._decimal_places), context=context)
        return int(rounded.scaleb(self._decimal_places, context)).to_bytes(self._width, signed=True)

    def decode(self, plaintext: bytes) -> Any:
        units = Decimal(integer_from(plaintext, self._width))
        return units.scaleb(-self._decimal_places, Context(prec=self._max_digits))


class DecimalText(Encoding):
    """The value's text, for a field without ``max_digits``, which PostgreSQL and SQLite allow."""

    def encode(self, value: Decimal) -> bytes:
        return str(value).encode()

    def equal(self, value: Decimal) -> bytes:
        digits = Context(prec=max(1, len(value.as_tuple().digits)))
        return self.encode(value.normalize(digits) if value else Decimal(0))

    def decode(self, plaintext: bytes) -> Any:
        return Decimal(plaintext.decode())


def decimal(field: Any) -> Encoding:
    """Return the encoding of a DecimalField: of one length where the field has a bound."""
    if field.max_digits is None or field.decimal_places is None:
        return DecimalText()
    return DecimalUnits(field.max_digits, field.decimal_places)


class Boolean(Encoding):
    """One byte, 0 or 1."""

    varies_in_length = False

    def encode(self, value: bool) -> bytes:
        return b"\x01" if value else b"\x00"

    def decode(self, plaintext: bytes) -> Any:
        return {b"\x00": False, b"\x01": True}[plaintext]
