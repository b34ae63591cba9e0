"""References that cannot be proven, made the row's own again once Vault says whose the objects are."""

from contextlib import suppress
from functools import partial

from django.db import router, transaction
from django.db.models import Model

from django_workos_vault.context import KeyContext
from django_workos_vault.exceptions import (
    InvalidVaultConfiguration,
    UntrustedReference,
    VaultConflict,
    VaultNotFound,
    VaultRequestError,
)
from django_workos_vault.fields.object_column import ObjectColumn
from django_workos_vault.fields.object_disposal import delete
from django_workos_vault.fields.object_parts import PartStore
from django_workos_vault.fields.object_state import Unneeded
from django_workos_vault.fields.object_storing import Storing
from django_workos_vault.fields.object_value import StoredObject


def bound_to(stored: StoredObject, instance: Model) -> StoredObject:
    """Return what a fixture brought, bound to its row if it was not and Vault says that it is the field's.

    Raises VaultError when Vault cannot say.
    """
    if stored.reference.unreadable:
        return stored
    try:
        context = stored.place(instance)
    except InvalidVaultConfiguration:
        return stored  # what chooses the key context comes later in the fixture
    try:
        stored.prove(instance)
    except UntrustedReference:
        with suppress(UntrustedReference, VaultNotFound, VaultRequestError):  # reading it says what is wrong
            return _signed_anew(stored, instance, context)
    return stored


def adopt(field: ObjectColumn, instance: Model, key_context: dict[str, str] | None = None) -> bool:
    """See ``object_history.adopt_object``."""
    stored = field.stored_in(instance)
    if stored is None:
        return False
    if stored.reference.unreadable:
        raise UntrustedReference(f"The column of {field} holds no reference to an object in Vault.")
    context = field.context_for(instance)
    former = context if key_context is None else KeyContext(key_context)
    using = router.db_for_write(type(instance), instance=instance)
    if former == context:
        adopted = _signed_anew(stored, instance, context)
    else:
        found = field.vault.backend.read_object(stored.reference.id)
        field.scheme.check_answer(stored.reference.id, found, former)
        was = StoredObject(stored.reference, field)
        was.take(PartStore(field).whole(found) if was.reference.split else found)
        adopted = Storing(field, instance).create(was.open())
    rows = field.model._base_manager.using(using).filter(pk=instance.pk)
    if not rows.filter(**{field.attname: stored.reference}).update(**{field.attname: adopted.reference}):
        raise VaultConflict(f"The row of {field} was changed meanwhile. Load it again.")
    instance.__dict__[field.attname] = adopted
    adopted.written_for = None
    if former != context:
        held = stored.reference
        unneeded = Unneeded(field, held.id, former, split=held.split)
        transaction.on_commit(partial(delete, unneeded), using=using)
    return True


def _signed_anew(stored: StoredObject, instance: Model, context: KeyContext) -> StoredObject:
    field, reference = stored.field, stored.reference
    scheme = field.scheme
    scheme.check_answer(reference.id, field.vault.backend.describe_object(reference.id), context)
    row = scheme.row_of(instance)
    return StoredObject(scheme.signer(row, context)(reference), field, row)
