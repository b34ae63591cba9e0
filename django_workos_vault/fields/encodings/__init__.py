"""What bytes are sealed for a value, and which value they are again: one small class a family of types.

An encoding is a plain object that a field owns. It knows what it was told when it was made (a column type, a
number of digits, a JSON encoder) and nothing of cells and keys.
"""

from collections.abc import Callable
from typing import Any

from django.db.models import Field, JSONField

from django_workos_vault.fields.encodings.base import Binary, Encoding, Text
from django_workos_vault.fields.encodings.dates import Date, DateTime, Duration, Time
from django_workos_vault.fields.encodings.numbers import Boolean, Float, Integer, decimal
from django_workos_vault.fields.encodings.structured import JSON, Converted, IPAddress, Serialized, UUIDBytes

__all__ = ["Encoding", "Integer", "Serialized", "Text", "encoding_of", "encoding_of_any"]

_OF_COLUMN_TYPE: dict[str, Callable[[Any], Encoding]] = {
    **dict.fromkeys(("CharField", "TextField", "SlugField", "FilePathField"), lambda field: Text()),
    **dict.fromkeys(
        (
            "IntegerField",
            "BigIntegerField",
            "SmallIntegerField",
            "PositiveIntegerField",
            "PositiveBigIntegerField",
            "PositiveSmallIntegerField",
        ),
        lambda field: Integer(field.plain_type),
    ),
    "BinaryField": lambda field: Binary(),
    "BooleanField": lambda field: Boolean(),
    "DateField": lambda field: Date(),
    "DateTimeField": DateTime,
    "DecimalField": decimal,
    "DurationField": lambda field: Duration(field.to_python),
    "FloatField": lambda field: Float(),
    "GenericIPAddressField": lambda field: IPAddress(field.to_python),
    "JSONField": lambda field: JSON(field.encoder, field.decoder),
    "TimeField": lambda field: Time(),
    "UUIDField": lambda field: UUIDBytes(),
}


def encoding_of(field: Any) -> Encoding:
    """Return the encoding of the twin of a Django field, by the column type that the Django field has."""
    return _OF_COLUMN_TYPE[field.plain_type](field)


def encoding_of_any(field: Any, plain: Field) -> Encoding:
    """Return the encoding of ``field``, the twin of ``plain``, a field of any class.

    One with a column type of its own is sealed as it is serialized.
    """
    if type(plain).db_type is not Field.db_type or plain.get_internal_type() not in _OF_COLUMN_TYPE:
        return Serialized(plain)
    encoding = encoding_of(field)
    convert = getattr(plain, "from_db_value", None)
    if convert is None or getattr(convert, "__func__", None) is getattr(JSONField, "from_db_value", None):
        return encoding
    return Converted(Text() if isinstance(encoding, JSON) else encoding, convert)
