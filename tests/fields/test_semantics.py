"""What a user may rely on: each line of the promise, for every type. The plain twin is the oracle."""

import copy
import pickle
from typing import Any

import pytest
from django.core.exceptions import FieldError
from django.db import connection, models, transaction
from django.db.models import Case, Count, Exists, F, OuterRef, Q, Subquery, Value, When
from django.db.models.functions import Cast, Coalesce, Concat, Length, Upper
from django.forms import modelform_factory

from django_workos_vault import vaults
from django_workos_vault.exceptions import EnvelopeError, MalformedEnvelope, WrongBinding
from django_workos_vault.fields.cell import Sealed
from django_workos_vault.fields.fixtures import cell_to_text
from tests.app.everything import (
    EACH_TYPE,
    EACH_TYPE_AND_ONE_VALUE,
    EACH_TYPE_AND_TWO_VALUES,
    Everything,
    PlainEverything,
)

pytestmark = pytest.mark.django_db

one_value = pytest.mark.parametrize(("name", "value"), EACH_TYPE_AND_ONE_VALUE)
two_values = pytest.mark.parametrize(("name", "value", "other"), EACH_TYPE_AND_TWO_VALUES)
each_type = pytest.mark.parametrize("name", EACH_TYPE)


def stored(name: str, pk: Any = None) -> Any:
    """The column's bytes in the only row, or in row ``pk``."""
    rows = Everything.objects.all() if pk is None else Everything.objects.filter(pk=pk)
    with connection.cursor() as cursor:
        column = connection.ops.quote_name(name)
        cursor.execute(f"SELECT {column} FROM app_everything WHERE id = %s", [rows.values("pk").get()["pk"]])
        cell = cursor.fetchone()[0]
        return None if cell is None else bytes(cell)


def store(name: str, cell: bytes) -> None:
    with connection.cursor() as cursor:
        column = connection.ops.quote_name(name)
        cursor.execute(f"UPDATE app_everything SET {column} = %s", [connection.Database.Binary(cell)])


def make(name: str, value: Any) -> Any:
    """A saved row, loaded again."""
    return Everything.objects.get(pk=Everything.objects.create(**{name: value}).pk)


@one_value
def test_saving_an_untouched_row_writes_the_same_bytes(name: str, value: Any) -> None:
    """An untouched field is saved as the same bytes, without decryption or a Vault request."""
    make(name, value)
    before = stored(name)
    vaults.reset()
    with vaults["default"].decryption_forbidden():
        row = Everything.objects.get()
        row.save()
        row.refresh_from_db()
        row.save(update_fields=[name])
    assert stored(name) == before
    assert vaults["default"].backend.requests_made == 0


@one_value
def test_saving_a_row_that_was_only_read_writes_the_same_bytes(name: str, value: Any) -> None:
    """Reading is no change, of values that could be changed in place neither."""
    row = make(name, value)
    before = stored(name)
    assert getattr(row, name) == value
    row.save()
    setattr(row, name, getattr(row, name))
    row.save()
    assert stored(name) == before


@one_value
def test_a_cell_that_cannot_be_opened_is_kept(name: str, value: Any) -> None:
    """The row still loads, lists and saves; reading that attribute raises."""
    make(name, value)
    store(name, b"damaged " * 20)
    [row] = Everything.objects.all()
    with pytest.raises(EnvelopeError):
        getattr(row, name)
    row.full_clean()
    row.refresh_from_db()
    row.save()
    assert stored(name) == b"damaged " * 20


@pytest.mark.parametrize("name", ["char", "text", "json", "binary"])
def test_input_is_never_opened(name: str) -> None:
    """What looks like an envelope or like a fixture's cell is a value like any other when a user types it."""
    field = Everything._meta.get_field(name)
    cell = field.seal_plaintext(b'"secret"')
    as_in_fixture = cell_to_text(cell)
    for typed in (cell, as_in_fixture.encode()) if name == "binary" else (cell.hex(), as_in_fixture):
        assert getattr(make(name, typed), name) == typed
    if name != "binary":
        assert field.to_python(as_in_fixture) == as_in_fixture
        form = modelform_factory(Everything, fields=[name])({name: f'"{as_in_fixture}"'})
        assert form.is_valid() or name == "char"  # too long
        assert "secret" not in str(form.cleaned_data)


@one_value
def test_a_cell_copied_to_another_column_raises(name: str, value: Any) -> None:
    """A cell opens in its own column alone."""
    make(name, value)
    other = "text" if name != "text" else "char"
    store(other, stored(name))
    with pytest.raises(WrongBinding):
        getattr(Everything.objects.get(), other)


@two_values
def test_update_and_bulk_writes(name: str, value: Any, other: Any) -> None:
    """update(), bulk_create() and bulk_update() seal; conflicts are handled in the database."""
    rows = Everything.objects.bulk_create([Everything(**{name: value}), Everything(**{name: None})])
    assert [getattr(row, name) for row in Everything.objects.order_by("pk")] == [value, None]
    Everything.objects.update(**{name: other})
    assert [getattr(row, name) for row in Everything.objects.all()] == [other, other]
    rows = list(Everything.objects.order_by("pk"))
    setattr(rows[0], name, value)
    Everything.objects.bulk_update(rows, [name])
    assert [getattr(row, name) for row in Everything.objects.order_by("pk")] == [value, other]
    again = [Everything(pk=rows[0].pk, **{name: other}), Everything(pk=rows[1].pk, **{name: value})]
    target = {} if connection.vendor == "mysql" else {"unique_fields": ["id"]}
    Everything.objects.bulk_create(again, update_conflicts=True, update_fields=[name], **target)
    assert [getattr(row, name) for row in Everything.objects.order_by("pk")] == [other, value]
    Everything.objects.bulk_create([Everything(pk=rows[0].pk, **{name: value})], ignore_conflicts=True)
    assert getattr(Everything.objects.get(pk=rows[0].pk), name) == other
    Everything.objects.filter(pk=rows[0].pk).update(**{name: None})
    assert Everything.objects.get(**{f"{name}__isnull": True}).pk == rows[0].pk


@two_values
def test_get_or_create_and_update_or_create(name: str, value: Any, other: Any) -> None:
    """Defaults are sealed, on the first call and on the second."""
    row, created = Everything.objects.get_or_create(pk=7, defaults={name: value})
    assert (created, getattr(row, name)) == (True, value)
    row, created = Everything.objects.update_or_create(pk=7, defaults={name: other})
    assert (created, getattr(row, name)) == (False, other)
    assert getattr(Everything.objects.get(), name) == other


@one_value
def test_ways_of_loading(name: str, value: Any) -> None:
    """in_bulk, iterator, only, defer, union, raw and refresh_from_db give the value."""
    pk = make(name, value).pk
    rows = Everything.objects.all()
    table, column = Everything._meta.db_table, connection.ops.quote_name(name)
    for row in (
        rows.in_bulk([pk])[pk],
        next(rows.iterator(chunk_size=1)),
        rows.only(name).get(),
        rows.only("pk").get(),
        rows.defer(name).get(),
        rows.union(rows.filter(pk=0)).get(),
        rows.distinct().get(),
        Everything.objects.raw(f"SELECT id, {column} FROM {table}")[0],
    ):
        assert getattr(row, name) == value
        row.refresh_from_db(fields=[name])
        assert type(row.__dict__[name]) is Sealed
        assert getattr(row, name) == value


@one_value
def test_ways_of_reading_without_instances(name: str, value: Any) -> None:
    """values(), annotations, subqueries and conditional expressions give plaintext."""
    make(name, value)
    rows = Everything.objects.all()
    assert rows.values(name).get() == {name: value}
    assert list(rows.values_list(name, flat=True)) == [value]
    assert rows.values(copied=F(name)).get() == {"copied": value}
    assert rows.annotate(copied=F(name)).get().copied == value
    inner = Everything.objects.filter(pk=OuterRef("pk")).values(name)
    assert rows.annotate(copied=Subquery(inner)).get().copied == value
    assert rows.annotate(copied=Coalesce(name, name)).get().copied == value
    assert rows.annotate(copied=Case(When(pk__gt=0, then=F(name)))).get().copied == value
    assert rows.annotate(found=Exists(inner)).get().found is True
    assert rows.filter(pk__in=Everything.objects.filter(**{f"{name}__isnull": False})).count() == 1
    assert rows.aggregate(n=Count(name)) == {"n": 1}
    assert rows.filter(Q(**{f"{name}__isnull": False})).exists()
    assert rows.filter(**{name: None}).count() == 0
    assert rows.values("pk", name).annotate(n=Count("pk")).get()[name] == value
    assert rows.values("pk", name).distinct().get()[name] == value
    assert rows.values_list(name).union(rows.values_list(name), all=True).count() == 2


@one_value
def test_copies_and_pickles_carry_ciphertext(name: str, value: Any) -> None:
    """copy, deepcopy and pickle of a saved row hold its cell, not its plaintext, and can be saved."""
    row = make(name, value)
    assert getattr(row, name) == value
    before = stored(name)
    for twin in (copy.copy(row), copy.deepcopy(row), pickle.loads(pickle.dumps(row))):
        assert type(twin.__dict__[name]) is Sealed
        assert getattr(twin, name) == value
        twin.save()
        assert stored(name) == before


@pytest.mark.parametrize("name", ["char", "text", "json", "binary", "fraction"])
def test_a_pickle_holds_no_plaintext(name: str) -> None:
    """Whatever was read before, the pickle of a saved row does not contain the value."""
    secret = {"binary": b"4716 2210", "json": ["4716 2210"], "fraction": "471622/10"}.get(name, "4716 2210")
    row = make(name, Everything._meta.get_field(name).to_python(secret))
    getattr(row, name)
    for saved in (row, Everything(**{name: getattr(row, name)})):
        saved.save()
        pickled = pickle.dumps(saved)
        assert b"4716" not in pickled
    assert b"4716" in pickle.dumps(Everything(char="4716 2210"))


@each_type
def test_expressions_into_the_field_are_refused(name: str) -> None:
    """The database cannot encrypt, so no expression may write into the column."""
    make(name, None)
    for expression in (F("text"), F(name), Value("x"), Upper(Value("x")), F("integer") + 1):
        with pytest.raises(FieldError), transaction.atomic():
            Everything.objects.update(**{name: expression})
    for expression in (Value("x"), Upper(Value("x"))):
        with pytest.raises(FieldError), transaction.atomic():
            Everything.objects.create(**{name: expression})
    assert stored(name) is None


@pytest.mark.parametrize(
    "misuse",
    [
        lambda rows, name: rows.annotate(x=Upper(name)),
        lambda rows, name: rows.annotate(x=Length(name)),
        lambda rows, name: rows.annotate(x=Cast(name, models.TextField())),
        lambda rows, name: rows.annotate(
            x=Concat(Cast(name, models.TextField()), Value("x"), output_field=models.TextField())
        ),
        lambda rows, name: rows.annotate(
            x=models.ExpressionWrapper(F(name) + 1, output_field=models.IntegerField())
        ),
        lambda rows, name: rows.annotate(m=models.Max(name)),
        lambda rows, name: rows.values("integer").annotate(m=models.Min(name)),
        lambda rows, name: rows.annotate(n=Count(name, distinct=True)),
        lambda rows, name: rows.values(name).annotate(n=Count("pk")),
        lambda rows, name: rows.values(name).distinct(),
        lambda rows, name: rows.order_by(name),
        lambda rows, name: rows.order_by(F(name).desc()),
        lambda rows, name: rows.annotate(x=F(name)).order_by("-x"),
        lambda rows, name: rows.values_list(name).union(rows.values_list(name)).order_by(name),
        lambda rows, name: rows.filter(pk=F(name)),
        lambda rows, name: rows.filter(pk__in=Everything.objects.values(name)),
        lambda rows, name: rows.filter(**{name: F(name)}),
        lambda rows, name: rows.filter(**{f"{name}__contains": "4716"}),
        lambda rows, name: rows.filter(**{f"{name}__lt": "4716"}),
        lambda rows, name: rows.filter(**{f"{name}__range": ("4716", "4717")}),
        lambda rows, name: rows.filter(**{f"{name}__year": 4716}),
        lambda rows, name: rows.filter(**{name: "4716"}),
        lambda rows, name: rows.exclude(**{f"{name}__in": ["4716"]}),
        lambda rows, name: rows.annotate(x=F(name)).filter(x="4716"),
    ],
)
def test_computing_over_ciphertext_is_refused(misuse: Any) -> None:
    """What would silently compute over ciphertext is a FieldError that names the field, not the value."""
    for name in EACH_TYPE:
        with pytest.raises(FieldError, match=f"Everything.{name}\\b") as caught:
            list(misuse(Everything.objects.all(), name))
        assert "4716" not in str(caught.value)


@each_type
def test_copying_into_a_plain_column_is_refused(name: str) -> None:
    """A plain column must not receive an encrypted one's cells."""
    with pytest.raises(FieldError, match="another column cannot open"), transaction.atomic():
        Everything.objects.update(id=F(name))


@pytest.mark.parametrize(
    ("name", "value", "change"),
    [
        ("json", {"list": [1]}, lambda value: value["list"].append(2)),
        ("json", [], lambda value: value.append({})),
        ("binary", bytearray(b"abc"), lambda value: value.extend(b"d")),
    ],
)
def test_values_changed_in_place_are_saved(name: str, value: Any, change: Any) -> None:
    """As with a plain field: save() writes what the instance holds by then, as often as it changes."""
    for model in (Everything, PlainEverything):
        row = model.objects.create(**{name: copy.deepcopy(value)})
        change(getattr(row, name))
        row.save()
        held = getattr(row, name)
        change(held)
        twins = [copy.deepcopy(row), pickle.loads(pickle.dumps(row))]
        row.save()
        expected = copy.deepcopy(value)
        change(expected), change(expected)
        assert held is getattr(row, name)
        assert [getattr(twin, name) for twin in twins] == [expected, expected]
        found = getattr(model.objects.get(pk=row.pk), name)
        assert (bytes(found) if name == "binary" else found) == expected
    loaded = Everything.objects.get()
    if name != "binary":  # what is loaded is bytes, which cannot be changed
        change(getattr(loaded, name))
        change(expected)
        loaded.full_clean()
        Everything.objects.bulk_update([loaded], [name])
        assert getattr(Everything.objects.get(), name) == expected


@pytest.mark.skipif(connection.vendor != "sqlite", reason="SQLite alone keeps text in a binary column")
@pytest.mark.parametrize("plaintext", ["123-45-6789", 7, 10**15])
def test_what_was_never_sealed_still_loads(plaintext: Any) -> None:
    """A plain column's values, left by a change of field, load and list; reading one names the field."""
    row = make("char", "x")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE app_everything SET char = %s", [plaintext])
    loaded = Everything.objects.get(pk=row.pk)
    with pytest.raises(MalformedEnvelope, match=r"app\.Everything\.char .* before the column was encrypted"):
        loaded.char  # noqa: B018
    loaded.save()
    with connection.cursor() as cursor:
        cursor.execute("SELECT char FROM app_everything")
        assert cursor.fetchone() == (plaintext,)
