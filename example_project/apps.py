"""Names the example project's one app ``clinic``."""

from django.apps import AppConfig


class ClinicConfig(AppConfig):
    """The clinic: its models live beside the settings because the example is nothing but this app."""

    name = "example_project"
    label = "clinic"
    verbose_name = "Clinic"
    default_auto_field = "django.db.models.BigAutoField"
