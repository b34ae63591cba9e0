"""System checks over settings and models. Ids are documented in docs/checks.md and never reused."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from django.apps import AppConfig, apps
from django.core import checks
from django.db import connections
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import Model
from django.utils.module_loading import import_string

from django_workos_vault import conf, tracebacks
from django_workos_vault.exceptions import InvalidVaultConfiguration
from django_workos_vault.fields.migration_history import Step, migrations_on_disk
from django_workos_vault.fields.unique import names_of_constraints_over
from django_workos_vault.fields.vault_field import VaultField
from django_workos_vault.handler import vaults
from django_workos_vault.maintenance.renames import ColumnLabels, LabelHistory, claims


@checks.register(checks.Tags.security)
def check_vaults(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[checks.CheckMessage]:
    """Every configured vault can be constructed. No request is made."""
    messages: list[checks.CheckMessage] = []
    try:
        aliases = list(vaults)
    except InvalidVaultConfiguration as exc:
        return [checks.Error(str(exc), id="django_workos_vault.E010")]
    for alias in aliases:
        try:
            vaults[alias]
        except InvalidVaultConfiguration as exc:
            messages.append(checks.Error(str(exc), id="django_workos_vault.E010"))
    return messages


@checks.register(checks.Tags.security)
def check_live_key_under_debug(
    app_configs: Sequence[AppConfig] | None, **kwargs: Any
) -> list[checks.CheckMessage]:
    """Debug mode and the keys of real data do not go together."""
    return [
        checks.Warning(
            f"Vault {vault.alias!r} has a live API key (sk_live_...) while DEBUG is on.",
            hint="Use a test key (sk_test_...) for development, and turn DEBUG off where the data are real.",
            id="django_workos_vault.W002",
        )
        for vault in vaults.usable()
        if not conf.in_production() and vault.backend.api_key_environment == "live"
    ]


@checks.register(checks.Tags.security)
def check_client_id(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[checks.CheckMessage]:
    """What a project calls its client id is one: it is sent to browsers, where an API key must not be."""
    given = conf.client_id()
    if given is None or (isinstance(given, str) and re.fullmatch(r"client_[A-Za-z0-9_]+", given)):
        return []
    begins = "begins with sk_, as an API key does" if str(given).startswith("sk_") else "is no client id"
    return [
        checks.Warning(
            f"WORKOS_CLIENT_ID, of the settings or the environment, {begins}.",
            hint="Give it the client id of the WorkOS dashboard, which begins with client_. The API key "
            "belongs into OPTIONS of a vault.",
            id="django_workos_vault.W190",
        )
    ]


@checks.register(checks.Tags.security, deploy=True)
def check_vaults_for_production(
    app_configs: Sequence[AppConfig] | None, **kwargs: Any
) -> list[checks.CheckMessage]:
    """What is good for development alone is not deployed."""
    messages: list[checks.CheckMessage] = []
    for vault in vaults.usable():
        if vault.backend.lacks:
            messages.append(
                checks.Error(
                    f"Vault {vault.alias!r}: {vault.backend.lacks}",
                    hint="Set the environment variable that the settings read it from, where the site runs. "
                    "Commands that need no key, such as collectstatic, run without.",
                    id="django_workos_vault.E190",
                )
            )
        if vault.backend.for_development:
            messages.append(
                checks.Error(
                    f"Vault {vault.alias!r} is a {type(vault.backend).__name__}: whoever reads its "
                    "master key can open everything.",
                    hint="Use WorkOSVault in production. Where this is meant to be, name this check in "
                    "SILENCED_SYSTEM_CHECKS.",
                    id="django_workos_vault.E011",
                )
            )
        if vault.backend.api_key_environment == "test":
            messages.append(
                checks.Warning(
                    f"Vault {vault.alias!r} has a test API key (sk_test_...) in production.",
                    hint="Use the API key of the WorkOS production environment, which begins with sk_live_.",
                    id="django_workos_vault.W001",
                )
            )
    return messages


@checks.register(checks.Tags.security, deploy=True)
def check_error_reports(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[checks.CheckMessage]:
    """Error reports leave out what Django's own frames hold of encrypted fields."""
    path = conf.exception_reporter_filter()
    try:
        filter_class = import_string(path)
    except ImportError:
        filter_class = None  # Django says so in every report
    if not tracebacks.encrypted_names() or (
        isinstance(filter_class, type) and issubclass(filter_class, tracebacks.ExceptionReporterFilter)
    ):
        return []
    return [
        checks.Warning(
            "Django's error reports may show values of encrypted fields: when Vault cannot be reached during "
            "create(), get() or full_clean(), the locals of Django's own frames hold them.",
            hint="Set DEFAULT_EXCEPTION_REPORTER_FILTER to "
            "'django_workos_vault.tracebacks.ExceptionReporterFilter', or to a subclass of it.",
            id="django_workos_vault.W105",
        )
    ]


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
            if isinstance(field, VaultField)
        ]
        if not fields:
            continue
        loader = loader or migrations_on_disk()
        history = LabelHistory(config.label, loader).columns
        for field in fields:
            former = history.get((str(field.model._meta.model_name), field.name), ColumnLabels())
            messages += _check_labels(field, former)
    return messages


def _check_labels(field: VaultField, former: ColumnLabels) -> Iterable[checks.CheckMessage]:
    stranded = former.stranded(field.label, field.previous_labels, field.explicit_label is not None)
    constraints = names_of_constraints_over(field)
    if constraints and field.previous_labels:
        # Not the check of stranded cells as well: its hint would be the opposite.
        yield checks.Error(
            f"{constraints[0]} cannot see that a value sealed under a previous label is taken.",
            hint=_pin_hint(field, former) or _one_label_hint(field, constraints),
            obj=field,
            id="django_workos_vault.E035",
        )
    elif stranded:
        every = (*field.previous_labels, *stranded)
        yield checks.Error(
            f"Cells sealed for {', '.join(stranded)} no longer open as {field.label}.",
            hint=(constraints and _pin_hint(field, former)) or f"Add previous_labels={every!r} to the field.",
            obj=field,
            id="django_workos_vault.E009",
        )


def _pin_hint(field: VaultField, former: ColumnLabels) -> str:
    oldest = former.first if former.labels else field.previous_labels[0]
    if former.stranded(oldest, (), is_pinned=True):
        return ""
    return f"Keep the old name: label={oldest!r}, no previous_labels."


def _one_label_hint(field: VaultField, constraints: list[str]) -> str:
    operation = (
        f"SealForLabel({field.model.__name__!r}, {field.name!r}, {field.label!r}, {field.previous_labels!r})"
    )
    return (
        f"Put models.Index in the place of {', '.join(constraints)} until all cells have one label: add a "
        f"migration with {operation} of django_workos_vault.operations, take previous_labels away, and "
        "declare the constraint again."
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
        if isinstance(field, VaultField)
        for label in claims(field)
    ]
    app_labels = sorted({label.partition(".")[0] for label, _ in claimed} & set(apps.app_configs))
    loader = migrations_on_disk() if app_labels else None
    dropped = [column for label in app_labels for column in LabelHistory(label, loader).dropped]
    pending = _Unapplied(databases) if databases and dropped else None
    return [
        checks.Error(
            f"Migration {'.'.join(column.step.migration)} drops {column.name} with its cells, which {field} "
            f"says are its own by the label {label}.",
            hint=f"In that migration, write RenameField or RenameModel from {column.name} to "
            f"{field.model._meta.label}.{field.name} in the place of the removal and of what adds the new "
            "column: makemigrations does when it is run interactively and told that this is a rename. If the "
            f"cells were copied before, run vault_reencrypt and take {label} away from the field first.",
            obj=field,
            id="django_workos_vault.E070",
        )
        for column in dropped
        for label, field in claimed
        if label in column.labels
        and column.name != f"{field.model._meta.label}.{field.name}"
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
