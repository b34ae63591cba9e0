"""Defaults in migrations: looked up, and an error only where a row needs one that is gone."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.exceptions import FieldError
from django.db import connection, models
from django.db.migrations import AddField, AlterField, CreateModel, RemoveField
from django.db.migrations.state import ProjectState

from django_workos_vault.exceptions import InvalidVaultConfiguration
from django_workos_vault.fields import DefaultOf, EncryptedCharField, EncryptedIntegerField, FromRow
from django_workos_vault.fields.defaults import GoneDefault
from django_workos_vault.models import DataKeyRecord
from tests.app.models import Person

pytestmark = pytest.mark.django_db(transaction=True)

FOUND = DefaultOf("app.Person", "notes")
GONE = {
    "model gone": DefaultOf("app.Nobody", "notes"),
    "app gone": DefaultOf("nowhere.Nobody", "notes"),
    "field gone": DefaultOf("app.Person", "never"),
    "default gone": DefaultOf("app.Person", "email"),
    "another kind of field": DefaultOf("app.Person", "name"),
}


class Table:
    """A table that migrations make and change, without a model of its own in the code."""

    def __init__(self, creation: Any = None) -> None:
        self.state = ProjectState()
        fields = [("id", models.AutoField(primary_key=True)), ("n", models.IntegerField())]
        self.run(creation or CreateModel("Folder", fields))

    @property
    def model(self) -> Any:
        return self.state.apps.get_model("app", "Folder")

    def run(self, operation: Any) -> None:
        after = self.state.clone()
        operation.state_forwards("app", after)
        with connection.schema_editor() as editor:
            operation.database_forwards("app", editor, self.state, after)
        self.state = after

    def drop(self) -> None:
        with connection.schema_editor() as editor:
            editor.delete_model(self.model)


@pytest.fixture
def table() -> Iterator[Table]:
    table = Table()
    yield table
    table.drop()


def field(default: Any, **options: Any) -> Any:
    return EncryptedCharField(max_length=50, default=default, **options)


def test_rows_get_the_default(table: Table) -> None:
    """A column is added with the default that the model has."""
    table.model.objects.create(n=1)
    table.run(AddField("Folder", "note", field(FOUND)))
    assert table.model.objects.get().note == Person._meta.get_field("notes").default == "nothing yet"


@pytest.mark.parametrize("null", [False, True])
@pytest.mark.parametrize("gone", GONE)
def test_a_database_that_begins_from_nothing_needs_none(table: Table, gone: str, null: bool) -> None:
    """Migrations run for ever: what the default was does not matter while there are no rows."""
    table.run(AddField("Folder", "note", field(GONE[gone], null=null)))
    table.run(AlterField("Folder", "note", field(GONE[gone], null=not null)))
    table.model.objects.create(n=1, note="given")
    assert table.model.objects.get().note == "given"
    table.run(RemoveField("Folder", "note"))


@pytest.mark.parametrize("null", [False, True])
@pytest.mark.parametrize("gone", GONE)
def test_rows_that_need_a_default_that_is_gone(table: Table, gone: str, null: bool) -> None:
    """Such a row gets neither an empty value nor NULL: the migration stops and says what to do."""
    table.model.objects.create(n=1)
    with pytest.raises(InvalidVaultConfiguration, match="a function of yours"):
        table.run(AddField("Folder", "note", field(GONE[gone], null=null)))
    assert "note" not in {column.name for column in table.model._meta.get_fields()}
    table.run(AddField("Folder", "note", field(given)))  # what the message says
    assert table.model.objects.get().note == "by hand"


def given() -> str:
    return "by hand"


def test_rows_that_have_a_value_need_no_default(table: Table) -> None:
    """A column made NOT NULL needs a default for its NULLs alone."""
    table.run(AddField("Folder", "note", EncryptedCharField(max_length=50, null=True)))
    table.model.objects.create(n=1, note="kept")
    table.run(AlterField("Folder", "note", field(GONE["field gone"])))
    assert table.model.objects.get().note == "kept"


def test_nulls_that_need_a_default_that_is_gone(table: Table) -> None:
    """A column with NULLs is not made NOT NULL without a value for them."""
    table.run(AddField("Folder", "note", EncryptedCharField(max_length=50, null=True)))
    table.model.objects.create(n=1)
    with pytest.raises(InvalidVaultConfiguration):
        table.run(AlterField("Folder", "note", field(GONE["field gone"])))
    table.run(AlterField("Folder", "note", field(FOUND)))
    assert table.model.objects.get().note == "nothing yet"


def test_a_data_migration_does_not_store_what_is_gone(table: Table) -> None:
    """A row made by a historical model without the value is refused, and quotes nothing."""
    table.run(AddField("Folder", "note", field(GONE["field gone"])))
    with pytest.raises(InvalidVaultConfiguration, match=r"app\.Person\.never"):
        table.model.objects.create(n=1)
    assert type(table.model(n=1).note) is GoneDefault


@pytest.mark.parametrize(
    "options",
    [
        {"bind_to": ("n",)},
        {"key_context": {"n": FromRow("n")}},
    ],
)
@pytest.mark.parametrize("default", [FOUND, given])
def test_defaults_of_fields_that_depend_on_their_row(table: Table, default: Any, options: Any) -> None:
    """A default cannot be sealed for rows that nobody reads; without rows that is no reason to stop."""
    table.run(AddField("Folder", "note", field(default, **options)))
    table.model.objects.create(n=1, note="given")
    assert table.model.objects.get().note == "given"


def test_other_types(table: Table) -> None:
    """A number whose default is gone is no text in a number's column."""
    table.run(AddField("Folder", "count", EncryptedIntegerField(default=GONE["model gone"])))
    with pytest.raises(InvalidVaultConfiguration):
        table.model.objects.create(n=1)


def test_an_empty_table_asks_for_no_key(table: Table) -> None:
    """An app may be migrated before the registry of keys has its table, so adding a column makes none."""
    before = DataKeyRecord.objects.count()
    table.run(AddField("Folder", "note", field(FOUND)))
    assert DataKeyRecord.objects.count() == before


@pytest.mark.parametrize("options", [{}, {"bind_to": ("n",)}])
def test_update_in_a_data_migration_never_writes_null(table: Table, options: Any) -> None:
    """Rows that have a value keep it or get the new one, whatever the field depends on."""
    table.run(AddField("Folder", "note", EncryptedCharField(max_length=50, null=True, **options)))
    table.model.objects.update(note="no row")
    table.model.objects.create(n=1, note="before")
    if options:
        with pytest.raises(FieldError):
            table.model.objects.update(note="after")
    else:
        table.model.objects.update(note="after")
    assert table.model.objects.get().note == ("before" if options else "after")
