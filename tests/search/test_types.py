"""Every type with every kind of blind index, written in every way: the column holds no plaintext."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django import forms
from django.core import serializers
from django.core.checks import ERROR
from django.core.exceptions import ValidationError
from django.core.serializers import python as python_serializer
from django.db import connection
from django.db.models import UniqueConstraint, Value

from django_workos_vault import envelope, vaults
from django_workos_vault.exceptions import MalformedEnvelope
from django_workos_vault.fields.unique import LocatedConstraint
from django_workos_vault.indexes import BlindIndex
from tests.search.declared import COLUMNS, MADE_BY, PAIR, all_models, text_of, values_of

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def indexed(django_db_setup: None, django_db_blocker: Any) -> Iterator[dict[str, Any]]:
    """The models, with their tables outside of any test's transaction."""
    with django_db_blocker.unblock(), all_models() as models:
        yield models


def everywhere(value: Any) -> dict[str, Any]:
    return dict.fromkeys(COLUMNS, value)


def only(row: dict[str, Any], pair: bool) -> dict[str, Any]:
    return {column: value for column, value in row.items() if (column in PAIR) == pair}


def by_save(model: Any, name: str, value: Any) -> None:
    row = model.objects.create()
    for column in COLUMNS:
        setattr(row, column, value)
    row.save()


def by_update(model: Any, name: str, value: Any) -> None:
    model.objects.create()
    model.objects.update(**only(everywhere(value), pair=False))
    model.sealed.update(**only(everywhere(value), pair=True))


def by_bulk_update(model: Any, name: str, value: Any) -> None:
    row = model.objects.create()
    for column in COLUMNS:
        setattr(row, column, value)
    model.objects.bulk_update([row], list(only(COLUMNS, pair=False)))
    model.sealed.bulk_update([row], list(PAIR))


def by_get_or_create(model: Any, name: str, value: Any) -> None:
    made = [model.objects.get_or_create(exact=value, defaults=everywhere(value))[1] for _ in range(2)]
    assert made == [True, False]


def by_update_or_create(model: Any, name: str, value: Any) -> None:
    for made in (True, False):
        assert model.objects.update_or_create(several=value, defaults=everywhere(value))[1] is made


def by_fixture(model: Any, name: str, value: Any) -> None:
    fixture_value = value if name == "json" else text_of(name, value)
    fixture = [{"model": "app.indexed", "pk": 1, "fields": everywhere(fixture_value)}]
    for loaded in serializers.deserialize("python", fixture):
        loaded.save()


def by_form(model: Any, name: str, value: Any) -> None:
    form = forms.modelform_factory(model, fields=list(COLUMNS))(everywhere(text_of(name, value)))
    assert form.is_valid(), form.errors
    form.save()


WAYS: dict[str, Callable[[Any, str, Any], Any]] = {
    "save": by_save,
    "create": lambda model, name, value: model.objects.create(**everywhere(value)),
    "bulk_create": lambda model, name, value: model.objects.bulk_create([model(**everywhere(value))]),
    "update": by_update,
    "bulk_update": by_bulk_update,
    "get_or_create": by_get_or_create,
    "update_or_create": by_update_or_create,
    "fixture": by_fixture,
    "form": by_form,
}


def stored(model: Any, *columns: str) -> dict[str, bytes]:
    columns = columns or tuple(COLUMNS)
    names = ", ".join(connection.ops.quote_name(column) for column in columns)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {names} FROM {connection.ops.quote_name(model._meta.db_table)}")
        [row] = cursor.fetchall()
    return dict(zip(columns, map(bytes, row), strict=True))


def plain_forms(model: Any, value: Any) -> set[bytes]:
    """What a leak would show; nothing so short or so regular that a cell may hold it by chance.

    A digest of nine bits is two bytes and zeros, and so is the smallest big integer.
    """
    field = model._meta.get_field("other")
    forms = {field.encoding.encode(field.get_prep_value(value)), str(value).encode(), repr(value).encode()}
    return {form for form in forms if len(form.strip(b"\0")) > 3 and len(set(form)) > 2}


@pytest.mark.filterwarnings("ignore:The default scheme will be changed")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("made_by", MADE_BY)
def test_no_way_of_writing_leaves_plaintext(
    indexed: dict[str, Any], monkeypatch: pytest.MonkeyPatch, made_by: str, way: str
) -> None:
    """What is written comes back equal, is found, and its bytes are nowhere in the column."""
    model, name = indexed[made_by], MADE_BY[made_by][0]
    monkeypatch.setattr(python_serializer, "apps", model._meta.apps)
    for value in values_of(name):
        if way == "form" and value in ("", b"", [], {}):
            continue  # a blank is no value there
        if way == "fixture" and text_of(name, value).startswith("workos-vault-cell:"):
            continue  # which stands for a cell there
        model.objects.all().delete()
        WAYS[way](model, name, value)
        row = model.objects.get()
        for column, cell in stored(model).items():
            parsed = envelope.parse(cell)
            assert len(parsed.digests) == 32 * len(COLUMNS[column]), column
            assert getattr(row, column) == value, column
            assert not [form for form in plain_forms(model, value) if form in cell], column
        for column in ("exact", "few", "folded", "shouted", "several"):
            assert model.objects.filter(**{column: value}).exists(), column
        assert model.objects.filter(pair__pair=[value, value]).exists()


REFUSED = {
    "boolean": {"django_workos_vault.E031"},
    "colour": {"django_workos_vault.E031"},
    "binary": {"django_workos_vault.E060"},
    "json": {"django_workos_vault.E060"},
    "encrypted(slug)": {"django_workos_vault.E003"},  # Django's asks for an index of its own
}


@pytest.mark.parametrize("made_by", MADE_BY)
def test_checks_refuse_what_makes_no_sense(indexed: dict[str, Any], made_by: str) -> None:
    """An index that would reveal its values, or compare texts that are none, is an error; nothing else is."""
    errors = {m.id for f in indexed[made_by]._meta.fields for m in f.check() if m.level >= ERROR}
    assert errors == REFUSED.get(made_by, REFUSED.get(MADE_BY[made_by][0], set()))


DIGEST_LIKE = bytes(range(7, 39))


def test_bytes_searched_for_are_never_a_digest(indexed: dict[str, Any]) -> None:
    """Whoever knows a digest cannot search by it, and bytes of its length are found as the value they are."""
    model = indexed["binary"]
    row = model.objects.create(**everywhere(DIGEST_LIKE))
    digest = envelope.parse(stored(model)["exact"]).digests
    for value, found in ((DIGEST_LIKE, [row]), (digest, [])):
        assert list(model.objects.filter(exact=value)) == found
        assert list(model.objects.filter(exact__in=[value])) == found
        assert list(model.objects.filter(exact=Value(value))) == found
        assert list(model.objects.filter(few=value)) == found
        assert list(model.objects.filter(pair__pair=[value, value])) == found
        assert list(model.objects.filter(exact=memoryview(value))) == found
        assert list(model.objects.filter(exact=bytearray(value))) == found


def test_bytes_are_never_a_digest_in_validation(indexed: dict[str, Any]) -> None:
    """A unique index compares bytes by their digest: in full_clean(), at the field, and in a serializer."""
    model = indexed["binary"]
    model.objects.create(exact=DIGEST_LIKE)
    digest = envelope.parse(stored(model, "exact")["exact"]).digests
    constraint = UniqueConstraint(BlindIndex("exact"), name="unique_bytes")
    model._meta.constraints.append(constraint)
    try:
        with pytest.raises(ValidationError):
            constraint.validate(model, model(exact=DIGEST_LIKE))
        with pytest.raises(ValidationError) as caught:
            LocatedConstraint(model, constraint).validate(model, model(exact=DIGEST_LIKE))
        assert list(caught.value.message_dict) == ["exact"]
        for other in (digest, b"", bytes(32)):
            constraint.validate(model, model(exact=other))
            LocatedConstraint(model, constraint).validate(model, model(exact=other))
    finally:
        model._meta.constraints.remove(constraint)


@pytest.mark.parametrize("digests", [b"x", bytes(31), bytes(33), bytes(32 * 17)])
def test_a_front_that_could_not_be_read_is_never_written(digests: bytes) -> None:
    """Whatever went wrong before: a cell whose digests are not whole is refused, not written."""
    with pytest.raises(MalformedEnvelope):
        vaults["default"].cipher("app.X.y").seal(b"", vaults["default"].key_context, digests=digests)
