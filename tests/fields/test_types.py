"""Every encrypted type against the Django field that it is the twin of."""

import datetime as dt
import warnings
from decimal import Decimal
from typing import Any

import pytest
from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db import DataError, connection, models, transaction
from django.db.migrations.writer import MigrationWriter
from django.test import override_settings
from django.utils import timezone

from django_workos_vault import masks
from django_workos_vault.exceptions import MalformedEnvelope
from django_workos_vault.fields import (
    EncryptedCharField,
    EncryptedDateTimeField,
    EncryptedDecimalField,
    EncryptedIntegerField,
    EncryptedTextField,
    encrypted,
    encrypted_twin,
)
from django_workos_vault.fields.encodings import Text
from tests.app.everything import (
    EACH_TYPE,
    EACH_TYPE_AND_ONE_VALUE,
    EACH_VALUE,
    TYPES,
    Everything,
    PlainEverything,
    encrypted_field,
    plain_field,
)

pytestmark = pytest.mark.django_db

#: Types of which any bytes are a value.
HOLD_ANY_BYTES = {"binary"}


def cell(instance: Any, name: str) -> bytes:
    column = connection.ops.quote_name(name)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {column} FROM app_everything WHERE id = %s", [instance.pk])
        return bytes(cursor.fetchone()[0])


def meta_field(name: str) -> Any:
    return Everything._meta.get_field(name)


def standing_alone(field: Any) -> Any:
    """A field with a name and a model that does not know of it."""
    field.model = Everything
    field.set_attributes_from_name("alone")
    return field


@pytest.mark.parametrize(("name", "value"), EACH_VALUE)
def test_a_value_comes_back_as_the_plain_field_gives_it(name: str, value: Any) -> None:
    """What is saved is read back, of the same type as from a plain column; False and "" are no NULL."""
    Everything.objects.create(**{name: value})
    PlainEverything.objects.create(**{name: value})
    loaded, plain = getattr(Everything.objects.get(), name), getattr(PlainEverything.objects.get(), name)
    assert loaded == value
    assert loaded == (bytes(plain) if name == "binary" else plain)
    if name != "binary":
        assert type(loaded) is type(plain)
    assert not Everything.objects.filter(**{f"{name}__isnull": True}).exists()


@pytest.mark.parametrize("name", EACH_TYPE)
def test_none_is_null(name: str) -> None:
    """Only None is NULL."""
    Everything.objects.create(**{name: None})
    assert getattr(Everything.objects.get(**{name: None}), name) is None


@pytest.mark.parametrize(
    "name", [n for n in EACH_TYPE if not meta_field(n).encoding.varies_in_length or meta_field(n).choices]
)
def test_cells_of_one_type_have_one_length(name: str) -> None:
    """Length tells nothing about a value of a type with a width, nor about a choice."""
    lengths = {len(cell(Everything.objects.create(**{name: value}), name)) for value in TYPES[name].values}
    assert len(lengths) == 1


def test_types_with_a_fixed_width() -> None:
    """The types that promise one length are those that the design names."""
    assert {n for n in EACH_TYPE if not meta_field(n).encoding.varies_in_length} == {
        *("integer", "big", "small", "positive", "positive_big", "positive_small"),
        *("float", "decimal", "boolean", "date", "datetime", "time", "duration", "uuid", "ip"),
    }


def test_padded_text_has_the_length_of_its_block() -> None:
    """pad_to rounds the plaintext's length up."""
    field = standing_alone(EncryptedTextField(pad_to=64))
    assert len({len(field.sealed(text).cell) for text in ("", "a", "a" * 63)}) == 1
    assert len(field.sealed("a" * 64).cell) - len(field.sealed("a" * 63).cell) == 64
    assert field.open_cell(field.sealed("text\x80\x00").cell) == "text\x80\x00"


@pytest.mark.parametrize("name", EACH_TYPE)
def test_forms_and_widgets_are_those_of_the_plain_field(name: str) -> None:
    """The form field, its widget, and the admin's are what Django chooses for the plain field."""
    site = admin.ModelAdmin(Everything, admin.site)
    ours, theirs = encrypted_field(name), plain_field(name)
    ours.set_attributes_from_name(name), theirs.set_attributes_from_name(name)
    options = {"assume_scheme": "https"} if name == "url" else {}
    assert isinstance(ours.formfield(**options), type(theirs.formfield(**options)))
    assert isinstance(ours.formfield(**options).widget, type(theirs.formfield(**options).widget))
    assert [type(v) for v in ours.validators] == [type(v) for v in theirs.validators]
    in_admin = [site.formfield_for_dbfield(field, None, **options) for field in (ours, theirs)]
    assert isinstance(in_admin[0].widget, type(in_admin[1].widget))


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("char", "x" * 41),
        ("email", "not an address"),
        ("url", "not a url"),
        ("slug", "not a slug"),
        ("integer", "x"),
        ("big", 2**63),
        ("small", 2**63),
        ("positive", -1),
        ("positive_big", -1),
        ("positive_small", -1),
        ("float", "x"),
        ("decimal", Decimal("123456.1")),
        ("boolean", "x"),
        ("date", "2026-02-30"),
        ("datetime", "x"),
        ("time", "25:00"),
        ("duration", "x"),
        ("uuid", "x"),
        ("ip", "300.1.1.1"),
        ("json", object()),
        ("colour", "green"),
    ],
)
def test_validation_is_that_of_the_plain_field(name: str, wrong: Any) -> None:
    """full_clean() refuses what it refuses on the plain model, with the same message, but quotes no value."""
    messages = []
    for model in (Everything, PlainEverything):
        with pytest.raises(ValidationError) as caught:
            model(**{name: wrong}).full_clean()
        messages.append(caught.value.message_dict[name])
    assert messages[0] == [message.replace(str(wrong), masks.FULL) for message in messages[1]]


@pytest.mark.parametrize(
    ("name", "wrong", "error"),
    [
        ("integer", 2**63, DataError),
        ("positive", -1, DataError),
        ("integer", "secret", ValueError),
        ("float", "secret", ValueError),
        ("decimal", Decimal("123456.1"), DataError),
        ("decimal", Decimal("NaN"), (DataError, ValidationError)),
        ("date", "secret", ValidationError),
        ("datetime", "secret", ValidationError),
        ("uuid", "secret", ValidationError),
        ("ip", "secret", ValueError),
        ("json", {"secret"}, TypeError),
        ("binary", "secret", TypeError),
        ("char", "secret\ud800", ValueError),
        ("time", dt.time(1, tzinfo=dt.UTC), ValueError),
    ],
)
def test_values_that_cannot_be_stored_are_refused_unquoted(name: str, wrong: Any, error: Any) -> None:
    """A value outside of the column's range or type is one clear error before the database, without it."""
    with pytest.raises(error, match=f"Everything.{name} cannot hold this") as caught, transaction.atomic():
        Everything.objects.create(**{name: wrong})
    assert "secret" not in repr(caught.value)
    assert caught.value.__context__ is None
    assert not Everything.objects.exists()


@pytest.mark.parametrize("name", [n for n in EACH_TYPE if n not in HOLD_ANY_BYTES])
def test_a_plaintext_of_another_type_is_a_malformed_cell(name: str) -> None:
    """A cell that opens to no value of the type is an error that quotes nothing."""
    row = Everything.objects.create(**{name: TYPES[name].values[0]})
    sealed = meta_field(name).seal_plaintext(b"a secret text\xff")
    Everything.objects.filter(pk=row.pk).update(**{name: None})
    with connection.cursor() as cursor:
        quoted = connection.ops.quote_name(name)
        cursor.execute(f"UPDATE app_everything SET {quoted} = %s", [connection.Database.Binary(sealed)])
    with pytest.raises(MalformedEnvelope) as caught:
        getattr(Everything.objects.get(), name)
    assert "secret" not in repr(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize(("name", "value"), EACH_TYPE_AND_ONE_VALUE)
def test_deconstruction_makes_the_same_field_again(name: str, value: Any) -> None:
    """A migration holds the field's arguments, under a path that does not depend on the package's files."""
    field = encrypted_field(name, mask="last4", vault="default")
    field.set_attributes_from_name(name)
    _, path, args, kwargs = field.deconstruct()
    assert path.startswith("django_workos_vault.fields.Encrypted") or path.endswith(".encrypted_twin")
    code, imports = MigrationWriter.serialize(field)
    scope: dict[str, Any] = {}
    exec("\n".join(imports), scope)
    again = eval(code, scope)
    again.set_attributes_from_name(name)
    assert again.deconstruct() == (name, path, args, kwargs)
    assert type(field.clone()) is type(field)


@pytest.mark.parametrize("name", EACH_TYPE)
def test_models_with_every_type_pass_the_checks(name: str) -> None:
    """The declaration is as good as the plain one's."""
    assert meta_field(name).check(databases=["default"]) == []


def test_choices_have_their_display() -> None:
    """get_FOO_display() names the choice."""
    Everything.objects.create(colour="ultramarine")
    assert Everything.objects.get().get_colour_display() == "Ultramarine"


def test_integers_keep_the_range_of_their_column() -> None:
    """The limits are those of the column type that the plain field would have in this database."""
    low, high = connection.ops.integer_field_range("SmallIntegerField")
    Everything.objects.create(small=high)
    for outside in (low - 1, high + 1):
        with pytest.raises(DataError):
            Everything.objects.create(small=outside)
    assert EncryptedIntegerField().formfield().widget.__class__ is forms.NumberInput


def test_decimals_are_rounded_to_their_places() -> None:
    """A decimal comes back with its places, rounded as Django rounds it for SQLite and MySQL."""
    Everything.objects.create(decimal=Decimal("1.23456"))
    assert str(Everything.objects.get().decimal) == "1.235"
    unbounded = standing_alone(EncryptedDecimalField())
    assert unbounded.open_cell(unbounded.sealed(Decimal("1e50")).cell) == Decimal("1e50")


def test_a_naive_datetime_warns_and_is_taken_for_local_time() -> None:
    """With USE_TZ a naive value means the default time zone; the warning does not quote it."""
    naive = dt.datetime(2026, 7, 1, 12)
    with override_settings(USE_TZ=True, TIME_ZONE="Europe/Vienna"):
        with pytest.warns(RuntimeWarning, match="received a naive datetime") as caught:
            Everything.objects.create(datetime=naive)
        assert "2026" not in str(caught[0].message)
        assert Everything.objects.get().datetime == timezone.make_aware(naive)


def test_without_time_zones_datetimes_are_naive() -> None:
    """Without USE_TZ naive values come back as they were, and aware ones are refused."""
    field = standing_alone(EncryptedDateTimeField())
    with override_settings(USE_TZ=True):
        aware_cell = field.sealed(dt.datetime(2026, 7, 1, 12, tzinfo=dt.UTC)).cell
    with override_settings(USE_TZ=False, TIME_ZONE="Europe/Vienna"):
        naive = dt.datetime(2026, 7, 1, 12)
        naive_cell = field.sealed(naive).cell
        assert field.open_cell(naive_cell) == naive
        assert field.open_cell(aware_cell) == dt.datetime(2026, 7, 1, 14)
        with pytest.raises(ValueError, match="cannot hold this datetime"):
            field.sealed(dt.datetime(2026, 7, 1, 12, tzinfo=dt.UTC))
    with override_settings(USE_TZ=True), timezone.override("Asia/Tokyo"):
        expected = timezone.make_aware(naive, timezone.get_default_timezone())
        assert field.open_cell(naive_cell) == expected


def test_only_fields_without_a_meaning_to_the_database_are_adapted() -> None:
    """encrypted() refuses relations, files, automatic fields, and what is encrypted already."""
    for field in (
        models.ForeignKey("auth.User", models.CASCADE),
        models.ManyToManyField("auth.User"),
        models.FileField(),
        models.AutoField(primary_key=True),
        EncryptedCharField(),
    ):
        with pytest.raises(TypeError, match="--explain fields"):
            encrypted(field)


def test_a_postgresql_array_is_adapted() -> None:
    """ArrayField works, base fields with conversions included; its changes in place are saved."""
    with warnings.catch_warnings():
        from django.contrib.postgres.fields import ArrayField
    field = standing_alone(encrypted(ArrayField(ArrayField(models.DateField(null=True), size=2))))
    value = [[dt.date(2026, 1, 1), None], []]
    assert field.open_cell(field.sealed(value).cell) == value
    field = standing_alone(encrypted(ArrayField(models.JSONField())))
    assert field.open_cell(field.sealed([{"a": 1}, 2]).cell) == [{"a": 1}, 2]
    _, path, args, kwargs = field.deconstruct()
    assert path == "django_workos_vault.fields.encrypted_twin"
    assert type(encrypted_twin(*args, **kwargs)) is type(field)


class _Stripped(EncryptedCharField):
    def get_prep_value(self, value: Any) -> Any:
        return super().get_prep_value(value).strip()


class _Upper(models.CharField):  # type: ignore[type-arg]
    def to_python(self, value: Any) -> Any:
        return value.upper()


class _Backwards(Text):
    def encode(self, value: Any) -> bytes:
        return bytes(reversed(super().encode(value)))


class _Reversed(EncryptedTextField):
    encoding = _Backwards()  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("field", "plaintext"),
    [
        (EncryptedCharField(max_length=9), b" ab"),
        (EncryptedTextField(), b" ab"),
        (_Stripped(max_length=9), b"ab"),
        (encrypted(_Upper(max_length=9)), b" AB"),
        (_Reversed(), b"ba "),
    ],
)
def test_a_class_that_prepares_strings_itself_is_asked(field: Any, plaintext: bytes) -> None:
    """The short way for strings is for Django's own classes, which would leave them as they are."""
    assert standing_alone(field).encoded(" ab") == plaintext
