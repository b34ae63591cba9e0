"""Which labels a column's cells or files were sealed for in the past, and which columns migrations remove."""

from dataclasses import dataclass, field
from typing import Any

from django.db.migrations.loader import MigrationLoader

from django_workos_vault.fields.migration_history import ColumnHistory, Key, Step
from django_workos_vault.fields.vault_field import VaultField
from django_workos_vault.files.fields import EncryptedFileField

#: Fields that seal for a label.
LABELLED = (VaultField, EncryptedFileField)


@dataclass(slots=True)
class ColumnLabels:
    """The labels of one column, oldest first, each with those that its field opened as well at that time."""

    labels: dict[str, set[str]] = field(default_factory=dict)
    explicit_label: str | None = None
    previous_labels: tuple[str, ...] = ()

    @property
    def first(self) -> str:
        """The column's oldest label."""
        return next(iter(self.labels))

    def stranded(self, label: str, previous_labels: tuple[str, ...], is_pinned: bool) -> list[str]:
        """Return the labels whose cells a field with this ``label`` and ``previous_labels`` does not open.

        ``is_pinned`` says that ``label`` was given with ``label=``.
        """
        lost, earlier = [], set()
        for name, opened in self.labels.items():
            # A column pinned to its old label was renamed meanwhile. Nothing was sealed for the new name,
            # unless it was in use: then its field opened the old label too, or check_renames() refused it.
            was_in_use = not (is_pinned and label in earlier and label not in opened)
            if was_in_use and name not in (label, *previous_labels):
                lost.append(name)
            earlier.add(name)
        return lost


@dataclass(frozen=True, slots=True)
class RemovedColumn:
    """An encrypted column that a migration drops from the database, and what its cells are sealed for."""

    name: str
    labels: frozenset[str]
    step: Step


class LabelHistory(ColumnHistory[ColumnLabels]):
    """Every label that an app's encrypted columns ever sealed for, according to its migrations.

    A column counts from the migration that encrypted it: a name that it lost while it held plaintext was
    never sealed for.
    """

    def __init__(self, app_label: str, loader: MigrationLoader | None = None) -> None:
        super().__init__(app_label)
        self.dropped: list[RemovedColumn] = []
        self.follow_all(loader)

    def follow(self, step: Step) -> None:
        super().follow(step)
        only_label = getattr(step.operation, "only_label", None)  # of operations.SealForLabel
        if only_label is not None:
            column = self.columns.get((step.operation.model_name.lower(), step.operation.name))
            if column is not None:
                column.labels = {only_label: set()}

    def declared(self, key: Key, field: Any) -> None:
        if not isinstance(field, LABELLED):
            self.columns.pop(key, None)
            return
        column = self.columns.setdefault(key, ColumnLabels())
        column.explicit_label = field.explicit_label
        column.previous_labels = field.previous_labels
        self.renamed(key)

    def renamed(self, key: Key) -> None:
        column = self.columns[key]
        opened = column.labels.setdefault(column.explicit_label or self.label(key), set())
        opened.update(column.previous_labels)

    def removed(self, key: Key, step: Step) -> None:
        if step.in_database:
            labels = frozenset(self.columns[key].labels)
            self.dropped.append(RemovedColumn(self.label(key), labels, step))
