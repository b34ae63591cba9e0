"""Defaults in migrations: a reference to the model's default, never its plaintext."""

from typing import Any

from django.apps import apps
from django.utils.deconstruct import deconstructible


@deconstructible(path="django_workos_vault.fields.DefaultOf")
class DefaultOf:
    """A callable default that looks the value up on the model as it is when the migration runs.

    ``model`` is ``app_label.Model``; ``field`` the field's name. Raises LookupError or FieldDoesNotExist
    when the model or field is gone by then.
    """

    def __init__(self, model: str, field: str) -> None:
        self.model = model
        self.field = field

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DefaultOf) and (self.model, self.field) == (other.model, other.field)

    def __hash__(self) -> int:
        return hash((DefaultOf, self.model, self.field))

    def __call__(self) -> Any:
        return apps.get_model(self.model)._meta.get_field(self.field).get_default()
