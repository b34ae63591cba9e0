"""Defaults in migrations: a reference to the model's default, never its plaintext."""

from typing import Any

from django.apps import apps
from django.core.exceptions import FieldDoesNotExist
from django.db.models import Field

from django_workos_vault.exceptions import InvalidVaultConfiguration
from django_workos_vault.fields.migration_history import ColumnHistory, Key

_HAS_ROWS = "_table_has_rows"
_PATH = "django_workos_vault.fields.DefaultOf"


class AnyName(str):
    """A name in a migration that may have become another one since: equal to every such name."""

    __slots__ = ()

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, AnyName) or str.__eq__(self, other)

    __hash__ = str.__hash__


class DefaultOf:
    """A callable default that looks the value up on the field as it is when the migration runs.

    ``model`` is ``app_label.Model``, ``field`` the field's name, both as they were when the migration was
    written: a field renamed since is found by its labels, or by the renames in the migrations. Gives a
    :class:`GoneDefault` when no field has that default any more.

    All are equal for Django's autodetector: each stands for the constant default of its own column.
    """

    def __init__(self, model: str, field: str) -> None:
        self.model = model
        self.field = field

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        """Return what a migration writes."""
        return _PATH, [AnyName(self.model), AnyName(self.field)], {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DefaultOf) and (self.model, self.field) == (other.model, other.field)

    def __hash__(self) -> int:
        return hash((DefaultOf, self.model, self.field))

    def __call__(self) -> Any:
        for find in (self._by_name, self._by_label, self._by_history):
            field = find()
            if field is not None:
                return field.get_default()
        return GoneDefault(self.model, self.field)

    def _by_name(self) -> Any:
        return _with_default(self.model, self.field)

    def _by_label(self) -> Any:
        label = f"{self.model}.{self.field}"
        for model in apps.get_models():
            for field in model._meta.local_concrete_fields:
                if label in (getattr(field, "explicit_label", None), *getattr(field, "previous_labels", ())):
                    return _with_default(model._meta.label, field.name)
        return None

    def _by_history(self) -> Any:
        app_label = self.model.partition(".")[0]
        history = _DefaultHistory(app_label)
        history.follow_all()
        for (model, name), wanted in history.columns.items():
            if (self.model, self.field) in wanted:
                return _with_default(f"{app_label}.{model}", name)
        return None


class GoneDefault:
    """What :class:`DefaultOf` gives when no field has the default any more. It is never stored."""

    def __init__(self, model: str, field: str) -> None:
        self._label = f"{model}.{field}"

    def refusal(self) -> InvalidVaultConfiguration:
        """Return the error for rows that need the value."""
        return InvalidVaultConfiguration(
            f"A migration takes the default of {self._label}, and no field has it any more, so there is no "
            "value for the rows of the table. In that migration file, put a function of yours that returns "
            f"the value in the place of DefaultOf for {self._label}, or null=True where NULL will do."
        )


class LiteralDefault:
    """A constant default of a field that no model has, as ``deconstruct()`` gives it: nothing may write it.

    ``makemigrations`` meets it when it is told a one-off default. Equal to any constant default.
    """

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LiteralDefault) or (isinstance(other, tuple) and other[:1] == (_PATH,))

    def __repr__(self) -> str:
        return (
            "the default of an encrypted field, which would stand in the migration in clear. Give the field "
            "default= in the model, which migrations look up, or null=True"
        )


class _DefaultHistory(ColumnHistory[set[tuple[str, str]]]):
    """Which constant defaults each column had, by the names in its migrations."""

    def declared(self, key: Key, field: Any) -> None:
        default = field.default
        wanted = self.columns.setdefault(key, set())
        if isinstance(default, DefaultOf):
            wanted.add((default.model, default.field))


def _with_default(model: str, name: str) -> Any:
    try:
        field: Any = apps.get_model(model)._meta.get_field(name)
    except (LookupError, FieldDoesNotExist):
        return None
    # Another field may have the name by now, and one without a default would give an empty value.
    return field if hasattr(field, "holds_cells") and field.has_default() else None


def is_needed_by_no_row(field: Any, value: Any, connection: Any) -> bool:
    """Whether ``value`` is the default of a column that a migration adds to a table without rows.

    Django asks for it then, too. One that is gone by now, needs a row to be sealed for, or a key before there
    is a registry of keys, must not stop a database that begins from nothing.
    """
    if value is None or field.model.__module__ != "__fake__":
        return False
    if type(value) is GoneDefault:
        return not has_rows(field, connection, only_null=True)
    if not getattr(field, _HAS_ROWS, False):  # update() in a loop asks once
        setattr(field, _HAS_ROWS, has_rows(field, connection))
    return not getattr(field, _HAS_ROWS)


def has_rows(field: "Field[Any, Any]", connection: Any, only_null: bool = False) -> bool:
    """Whether the table of ``field``, a field of a migration's model, has rows.

    With ``only_null``, whether it has rows without a value in the column, which may not be there yet.
    """
    table, column = field.model._meta.db_table, str(field.column)
    quote, introspection = connection.ops.quote_name, connection.introspection
    with connection.cursor() as cursor:
        if table.casefold() not in {name.casefold() for name in introspection.table_names(cursor)}:
            return False  # sqlmigrate runs nothing
        there = introspection.get_table_description(cursor, table) if only_null else ()
        is_there = column.casefold() in {info.name.casefold() for info in there}
        condition = f" WHERE {quote(column)} IS NULL" if is_there else ""
        cursor.execute(f"SELECT 1 FROM {quote(table)}{condition} LIMIT 1")  # noqa: S608
        return cursor.fetchone() is not None
