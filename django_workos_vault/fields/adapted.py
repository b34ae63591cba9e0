"""``encrypted()``: a twin of any field that has none of its own."""

from functools import cache
from inspect import Parameter, signature
from types import SimpleNamespace
from typing import Any

from django.db import connection
from django.db.models import AutoField, Field, FileField, GeneratedField, JSONField, Model
from django.utils.module_loading import import_string

from django_workos_vault.fields.base import EncryptedFieldMixin
from django_workos_vault.fields.dates import DateEncoding, DateTimeEncoding, DurationEncoding, TimeEncoding
from django_workos_vault.fields.numbers import (
    BooleanEncoding,
    DecimalEncoding,
    FloatEncoding,
    IntegerEncoding,
)
from django_workos_vault.fields.serialization import dumps_cells
from django_workos_vault.fields.structured import (
    BinaryEncoding,
    IPAddressEncoding,
    JSONEncoding,
    UUIDEncoding,
)

_OF_INTERNAL_TYPE: dict[str, type[EncryptedFieldMixin]] = {
    **dict.fromkeys(
        (
            "IntegerField",
            "BigIntegerField",
            "SmallIntegerField",
            "PositiveIntegerField",
            "PositiveBigIntegerField",
            "PositiveSmallIntegerField",
        ),
        IntegerEncoding,
    ),
    **dict.fromkeys(("CharField", "TextField", "SlugField", "FilePathField"), EncryptedFieldMixin),
    "BinaryField": BinaryEncoding,
    "BooleanField": BooleanEncoding,
    "DateField": DateEncoding,
    "DateTimeField": DateTimeEncoding,
    "DecimalField": DecimalEncoding,
    "DurationField": DurationEncoding,
    "FloatField": FloatEncoding,
    "GenericIPAddressField": IPAddressEncoding,
    "JSONField": JSONEncoding,
    "TimeField": TimeEncoding,
    "UUIDField": UUIDEncoding,
}


class SerializedEncoding(EncryptedFieldMixin):
    """What ``value_to_string()`` makes of a value, which ``to_python()`` understands.

    Django asks that of every field for fixtures, so it holds for a field of any column type.
    """

    plain: Field

    def get_prep_value(self, value: Any) -> Any:
        return value

    def encode(self, value: Any) -> bytes:
        row: Any = SimpleNamespace(**{self.plain.attname: value})
        return self.plain.value_to_string(row).encode()

    def decode(self, plaintext: bytes) -> Any:
        return self.plain.to_python(plaintext.decode())

    def value_to_string(self, obj: Model) -> str:
        if dumps_cells(self):
            return super().value_to_string(obj)
        return self.encode(getattr(obj, self.attname)).decode()


class JSONTextEncoding(JSONEncoding):
    """JSON for a field that parses it in a ``from_db_value()`` of its own."""

    def decode(self, plaintext: bytes) -> Any:
        return plaintext.decode()


class AdaptedFieldMixin(EncryptedFieldMixin):
    """What :func:`encrypted` puts in front of an encoding and a field class. ``plain`` is its field."""

    plain: Field

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.__dict__.pop("from_db_value", None)  # ArrayField sets one on each field

    def set_attributes_from_name(self, name: str) -> None:
        super().set_attributes_from_name(name)
        self.plain.set_attributes_from_name(name)

    def decode(self, plaintext: bytes) -> Any:
        value = super().decode(plaintext)
        convert = None if isinstance(self, SerializedEncoding) else _own_converter(self.plain)
        return value if convert is None else convert(value, None, connection)

    def deconstruct(self) -> Any:
        name, _, args, kwargs = super().deconstruct()
        path = f"{type(self.plain).__module__}.{type(self.plain).__qualname__}"
        return name, "django_workos_vault.fields.encrypted_twin", [path, *args], kwargs

    def clone(self) -> Any:
        _, _, args, kwargs = self.deconstruct()
        return encrypted_twin(*args, **kwargs)


def encrypted(field: Field, **options: Any) -> Field:
    """Return the encrypted twin of ``field``, a field of any class: a third party's, an ArrayField.

    ``options`` are those of :class:`~django_workos_vault.fields.base.EncryptedFieldMixin`. The twin is made
    from the field's ``deconstruct()``, as migrations make fields. Raises TypeError for relations, files,
    automatic and generated fields: their columns mean something to the database or to Django.
    """
    refused = isinstance(field, AutoField | FileField | GeneratedField | EncryptedFieldMixin)
    if refused or field.is_relation:
        raise TypeError(f"encrypted() cannot take a {type(field).__name__}; see docs/fields.md.")
    _, _, args, kwargs = field.deconstruct()
    plain: Any = type(field)
    encoding: Any = _encoding(field)
    twin: AdaptedFieldMixin = _twin_class(plain, encoding)(*args, **kwargs, **options)
    twin.plain = field
    return twin


def encrypted_twin(path: str, *args: Any, **kwargs: Any) -> Field:
    """Return what :func:`encrypted` does, from the dotted path of a field class. Migrations call this."""
    options = {name: kwargs.pop(name) for name in _OPTIONS & kwargs.keys()}
    return encrypted(import_string(path)(*args, **kwargs), **options)


_OPTIONS = frozenset(
    parameter.name
    for mixin in EncryptedFieldMixin.__mro__[:-1]
    for parameter in signature(mixin).parameters.values()
    if parameter.kind is Parameter.KEYWORD_ONLY
)


@cache
def _twin_class(plain: Any, encoding: Any) -> Any:
    return type(f"Encrypted{plain.__name__}", (AdaptedFieldMixin, encoding, plain), {})


def _encoding(field: Field) -> type[EncryptedFieldMixin]:
    if type(field).db_type is not Field.db_type:
        return SerializedEncoding
    encoding = _OF_INTERNAL_TYPE.get(field.get_internal_type(), SerializedEncoding)
    if encoding is JSONEncoding and _own_converter(field) is not None:
        return JSONTextEncoding
    return encoding


def _own_converter(plain: Field) -> Any:
    """Return what ``plain`` makes of a column's value, unless our JSON encoding does the same."""
    converter = getattr(plain, "from_db_value", None)
    is_json = getattr(converter, "__func__", None) is getattr(JSONField, "from_db_value", None)
    return None if is_json else converter
