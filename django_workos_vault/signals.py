"""Fixtures: the only place where a serialized cell is taken for a cell."""

from typing import Any

from django.db.models import Model
from django.db.models.signals import pre_save
from django.dispatch import receiver

from django_workos_vault.fields.base import EncryptedFieldMixin


@receiver(pre_save, dispatch_uid="django_workos_vault.load_serialized")
def load_serialized_cells(sender: type[Model], instance: Model, raw: bool, **kwargs: Any) -> None:
    """Seal what a fixture brings: raw saves do not call ``pre_save()`` of fields."""
    if not raw:
        return
    for field in sender._meta.local_concrete_fields:
        if isinstance(field, EncryptedFieldMixin):
            field.load_serialized(instance)
