"""What became of an app's columns, as its migration files tell it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.db.migrations import (
    AddField,
    AlterField,
    CreateModel,
    DeleteModel,
    RemoveField,
    RenameField,
    RenameModel,
)
from django.db.migrations.loader import MigrationLoader

#: A model's name in lower case and a field's name.
Key = tuple[str, str]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Step:
    """One operation of a migration, which is known by its name, and squashed by those that it replaces.

    ``in_database`` is False where it changes Django's state alone.
    """

    migration: tuple[str, str]
    replaces: frozenset[tuple[str, str]]
    operation: Any
    in_database: bool


class ColumnHistory(Generic[T]):
    """Follows each column through an app's operations; subclasses keep what they want to know of it.

    ``columns`` holds that by the names that the column has by now. What a squashed migration left out is not
    known.
    """

    def __init__(self, app_label: str) -> None:
        self.app_label = app_label
        self.model_names: dict[str, str] = {}
        self.columns: dict[Key, T] = {}

    def follow_all(self, loader: MigrationLoader | None = None) -> None:
        """Follow every migration of the app: those on the disk, or in a ``loader`` that has read them."""
        for step in steps(self.app_label, loader or migrations_on_disk()):
            self.follow(step)

    def follow(self, step: Step) -> None:
        """Follow one operation."""
        match operation := step.operation:
            case CreateModel():
                self.model_names[operation.name_lower] = operation.name
                for name, field in operation.fields:
                    self.declared((operation.name_lower, name), field)
            case AddField() | AlterField():
                self.declared((operation.model_name_lower, operation.name), operation.field)
            case RemoveField():
                self._remove((operation.model_name_lower, operation.name), step)
            case DeleteModel():
                for key in [key for key in self.columns if key[0] == operation.name_lower]:
                    self._remove(key, step)
            case RenameField():
                model = operation.model_name_lower
                self._move((model, operation.old_name), (model, operation.new_name))
            case RenameModel():
                self.model_names[operation.new_name_lower] = operation.new_name
                for model, name in list(self.columns):
                    if model == operation.old_name_lower:
                        self._move((model, name), (operation.new_name_lower, name))

    def declared(self, key: Key, field: Any) -> None:
        """The column is created or altered: ``field`` is what it is now."""
        raise NotImplementedError

    def renamed(self, key: Key) -> None:
        """The column has the names ``key`` from now on."""

    def removed(self, key: Key, step: Step) -> None:
        """The column is about to go."""

    def label(self, key: Key) -> str:
        """Return ``app_label.Model.field`` for the names ``key``."""
        model, name = key
        return f"{self.app_label}.{self.model_names.get(model, model)}.{name}"

    def _remove(self, key: Key, step: Step) -> None:
        if key in self.columns:
            self.removed(key, step)
            del self.columns[key]

    def _move(self, old: Key, new: Key) -> None:
        if old in self.columns:
            self.columns[new] = self.columns.pop(old)
            self.renamed(new)


def migrations_on_disk() -> MigrationLoader:
    """Return the migrations of all apps. Reading them takes long where there are many."""
    return MigrationLoader(None, ignore_no_migrations=True)


def steps(app_label: str, loader: MigrationLoader) -> Iterator[Step]:
    """Yield the operations of the app's migrations in the order in which they run."""
    done = set()
    for leaf in loader.graph.leaf_nodes(app_label):
        for node in loader.graph.forwards_plan(leaf):
            if node[0] == app_label and node not in done:
                done.add(node)
                migration = loader.graph.nodes[node]
                replaces = frozenset((app, name) for app, name in migration.replaces)
                for operation, in_database in _flat(migration.operations, True):
                    yield Step(node, replaces, operation, in_database)


def _flat(operations: list[Any], in_database: bool) -> Iterator[tuple[Any, bool]]:
    for operation in operations:
        yield from _flat(getattr(operation, "state_operations", []), False)
        yield operation, in_database
