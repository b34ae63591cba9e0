"""One model with every encrypted type, its plain twin, and values to try."""

import datetime as dt
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models

from django_workos_vault import fields


class Colour(models.TextChoices):
    RED = "r", "Red"
    ULTRAMARINE = "ultramarine", "Ultramarine"


class Fraction:
    """A Python type of a third party's field."""

    def __init__(self, text: str) -> None:
        self.parts = tuple(int(part) for part in text.split("/"))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Fraction) and self.parts == other.parts

    def __hash__(self) -> int:
        return hash(self.parts)

    def __len__(self) -> int:
        return len(str(self))

    def __str__(self) -> str:
        return "/".join(map(str, self.parts))


class FractionField(models.CharField):
    """A third party's field, as Django's documentation on custom fields has them: stored as text."""

    def to_python(self, value: Any) -> Any:
        return Fraction(value) if isinstance(value, str) else value

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        return None if value is None else Fraction(value)

    def get_prep_value(self, value: Any) -> Any:
        return None if value is None else str(value)

    def value_to_string(self, obj: Any) -> str:
        return str(self.value_from_object(obj))


class RangeField(models.Field):
    """A third party's field with a column type of its own, a pair of numbers."""

    def db_type(self, connection: Any) -> str:
        return "varchar(50)"

    def to_python(self, value: Any) -> Any:
        return tuple(int(part) for part in value.split("-")) if isinstance(value, str) else value

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        return self.to_python(value)

    def get_prep_value(self, value: Any) -> Any:
        return None if value is None else f"{value[0]}-{value[1]}"

    def value_to_string(self, obj: Any) -> str:
        return self.get_prep_value(self.value_from_object(obj))


#: Without time zones, Django's columns take naive values alone.
UTC = dt.UTC if settings.USE_TZ else None

#: name: plain class, arguments, values.
TYPES: dict[str, SimpleNamespace] = {
    name: SimpleNamespace(plain=plain, kwargs=kwargs, values=values)
    for name, plain, kwargs, values in [
        ("char", models.CharField, {"max_length": 40}, ["", "Ada", "0", "Grüße ☃"]),
        ("text", models.TextField, {}, ["", "one\ntwo", "workos-vault-cell:AAAA"]),
        ("email", models.EmailField, {}, ["", "ada@example.com"]),
        ("url", models.URLField, {}, ["", "https://example.com/?q=1"]),
        ("slug", models.SlugField, {}, ["", "a-slug"]),
        ("integer", models.IntegerField, {}, [0, -1, 2**31 - 1, -(2**31)]),
        ("big", models.BigIntegerField, {}, [0, 2**63 - 1, -(2**63)]),
        ("small", models.SmallIntegerField, {}, [0, -5, 32767]),
        ("positive", models.PositiveIntegerField, {}, [0, 7, 2**31 - 1]),
        ("positive_big", models.PositiveBigIntegerField, {}, [0, 2**63 - 1]),
        ("positive_small", models.PositiveSmallIntegerField, {}, [0, 32767]),
        ("float", models.FloatField, {}, [0.0, 1.5, -2.25e300]),
        (
            "decimal",
            models.DecimalField,
            {"max_digits": 8, "decimal_places": 3},
            [Decimal("0.000"), Decimal("-12345.678"), Decimal("99999.999")],
        ),
        ("boolean", models.BooleanField, {}, [False, True]),
        ("date", models.DateField, {}, [dt.date(1, 1, 1), dt.date(1906, 12, 9), dt.date(9999, 12, 31)]),
        (
            "datetime",
            models.DateTimeField,
            {},
            [dt.datetime(2026, 3, 29, 1, 30, 0, 123456, UTC), dt.datetime(1900, 1, 1, tzinfo=UTC)],
        ),
        ("time", models.TimeField, {}, [dt.time(0), dt.time(23, 59, 59, 999999)]),
        (
            "duration",
            models.DurationField,
            {},
            [dt.timedelta(0), dt.timedelta(days=-3, microseconds=1), dt.timedelta(days=100_000)],
        ),
        ("uuid", models.UUIDField, {}, [UUID(int=0), UUID("12345678-1234-5678-1234-567812345678")]),
        (
            "ip",
            models.GenericIPAddressField,
            {},
            ["192.0.2.1", "2001:db8::1", "::ffff:10.0.0.1", "::"],
        ),
        (
            "json",
            models.JSONField,
            {"encoder": DjangoJSONEncoder},
            [{}, [], "", 0, False, {"a": [1, None, "é"]}, "text"],
        ),
        ("binary", models.BinaryField, {"editable": True}, [b"", b"\x00\xff", b"workos"]),
        ("colour", models.CharField, {"max_length": 12, "choices": Colour.choices}, ["r", "ultramarine"]),
        ("fraction", FractionField, {"max_length": 20}, [Fraction("1/2"), Fraction("0/9")]),
        ("range", RangeField, {}, [(1, 2), (0, 0)]),
    ]
}


def encrypted_class(name: str) -> Any:
    return getattr(fields, f"Encrypted{TYPES[name].plain.__name__}", None)


def encrypted_field(name: str, **options: Any) -> Any:
    """Return the twin by its own class, or by ``encrypted()`` where there is none."""
    kwargs = {"null": True, "blank": True, **TYPES[name].kwargs}
    twin = encrypted_class(name)
    return twin(**kwargs, **options) if twin else fields.encrypted(TYPES[name].plain(**kwargs), **options)


def plain_field(name: str) -> Any:
    return TYPES[name].plain(**{"null": True, "blank": True, **TYPES[name].kwargs})


def _model(name: str, make_field: Any, **others: Any) -> Any:
    attributes = {field: make_field(field) for field in TYPES} | others
    # Or the checks would ask each database whether it can do JSON, and not every test may reach them all.
    meta = type("Meta", (), {"required_db_features": ["supports_json_field"]})
    attributes |= {"Meta": meta, "__module__": __name__, "__str__": lambda self: f"{name} {self.pk}"}
    return type(name, (models.Model,), attributes)


Everything: Any = _model("Everything", encrypted_field)
Everywhere: Any = _model(
    "Everywhere",
    encrypted_field,
    parent=models.ForeignKey("self", models.CASCADE, null=True, blank=True, related_name="children"),
)
PlainEverything: Any = _model("PlainEverything", plain_field)
EACH_VALUE = [(name, value) for name, spec in TYPES.items() for value in spec.values]
EACH_TYPE = list(TYPES)
EACH_TYPE_AND_ONE_VALUE = [(name, spec.values[-1]) for name, spec in TYPES.items()]
EACH_TYPE_AND_TWO_VALUES = [(name, spec.values[-1], spec.values[0]) for name, spec in TYPES.items()]
__all__ = ["Everything", "Everywhere", "PlainEverything"]


class BadgeManager(models.Manager):
    def get_by_natural_key(self, code: str) -> Any:
        return self.get(code=code)


class Badge(models.Model):
    """Has a natural key, and a number that is encrypted."""

    code = models.CharField(max_length=10, unique=True)
    number = fields.EncryptedIntegerField()

    objects = BadgeManager()

    def __str__(self) -> str:
        return self.code

    def natural_key(self) -> tuple[str]:
        return (self.code,)
