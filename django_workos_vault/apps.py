"""The Django app."""

from django.apps import AppConfig, apps
from django.db.models.signals import post_migrate, pre_migrate


class WorkOSVaultConfig(AppConfig):
    name = "django_workos_vault"
    verbose_name = "WorkOS Vault"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from django_workos_vault import introductions, shell
        from django_workos_vault.checks import (  # noqa: F401
            companions,
            declarations,
            orderings,
            records,
            renames,
            setup,
        )
        from django_workos_vault.registry.tables import make_tables_first

        pre_migrate.connect(make_tables_first, sender=self)
        introductions.introduce()
        shell.want_justification_in_shells()
        if apps.is_installed("django.contrib.auth"):
            from django_workos_vault.reveal.permissions import create_permissions

            post_migrate.connect(create_permissions, dispatch_uid="django_workos_vault.permissions")
        if apps.is_installed("django.contrib.admin"):
            from django_workos_vault.checks import admin  # noqa: F401
