"""The attribute of a model whose value lives in Vault."""

from typing import Any

from django.db.models import Model
from django.db.models.query_utils import DeferredAttribute

from django_workos_vault.fields.django_internals.frames import caller_moves_values
from django_workos_vault.fields.object_reference import ObjectReference
from django_workos_vault.fields.object_scheme import FieldInVault
from django_workos_vault.fields.object_value import Assigned, StoredObject


class ObjectAttribute(DeferredAttribute):
    """The attribute of a :class:`VaultObjectField`: fetches on reading, keeps the reference otherwise."""

    field: FieldInVault

    def __get__(self, instance: Model | None, owner: Any = None) -> Any:
        if instance is None:
            return self
        attname = self.field.attname
        if attname not in instance.__dict__:
            super().__get__(instance, owner)  # loads a deferred field into __dict__
        held = instance.__dict__[attname]
        if isinstance(held, Assigned):
            return held.value
        if held is None or (caller_moves_values() and not held.has_changed()):
            return held
        return held.open(instance)

    def __set__(self, instance: Model, value: Any) -> None:
        attname = self.field.attname
        held = instance.__dict__.get(attname)
        if isinstance(value, ObjectReference | StoredObject):
            if held is not None and not caller_moves_values():
                raise TypeError(f"{self.field} takes a value, not the reference to one: read it first.")
            stored = value if isinstance(value, StoredObject) else StoredObject(value, self.field)
            instance.__dict__[attname] = stored
            return
        base = held.base if isinstance(held, Assigned) else held
        if base is not None and base.holds(value):
            instance.__dict__[attname] = base  # what is there already makes no new version
        elif value is None and base is None:
            instance.__dict__[attname] = None
        else:
            instance.__dict__[attname] = Assigned(value, base)
