"""System checks of what migrations do to encrypted columns: renames that leave cells behind, and removals."""

from collections.abc import Iterable, Sequence
from typing import Any

from django.apps import AppConfig, apps
from django.core import checks
from django.db import connections
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import Model

from django_workos_vault.fields.migration_history import Step, migrations_on_disk
from django_workos_vault.fields.unique import names_of_constraints_over
from django_workos_vault.fields.vault_field import VaultField
from django_workos_vault.files.fields import EncryptedFileField
from django_workos_vault.maintenance.renames import LABELLED, ColumnLabels, LabelHistory


@checks.register(checks.Tags.models)
def check_renames(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[checks.CheckMessage]:
    """No rename in an app's migrations leaves cells behind that the field no longer opens."""
    messages: list[checks.CheckMessage] = []
    loader = None
    for config in app_configs if app_configs is not None else apps.get_app_configs():
        fields = [
            field
            for model in config.get_models()
            for field in model._meta.local_concrete_fields
            if isinstance(field, LABELLED)
        ]
        if not fields:
            continue
        loader = loader or migrations_on_disk()
        history = LabelHistory(config.label, loader).columns
        for field in fields:
            former = history.get((str(field.model._meta.model_name), field.name), ColumnLabels())
            messages += _Labels(field, former).messages()
    return messages


class _Labels:
    """The labels that a field's cells may have, as it is declared and by the migrations behind it."""

    def __init__(self, field: VaultField | EncryptedFileField, former: ColumnLabels) -> None:
        self._field = field
        self._former = former
        self._constraints = names_of_constraints_over(field)

    def messages(self) -> Iterable[checks.CheckMessage]:
        """Yield what is wrong with them."""
        field = self._field
        is_pinned = field.explicit_label is not None
        stranded = self._former.stranded(field.label, field.previous_labels, is_pinned)
        if self._constraints and field.previous_labels:
            # Not the check of stranded cells as well: its hint would be the opposite.
            yield checks.Error(
                f"{self._constraints[0]} cannot see that a value sealed under a previous label is taken.",
                hint=self._pin_hint() or self._one_label_hint(),
                obj=field,
                id="django_workos_vault.E035",
            )
        elif stranded:
            what = "Cells" if isinstance(field, VaultField) else "Files"
            every = (*field.previous_labels, *stranded)
            pin = self._pin_hint() if self._constraints else ""
            yield checks.Error(
                f"{what} sealed for {', '.join(stranded)} no longer open as {field.label}.",
                hint=pin or f"Add previous_labels={every!r} to the field.",
                obj=field,
                id="django_workos_vault.E009",
            )

    def _pin_hint(self) -> str:
        oldest = self._former.first if self._former.labels else self._field.previous_labels[0]
        if self._former.stranded(oldest, (), is_pinned=True):
            return ""
        return f"Keep the old name: label={oldest!r}, no previous_labels."

    def _one_label_hint(self) -> str:
        field = self._field
        arguments = (field.model.__name__, field.name, field.label, field.previous_labels)
        return (
            f"Put models.Index in the place of {', '.join(self._constraints)} until all cells have one "
            f"label: add a migration with SealForLabel{arguments!r} of django_workos_vault.operations, take "
            "previous_labels away, and declare the constraint again."
        )


@checks.register(checks.Tags.models)
def check_removals(
    app_configs: Sequence[AppConfig] | None, databases: Iterable[str] | None = None, **kwargs: Any
) -> list[checks.CheckMessage]:
    """No migration drops an encrypted column that another field says it took over.

    Where databases may be asked, as ``migrate`` does, only migrations that are still to run count.
    """
    claimed = [
        (label, field)
        for model in _models(app_configs)
        for field in model._meta.local_concrete_fields
        if isinstance(field, LABELLED)
        for label in (field.explicit_label, *field.previous_labels)
        if label is not None
    ]
    app_labels = sorted({label.partition(".")[0] for label, _ in claimed} & set(apps.app_configs))
    loader = migrations_on_disk() if app_labels else None
    dropped = [column for label in app_labels for column in LabelHistory(label, loader).dropped]
    pending = _Unapplied(databases) if databases and dropped else None
    return [
        checks.Error(
            f"Migration {'.'.join(column.step.migration)} drops {column.name} with its "
            f"{'cells' if isinstance(field, VaultField) else 'names of files'}, which {field} "
            f"says are its own by the label {label}.",
            hint=f"In that migration, write RenameField or RenameModel from {column.name} to "
            f"{field} in the place of the removal and of what adds the new "
            "column: makemigrations does when it is run interactively and told that this is a rename. If "
            f"they were copied before, run vault_reencrypt and take {label} away from the field first.",
            obj=field,
            id="django_workos_vault.E070",
        )
        for column in dropped
        for label, field in claimed
        if label in column.labels
        and column.name != str(field)
        and (pending is None or column.step in pending)
    ]


class _Unapplied:
    """Migrations that some database has yet to run."""

    def __init__(self, databases: Iterable[str]) -> None:
        self._applied = [MigrationRecorder(connections[alias]).applied_migrations() for alias in databases]

    def __contains__(self, step: Step) -> bool:
        return any(
            step.migration not in applied and not (step.replaces and step.replaces <= applied.keys())
            for applied in self._applied
        )


def _models(app_configs: Sequence[AppConfig] | None) -> Iterable[type[Model]]:
    for config in app_configs if app_configs is not None else apps.get_app_configs():
        yield from config.get_models()
