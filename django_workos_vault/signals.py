"""What happens before a row is saved: fixtures are sealed, half-moved rows refused, compounds renewed."""

from typing import Any

from django.db.models import Model
from django.db.models.signals import pre_save
from django.dispatch import receiver

from django_workos_vault.fields.base import EncryptedFieldMixin
from django_workos_vault.fields.objects import VaultObjectField
from django_workos_vault.fields.rows import refuse_partial_rebinding


@receiver(pre_save, dispatch_uid="django_workos_vault.refuse_partial_rebinding")
def refuse_half_moved_rows(
    instance: Model, raw: bool, update_fields: frozenset[str] | None, **kwargs: Any
) -> None:
    """Refuse ``save(update_fields=...)`` that would move a row from under the cells bound to it."""
    if not raw and update_fields is not None:
        refuse_partial_rebinding(instance, update_fields)


@receiver(pre_save, dispatch_uid="django_workos_vault.renew_compounds")
def renew_compound_indexes(
    sender: type[Model], instance: Model, raw: bool, update_fields: frozenset[str] | None, **kwargs: Any
) -> None:
    """Seal a cell anew when another field of its compound blind index was assigned."""
    if not raw:
        for field in sender._meta.concrete_fields:
            if isinstance(field, EncryptedFieldMixin):
                field.renew_compounds(instance, update_fields)


@receiver(pre_save, dispatch_uid="django_workos_vault.load_serialized")
def load_serialized_cells(sender: type[Model], instance: Model, raw: bool, **kwargs: Any) -> None:
    """Seal what a fixture brings: raw saves do not call ``pre_save()`` of fields."""
    if not raw:
        return
    for field in sender._meta.local_concrete_fields:
        if isinstance(field, EncryptedFieldMixin | VaultObjectField):
            field.load_serialized(instance)
