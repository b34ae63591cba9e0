"""Rows whose primary key the database assigns are bound by an id of their own."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.exceptions import FieldError
from django.db import connection, models, transaction
from django.db.migrations import AddField, AlterField, CreateModel, RunPython
from django.db.models import Count, Q
from django.test.utils import isolate_apps

from django_workos_vault.exceptions import WrongBinding
from django_workos_vault.fields import EncryptedCharField, EncryptedIntegerField
from django_workos_vault.querysets import EncryptedManager
from tests.migrations.test_defaults import Table
from tests.tables import tables

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def note() -> Iterator[Any]:
    with isolate_apps("tests.app"):

        class Note(models.Model):
            clinic = models.IntegerField(default=1)
            row_id = models.UUIDField(default=uuid.uuid4, editable=False)
            text = EncryptedCharField(max_length=20, bind_to=("row_id",))
            number = EncryptedIntegerField(null=True, bind_to=("row_id", "clinic"))

            objects = EncryptedManager()

            class Meta:
                app_label = "app"

        assert [m for m in Note.check() if "vault" in str(m.id)] == []
        with tables(Note):
            yield Note


def swap(model: Any, one: Any, other: Any, *columns: str) -> None:
    """What somebody does who can write the database."""
    quote = connection.ops.quote_name
    table, names = quote(model._meta.db_table), ", ".join(map(quote, columns))
    given = ", ".join(f"{quote(column)} = %s" for column in columns)
    with connection.cursor() as cursor:
        held = {}
        for row in (one, other):
            cursor.execute(f"SELECT {names} FROM {table} WHERE id = %s", [row.pk])
            held[row.pk] = cursor.fetchone()
        for row, source in ((one, other), (other, one)):
            cursor.execute(f"UPDATE {table} SET {given} WHERE id = %s", [*held[source.pk], row.pk])


@pytest.mark.parametrize("way", ["save", "create", "bulk_create", "update", "bulk_update", "update_fields"])
def test_every_way_of_writing_binds(note: Any, way: str) -> None:
    """A row written in any way opens, and its cell does not open in another row."""
    if way == "bulk_create":
        note.objects.bulk_create([note(text="a", number=1), note(text="b", number=2)])
    elif way == "save":
        for text, number in (("a", 1), ("b", 2)):
            note(text=text, number=number).save()
    else:
        for text, number in (("a", 1), ("b", 2)):
            note.objects.create(text=text, number=number)
    if way == "update":
        note.objects.filter(clinic=1).update(text="a")
        note.objects.filter(pk=note.objects.latest("pk").pk).update(text="b")
    one, other = note.objects.order_by("pk")
    if way == "bulk_update":
        one.text, other.text = "a", "b"
        note.objects.bulk_update([one, other], ["text"])
    if way == "update_fields":
        one.text = "a"
        one.save(update_fields=["text"])
    assert [(row.text, row.number) for row in note.objects.order_by("pk")] == [("a", 1), ("b", 2)]
    swap(note, one, other, "text")
    for row in note.objects.order_by("pk"):
        with pytest.raises(WrongBinding):
            _ = row.text
        assert row.number in (1, 2)


def test_what_a_swap_of_the_id_itself_does(note: Any) -> None:
    """The id alone opens nothing; moved with all cells that it binds, only other bound columns tell."""
    one = note.objects.create(text="a", number=1)
    other = note.objects.create(text="b", number=2, clinic=2)
    swap(note, one, other, "row_id")
    with pytest.raises(WrongBinding):
        _ = note.objects.get(pk=one.pk).text
    swap(note, one, other, "text", "number")
    moved = note.objects.get(pk=one.pk)
    assert moved.text == "b"  # not detected: docs/security.md says so
    with pytest.raises(WrongBinding):
        _ = moved.number  # bound to the clinic too


def test_a_row_that_is_copied_gets_an_id_of_its_own(note: Any) -> None:
    """Assigning a new id to a copy seals its cells anew."""
    row = note.objects.create(text="a", number=1)
    copy = note.objects.get()
    copy.pk, copy.row_id = None, uuid.uuid4()
    copy._state.adding = True
    copy.save()
    assert [r.text for r in note.objects.order_by("pk")] == ["a", "a"]
    swap(note, row, copy, "text")
    with pytest.raises(WrongBinding):
        _ = note.objects.get(pk=row.pk).text


def fill(apps: Any, schema_editor: Any) -> None:
    """As docs/rows.md has it."""
    rows = apps.get_model("app", "Folder").objects
    shared = rows.values("row_id").annotate(n=Count("pk")).filter(n__gt=1).values_list("row_id", flat=True)
    for pk in list(rows.filter(Q(row_id=None) | Q(row_id__in=list(shared))).values_list("pk", flat=True)):
        rows.filter(pk=pk).update(row_id=uuid.uuid4())


def text(**options: Any) -> Any:
    return EncryptedCharField(max_length=20, **options)


def test_a_table_that_is_there() -> None:
    """Ids are filled in first, each row with its own; cells from before open until they are sealed anew."""
    table = Table(CreateModel("Folder", [("id", models.AutoField(primary_key=True)), ("text", text())]))
    try:
        for value in "ab":
            table.model.objects.create(text=value)
        row_id = models.UUIDField(default=uuid.uuid4, null=True, editable=False)
        table.run(AddField("Folder", "row_id", row_id))
        table.model.objects.create(text="c", row_id=None)  # by code of the release before
        table.run(RunPython(fill))
        table.run(AlterField("Folder", "row_id", models.UUIDField(default=uuid.uuid4, editable=False)))
        assert len(set(table.model.objects.values_list("row_id", flat=True))) == 3
        table.run(AlterField("Folder", "text", text(bind_to=("row_id",), previous_bind_to=((),))))
        for row in table.model.objects.order_by("pk"):
            row.text = str(row.text) + "!"
            row.save()
        table.run(AlterField("Folder", "text", text(bind_to=("row_id",))))
        one, other, third = table.model.objects.order_by("pk")
        assert (one.text, other.text, third.text) == ("a!", "b!", "c!")
        swap(table.model, one, other, "text")
        with pytest.raises(WrongBinding):
            _ = table.model.objects.get(pk=one.pk).text
    finally:
        table.drop()


def upsert(row: Any, *columns: str) -> None:
    has_target = connection.features.supports_update_conflicts_with_target
    type(row).objects.bulk_create(
        [row],
        update_conflicts=True,
        update_fields=columns,
        unique_fields=["id"] if has_target else None,
    )


def test_two_releases_side_by_side() -> None:
    """One that does not bind yet reads what the next one bound, and moves no row from under such a cell."""
    columns = [
        ("id", models.AutoField(primary_key=True)),
        ("owner", models.CharField(max_length=9, default="a")),
    ]
    row_id = ("row_id", models.UUIDField(default=uuid.uuid4, editable=False))
    binding = ("row_id", "owner")
    between, bound = text(previous_bind_to=(binding,)), text(bind_to=binding, previous_bind_to=((),))
    table = Table(CreateModel("Folder", [*columns, row_id, ("text", bound)]))
    try:
        newer = table.model
        newer.objects.create(text="newer")
        table.run(AlterField("Folder", "text", between))
        table.model.objects.create(text="older")
        assert [row.text for row in table.model.objects.order_by("pk")] == ["newer", "older"]
        assert [row.text for row in newer.objects.order_by("pk")] == ["newer", "older"]
        row = table.model.objects.order_by("pk")[0]
        row.owner = "b"
        with pytest.raises(FieldError, match="write it too"), transaction.atomic():
            row.save(update_fields=["owner"])
        with pytest.raises(FieldError, match="write it too"), transaction.atomic():
            table.model.objects.bulk_update([row], ["owner"])
        with pytest.raises(FieldError, match="depends on its row"), transaction.atomic():
            upsert(table.model(pk=row.pk, row_id=row.row_id, owner="b", text="x"), "owner")
        upsert(table.model(pk=row.pk, row_id=row.row_id, text="newer"), "text")
        row.save()
        assert [row.text for row in newer.objects.order_by("pk")] == ["newer", "older"]
    finally:
        table.drop()
