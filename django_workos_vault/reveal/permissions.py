"""The permissions to see values, made by ``migrate`` for each model with encrypted fields.

They are rows beside Django's own and no part of a model's ``Meta``, so no migration of a project changes.
"""

from typing import Any

from django.apps import AppConfig, apps
from django.contrib.auth import get_permission_codename
from django.db import router
from django.db.models import Model

from django_workos_vault.fields.vault_field import VaultField
from django_workos_vault.files.fields import EncryptedFileField

REVEAL, MATCH, EXPORT = "view_plaintext", "match_plaintext", "export_plaintext"
#: The permission's name of each, for Django's own list of permissions.
_NAMES = {
    REVEAL: "Can view encrypted values of {}",
    MATCH: "Can compare encrypted values of {}",
    EXPORT: "Can export encrypted values of {}",
}
_LONGEST = 255  # of a permission's name


def has_values(model: type[Model]) -> bool:
    """Whether a model has encrypted fields, files included."""
    return any(isinstance(field, VaultField | EncryptedFileField) for field in model._meta.concrete_fields)


def allowed(user: Any, permission: str, opts: Any) -> bool:
    """Whether ``user`` has one of the three permissions for the model of ``opts``."""
    return bool(user.has_perm(f"{opts.app_label}.{get_permission_codename(permission, opts)}"))


def create_permissions(sender: AppConfig, using: str = "default", apps: Any = apps, **kwargs: Any) -> None:
    """Make the permissions of one app's models that are not there yet. Called after ``migrate``."""
    try:
        permissions = apps.get_model("auth", "Permission")
        content_types = apps.get_model("contenttypes", "ContentType")
    except LookupError:
        return
    models = [model for model in sender.get_models() if has_values(model)]
    if not models or not router.allow_migrate_model(using, permissions):
        return
    for model in models:
        content_type, _ = content_types.objects.using(using).get_or_create(
            app_label=model._meta.app_label, model=model._meta.model_name
        )
        for permission, name in _NAMES.items():
            permissions.objects.using(using).get_or_create(
                content_type=content_type,
                codename=get_permission_codename(permission, model._meta),
                defaults={"name": name.format(model._meta.verbose_name_raw)[:_LONGEST]},
            )
