"""The Django app."""

from django.apps import AppConfig, apps


class WorkOSVaultConfig(AppConfig):
    name = "django_workos_vault"
    verbose_name = "WorkOS Vault"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from django_workos_vault import introductions
        from django_workos_vault.checks import companions, declarations, orderings, setup  # noqa: F401

        introductions.introduce()
        if apps.is_installed("django.contrib.admin"):
            from django_workos_vault.checks import admin  # noqa: F401
