"""Which labels a field's cells were sealed for in the past, read from the migration files."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from django.db.migrations import AddField, AlterField, CreateModel, RemoveField, RenameField, RenameModel
from django.db.migrations.loader import MigrationLoader

from django_workos_vault.fields.base import EncryptedFieldMixin


def labels_in_migrations(app_label: str) -> dict[tuple[str, str], set[str]]:
    """Return every label that the app's encrypted columns ever sealed for, according to its migrations.

    Keys are the lower-case model name and the field name as they are now. A column counts from the
    migration that encrypted it: a name that it lost while it held plaintext was never sealed for. What a
    squashed migration left out is not known.
    """
    history = _History(app_label)
    for operation in _operations(app_label):
        history.follow(operation)
    return {key: column.labels for key, column in history.columns.items()}


@dataclass(slots=True)
class _Column:
    explicit_label: str | None
    labels: set[str] = field(default_factory=set)


class _History:
    def __init__(self, app_label: str) -> None:
        self._app_label = app_label
        self._model_names: dict[str, str] = {}
        self.columns: dict[tuple[str, str], _Column] = {}

    def follow(self, operation: Any) -> None:
        match operation:
            case CreateModel():
                self._model_names[operation.name_lower] = operation.name
                for name, model_field in operation.fields:
                    self._note(operation.name_lower, name, model_field)
            case AddField() | AlterField():
                self._note(operation.model_name_lower, operation.name, operation.field)
            case RemoveField():
                self.columns.pop((operation.model_name_lower, operation.name), None)
            case RenameField():
                model = operation.model_name_lower
                self._move((model, operation.old_name), (model, operation.new_name))
            case RenameModel():
                self._model_names[operation.new_name_lower] = operation.new_name
                for model, name in list(self.columns):
                    if model == operation.old_name_lower:
                        self._move((model, name), (operation.new_name_lower, name))

    def _note(self, model: str, name: str, model_field: Any) -> None:
        if not isinstance(model_field, EncryptedFieldMixin):
            self.columns.pop((model, name), None)
            return
        column = self.columns.setdefault((model, name), _Column(None))
        column.explicit_label = model_field.explicit_label
        self._label(model, name)

    def _move(self, old: tuple[str, str], new: tuple[str, str]) -> None:
        if old in self.columns:
            self.columns[new] = self.columns.pop(old)
            self._label(*new)

    def _label(self, model: str, name: str) -> None:
        column = self.columns[model, name]
        default = f"{self._app_label}.{self._model_names.get(model, model)}.{name}"
        column.labels.add(column.explicit_label or default)


def _operations(app_label: str) -> Iterator[Any]:
    loader = MigrationLoader(None, ignore_no_migrations=True)
    done = set()
    for leaf in loader.graph.leaf_nodes(app_label):
        for node in loader.graph.forwards_plan(leaf):
            if node[0] == app_label and node not in done:
                done.add(node)
                yield from _flat(loader.graph.nodes[node].operations)


def _flat(operations: list[Any]) -> Iterator[Any]:
    for operation in operations:
        yield from _flat(getattr(operation, "state_operations", []))
        yield operation
