"""Encrypted numbers and truth values. Every value of a type is sealed in the same number of bytes."""

import struct
import sys
from decimal import ROUND_HALF_EVEN, Context, Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any

from django.db import DataError, connection, models

from django_workos_vault.fields.base import EncryptedFieldMixin

_ASKS_FOR_ITS_RANGE = models.IntegerField.__dict__["validators"].func.__code__


def integer_from(plaintext: bytes, width: int) -> int:
    """Return the signed big-endian integer of ``width`` bytes. Raises ValueError unless that many."""
    if len(plaintext) != width:
        raise ValueError(f"{width} bytes expected")
    return int.from_bytes(plaintext, signed=True)


class IntegerEncoding(EncryptedFieldMixin):
    """Nine bytes, big-endian and signed: what any integer column of any supported database can hold.

    The range is that of the column which the Django field would have had, in forms and on saving.
    """

    varies_in_length = False
    _WIDTH = 9

    def get_internal_type(self) -> str:
        if sys._getframe(1).f_code is _ASKS_FOR_ITS_RANGE:
            return self.plain_type
        return super().get_internal_type()

    @cached_property
    def _range(self) -> tuple[int, int]:
        return connection.ops.integer_field_range(self.plain_type)

    def encode(self, value: int) -> bytes:
        low, high = self._range
        if not low <= value <= high:
            raise DataError
        return value.to_bytes(self._WIDTH, signed=True)

    def decode(self, plaintext: bytes) -> Any:
        return integer_from(plaintext, self._WIDTH)


class FloatEncoding(EncryptedFieldMixin):
    """IEEE 754 binary64, big-endian: eight bytes."""

    varies_in_length = False

    def encode(self, value: float) -> bytes:
        return struct.pack(">d", value)

    def decode(self, plaintext: bytes) -> Any:
        return struct.unpack(">d", plaintext)[0]


class DecimalEncoding(EncryptedFieldMixin):
    """The value in units of its last decimal place, signed, in as many bytes as ``max_digits`` needs.

    Rounded and bounded as Django's ``format_number()`` does for a column. Without ``max_digits`` (PostgreSQL
    and SQLite allow that) there is no bound and the value's text is sealed, which varies in length.
    """

    if TYPE_CHECKING:
        max_digits: Any
        decimal_places: Any

    @property
    def varies_in_length(self) -> bool:  # type: ignore[override]
        return self.max_digits is None or self.decimal_places is None

    @cached_property
    def _width(self) -> int:
        return int(10 ** (self.max_digits or 0)).bit_length() // 8 + 1

    def encode(self, value: Decimal) -> bytes:
        if self.max_digits is None or self.decimal_places is None:
            return str(value).encode()
        if not value.is_finite():
            raise DataError
        context = Context(prec=self.max_digits, rounding=ROUND_HALF_EVEN)
        rounded = value.quantize(Decimal(1).scaleb(-self.decimal_places), context=context)
        return int(rounded.scaleb(self.decimal_places, context)).to_bytes(self._width, signed=True)

    def decode(self, plaintext: bytes) -> Any:
        if self.max_digits is None or self.decimal_places is None:
            return Decimal(plaintext.decode())
        units = Decimal(integer_from(plaintext, self._width))
        return units.scaleb(-self.decimal_places, Context(prec=self.max_digits))


class BooleanEncoding(EncryptedFieldMixin):
    """One byte, 0 or 1."""

    varies_in_length = False

    def encode(self, value: bool) -> bytes:
        return b"\x01" if value else b"\x00"

    def decode(self, plaintext: bytes) -> Any:
        return {b"\x00": False, b"\x01": True}[plaintext]


class EncryptedIntegerField(IntegerEncoding, models.IntegerField):
    """Encrypted twin of :class:`django.db.models.IntegerField`."""


class EncryptedBigIntegerField(IntegerEncoding, models.BigIntegerField):
    """Encrypted twin of :class:`django.db.models.BigIntegerField`."""


class EncryptedSmallIntegerField(IntegerEncoding, models.SmallIntegerField):
    """Encrypted twin of :class:`django.db.models.SmallIntegerField`."""


class EncryptedPositiveIntegerField(IntegerEncoding, models.PositiveIntegerField):
    """Encrypted twin of :class:`django.db.models.PositiveIntegerField`."""


class EncryptedPositiveBigIntegerField(IntegerEncoding, models.PositiveBigIntegerField):
    """Encrypted twin of :class:`django.db.models.PositiveBigIntegerField`."""


class EncryptedPositiveSmallIntegerField(IntegerEncoding, models.PositiveSmallIntegerField):
    """Encrypted twin of :class:`django.db.models.PositiveSmallIntegerField`."""


class EncryptedFloatField(FloatEncoding, models.FloatField):
    """Encrypted twin of :class:`django.db.models.FloatField`."""


class EncryptedDecimalField(DecimalEncoding, models.DecimalField):
    """Encrypted twin of :class:`django.db.models.DecimalField`."""


class EncryptedBooleanField(BooleanEncoding, models.BooleanField):
    """Encrypted twin of :class:`django.db.models.BooleanField`."""
