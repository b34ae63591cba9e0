"""What a model with a :class:`VaultObjectField` gets: ``history()``, and objects that go with their rows."""

from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db.models import Model
from django.db.models.signals import class_prepared, pre_delete

from django_workos_vault.backends.objects import ObjectVersion
from django_workos_vault.fields.object_adoption import adopt
from django_workos_vault.fields.object_column import ObjectColumn, object_fields
from django_workos_vault.fields.object_disposal import delete_with_row


def object_history(instance: Model, field_name: str) -> tuple[ObjectVersion, ...]:
    """Return the versions of one stored value, in Vault's order (newest first); none where it is NULL.

    Also ``row.history("field")``. Vault gives the value of the current version alone. Raises VaultError,
    and FieldDoesNotExist when ``field_name`` is no VaultObjectField.
    """
    return _field(instance, field_name).history_of(instance)


async def aobject_history(instance: Model, field_name: str) -> tuple[ObjectVersion, ...]:
    """:func:`object_history` for async code. Also ``await row.ahistory("field")``."""
    return await _field(instance, field_name).ahistory_of(instance)


def adopt_object(instance: Model, field_name: str, key_context: dict[str, str] | None = None) -> bool:
    """Make a reference that cannot be proven the row's own, if Vault says that the field made its object.

    For rows that you trust: copied by SQL from another database, or after the index root key was lost.
    Where what chooses the key context was changed, ``key_context`` is the former one, and the value is stored
    anew under the present one. Writes the column, and returns whether there was a reference. Raises
    UntrustedReference when the object has another field's name or another key context, and VaultError.
    """
    return adopt(_field(instance, field_name), instance, key_context)


def gives_history(model: type[Model]) -> bool:
    """Whether ``history`` of ``model`` is ours."""
    return getattr(model, "history", None) is object_history


def _field(instance: Model, name: str) -> ObjectColumn:
    for field in object_fields(instance._meta.concrete_fields):
        if field.name == name:
            return field
    raise FieldDoesNotExist(f"{instance._meta.label} has no VaultObjectField {name!r}.")


def _before_deletion(*, sender: type[Model], instance: Model, using: str, **kwargs: Any) -> None:
    # Each table's own fields: with inheritance, the parents' rows are deleted, or kept, on their own.
    for field in object_fields(sender._meta.concrete_model._meta.local_concrete_fields):  # type: ignore[union-attr]
        if (stored := field.stored_in(instance)) is not None:
            delete_with_row(stored, instance, using)


def _prepare(*, sender: type[Model], **kwargs: Any) -> None:
    if not object_fields(sender._meta.concrete_fields):
        return
    for name, method in (("history", object_history), ("ahistory", aobject_history)):
        if not hasattr(sender, name):
            setattr(sender, name, method)
    # A model's own receiver: one for all models would make Django load every row that it deletes.
    pre_delete.connect(_before_deletion, sender=sender)


# Not the field's contribute_to_class(): rows of a proxy are deleted under its name, and no field hears of it.
class_prepared.connect(_prepare)
