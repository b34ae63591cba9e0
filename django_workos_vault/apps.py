"""The Django app."""

from django.apps import AppConfig, apps


class WorkOSVaultConfig(AppConfig):
    name = "django_workos_vault"
    verbose_name = "WorkOS Vault"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from django_workos_vault import (  # noqa: F401
            checks,
            companion_checks,
            declaration_checks,
            introductions,
            ordering_checks,
        )

        introductions.introduce()
        if apps.is_installed("django.contrib.admin"):
            from django_workos_vault import admin_checks  # noqa: F401
