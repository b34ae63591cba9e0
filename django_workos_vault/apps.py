"""The Django app."""

from django.apps import AppConfig


class WorkOSVaultConfig(AppConfig):
    name = "django_workos_vault"
    verbose_name = "WorkOS Vault"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from django_workos_vault import checks, signals  # noqa: F401
