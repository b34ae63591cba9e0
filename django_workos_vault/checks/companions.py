"""System checks over packages that read every field of a model: what of it they would write down or show.

None of them is needed: each is looked at only where it is installed, and by its public names. The recipes are
in docs/companions.md.
"""

import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from importlib import import_module
from typing import Any

from django.apps import apps
from django.core import checks
from django.db.models import Model

from django_workos_vault import conf
from django_workos_vault.fields.object_field import VaultObjectField
from django_workos_vault.fields.vault_field import VaultField

_RECIPES = (
    "See manage.py vault_check --explain companions. Where it is meant to be, name this check in "
    "SILENCED_SYSTEM_CHECKS."
)


@checks.register(checks.Tags.security)
def check_companions(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    """Check the models of the given apps that have encrypted fields beside each companion."""
    configs = apps.get_app_configs() if app_configs is None else app_configs
    models = [model for config in configs for model in config.get_models()]
    return [
        message
        for found in (_audited, _histories, _ported, _tracked, _versioned)
        for message in found(models)
    ]


def _names(model: type[Model], kind: type = VaultField) -> list[str]:
    return [field.name for field in model._meta.concrete_fields if isinstance(field, kind)]


def _warning(obj: Any, message: str, hint: str, number: str) -> checks.Warning:
    return checks.Warning(message, hint=f"{hint} {_RECIPES}", obj=obj, id=f"django_workos_vault.{number}")


def _audited(models: Iterable[type[Model]]) -> Iterator[checks.CheckMessage]:
    if not apps.is_installed("auditlog"):
        return
    registry = import_module("auditlog.registry").auditlog
    diff = import_module("auditlog.diff")
    for model in models:
        if not registry.contains(model):
            continue
        given = registry.get_model_fields(model)
        logged = [
            name
            for name in _names(model)
            if name not in given["exclude_fields"] and name in (given["include_fields"] or [name])
        ]
        plain = [name for name in logged if name not in given["mask_fields"]]
        if plain:
            message = f"django-auditlog writes old and new plaintext of {', '.join(plain)} to its table."
            hint = f"Register the model with exclude_fields={plain!r}."
            yield _warning(model, message, hint, "W110")
        masked = [name for name in logged if name in given["mask_fields"]]
        if masked and diff.get_mask_function(given["mask_callable"]) is diff.mask_str:
            message = f"django-auditlog writes the second half of {', '.join(masked)} to its table."
            hint = f"Register the model with exclude_fields={masked!r}, or with a mask_callable of your own."
            yield _warning(model, message, hint, "W110")


def _histories(models: Iterable[type[Model]]) -> Iterator[checks.CheckMessage]:
    for model in models:
        attribute = getattr(model._meta, "simple_history_manager_attribute", None)
        if attribute is None:
            continue
        tracked = {field.name for field in getattr(model, attribute).model.tracked_fields}
        copied = [name for name in _names(model, VaultObjectField) if name in tracked]
        if copied:
            message = f"Each entry of the history would store another copy of {', '.join(copied)} in Vault."
            hint = f"Give HistoricalRecords excluded_fields={copied!r}: Vault keeps the versions itself."
            yield _warning(model, message, hint, "W111")


def _ported(models: Iterable[type[Model]]) -> Iterator[checks.CheckMessage]:
    if not (apps.is_installed("import_export") and apps.is_installed("django.contrib.admin")):
        return
    encrypted_field = import_module("django_workos_vault.admin_lookups").encrypted_field
    shows_mask = import_module("django_workos_vault.exports").ShowsMask
    for site in import_module("django.contrib.admin.sites").all_sites:
        for model in models:
            if not site.is_registered(model):
                continue
            model_admin = site.get_model_admin(model)
            shown = {
                name
                for resource in _resources(model_admin)
                for name, column in resource.fields.items()
                if column.attribute
                and encrypted_field(model, column.attribute) is not None
                and not hasattr(resource, f"dehydrate_{name}")
                and not isinstance(column, shows_mask)
            }
            if shown:
                names = ", ".join(sorted(shown))
                message = f"{type(model_admin).__name__} exports plaintext of {names}, and imports show it."
                hint = (
                    "Put django_workos_vault.admin.MaskedAdminMixin in front, name them in Meta.exclude of "
                    "the resource, or mask them in its dehydrate methods."
                )
                yield _warning(type(model_admin), message, hint, "W112")


def _resources(model_admin: Any) -> list[Any]:
    found: list[Any] = []
    for name in ("get_export_resource_classes", "get_import_resource_classes"):
        with suppress(Exception):  # there is no request, and a method of the project's may want one
            found += getattr(model_admin, name)(None)
    return found


def _tracked(models: Iterable[type[Model]]) -> Iterator[checks.CheckMessage]:
    tracker: Any = sys.modules.get("model_utils.tracker")  # loaded, if a model uses it
    for model in models if tracker else ():
        names = {
            name
            for base in model.__mro__
            for value in vars(base).values()
            if isinstance(value, tracker.FieldTracker)
            for name in value.fields or ()
        }
        followed = [name for name in _names(model) if name in names]
        if followed:
            message = (
                f"FieldTracker opens {', '.join(followed)} of every row loaded, and keeps the plaintext."
            )
            hint = "Give FieldTracker the other fields by name: fields=[...]."
            yield _warning(model, message, hint, "W113")


def _versioned(models: Iterable[type[Model]]) -> Iterator[checks.CheckMessage]:
    if not (apps.is_installed("reversion") and conf.dumps_plaintext()):
        return
    registered = set(import_module("reversion").get_registered_models())
    for model in models:
        if model in registered and _names(model):
            message = f"django-reversion writes plaintext to its versions, as {conf.DUMP_PLAINTEXT} is on."
            yield _warning(model, message, "Turn it off: it is meant for single dumps.", "W114")
