"""What happens before a row is saved: fixtures are sealed, half-moved rows refused."""

from typing import Any

from django.core.exceptions import FieldError
from django.db.models import Model
from django.db.models.signals import pre_save
from django.dispatch import receiver

from django_workos_vault.fields.base import EncryptedFieldMixin
from django_workos_vault.fields.rows import bound_columns
from django_workos_vault.fields.sealed import Sealed


@receiver(pre_save, dispatch_uid="django_workos_vault.refuse_partial_rebinding")
def refuse_partial_rebinding(
    sender: type[Model], instance: Model, raw: bool, update_fields: frozenset[str] | None, **kwargs: Any
) -> None:
    """Refuse ``save(update_fields=...)`` that would move a row from under the cells bound to it."""
    if raw or update_fields is None:
        return
    for field in sender._meta.concrete_fields:
        if not isinstance(field, EncryptedFieldMixin) or field.name in update_fields:
            continue
        saved = [c.name for c in bound_columns(field) if {c.name, c.attname} & update_fields]
        held = instance.__dict__.get(field.attname)
        if saved and type(held) is Sealed and field.row_changed(held, instance):
            raise FieldError(
                f"{field} is bound to {', '.join(saved)}: name it in update_fields too, to seal it anew."
            )


@receiver(pre_save, dispatch_uid="django_workos_vault.load_serialized")
def load_serialized_cells(sender: type[Model], instance: Model, raw: bool, **kwargs: Any) -> None:
    """Seal what a fixture brings: raw saves do not call ``pre_save()`` of fields."""
    if not raw:
        return
    for field in sender._meta.local_concrete_fields:
        if isinstance(field, EncryptedFieldMixin):
            field.load_serialized(instance)
