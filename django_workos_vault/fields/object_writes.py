"""The order in which Vault and the database are written, so that a fault between two steps loses nothing.

1. A new value is stored in Vault before the row is written: no row refers to an object that is not there.
   A rollback leaves an object that no row refers to. Its name begins with the field's label, so it is found.
2. Inside a transaction, an update first takes the row's lock, then keeps the row's value beside the object
   (``name_of_copy``), then updates the object with ``version_check``. A rollback leaves a row whose version
   is older than the object's: it is read from what was kept.
3. An object is updated or deleted only if the row's reference is proven, and Vault's answer proves it again
   (``object_proof``). Any other is left alone, and the row gets an object of its own.
4. Whatever the row no longer needs is deleted after the commit: the object of a deleted row or of one set to
   NULL, and what was kept for a rollback. A fault there leaves an object that nobody needs, which is found.
"""

import logging
from functools import partial
from typing import Any
from uuid import uuid4

from django.db import connections, router, transaction
from django.db.models import Model

from django_workos_vault.backends.objects import ObjectMetadata
from django_workos_vault.context import KeyContext
from django_workos_vault.exceptions import (
    EnvelopeError,
    InvalidVaultConfiguration,
    UntrustedReference,
    VaultConflict,
    VaultError,
    VaultNotFound,
    VaultRequestError,
    VaultUnavailable,
)
from django_workos_vault.fields.object_column import ObjectColumn
from django_workos_vault.fields.object_proof import Sign, check_answer, row_identity, signer
from django_workos_vault.fields.object_reference import ObjectReference, name_of_copy
from django_workos_vault.fields.object_value import Assigned, StoredObject
from django_workos_vault.fields.vault_field import VaultField
from django_workos_vault.frame_locals import leaves_no_locals

logger = logging.getLogger(__name__)

_USING = "workos_vault_using"
_UNNEEDED = "workos_vault_unneeded"

_Unneeded = tuple[VaultField, str, KeyContext, bool]


class KeepStored:
    """In an UPDATE: the column stays as it is, whatever another writer has put there meanwhile."""

    def __init__(self, column: str | None) -> None:
        self._column = column

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, list[Any]]:
        return connection.ops.quote_name(self._column), []


@leaves_no_locals
def write(field: ObjectColumn, instance: Model, add: bool) -> StoredObject | KeepStored | None:
    """Store in Vault what ``instance`` holds for ``field``, and return what to write into the column.

    Raises VaultConflict when another writer was faster, and any other VaultError when Vault does not take
    it; nothing has been written to the row then.
    """
    held = instance.__dict__.get(field.attname)
    if isinstance(held, StoredObject):
        if add:
            return _for_insert(field, instance, held)
        if held.has_changed():
            held = Assigned(held.open(instance), held)
        elif held.written_for is not None:
            there, in_row = _reference_in_row(field, instance)
            if not there or in_row == held.reference:
                return held
            held = Assigned(held.open(instance), held.replaced)  # its transaction was rolled back
        elif field.row_changed(held, instance):
            try:
                held = Assigned(held.open(instance), held)
            except UntrustedReference:
                return KeepStored(field.column)  # nothing of this row's is there to be taken along
        else:
            return KeepStored(field.column)
    if held is None:
        return None
    stored = _store(field, instance, held, add)
    instance.__dict__[field.attname] = stored
    return stored


def note_database(instance: Model, using: str) -> None:
    """Remember where ``instance`` is about to be saved."""
    setattr(instance._state, _USING, using)
    setattr(instance._state, _UNNEEDED, [])


def after_save(field: ObjectColumn, instance: Model, using: str) -> None:
    """Arrange for what is to be done when the row just written has been committed."""
    noted: list[_Unneeded] = getattr(instance._state, _UNNEEDED, [])
    unneeded = [one for one in noted if one[0] is field]
    noted[:] = [one for one in noted if one[0] is not field]
    stored = instance.__dict__.get(field.attname)
    fresh = stored if isinstance(stored, StoredObject) and stored.written_for is not None else None
    if fresh is not None:
        bind(fresh, instance, using)
    if not (unneeded or fresh):
        return

    def committed() -> None:
        if fresh is not None:
            fresh.written_for = fresh.replaced = None
        for one in unneeded:
            delete(*one)

    transaction.on_commit(committed, using=using)


def bind(stored: StoredObject, instance: Model, using: str) -> None:
    """Bind a reference that was written without its row's primary key to the row, now that this is known."""
    field = stored.field
    row = field.scheme.row_of(instance)
    if instance.__dict__.get(field.attname) is not stored or row_identity(field, stored.row) is not None:
        return
    if row_identity(field, row) is not None:
        bound = signer(field, row, stored.place(instance))(
            stored.reference.id, stored.reference.version, stored.reference.structured
        )
        rows = field.model._base_manager.using(using).filter(pk=instance.pk)
        rows.filter(**{field.attname: stored.reference}).update(**{field.attname: bound})
        stored.reference, stored.row = bound, row


def after_deletion(field: ObjectColumn, instance: Model, using: str) -> None:
    """Delete the object of a row that is about to be deleted, once that has been committed.

    Without ``version_check``: the row is gone, so no version of its object is wanted. Nothing that is wrong
    with the reference, or with Vault, keeps the row.
    """
    stored = field.stored_in(instance)
    if stored is None:
        return
    try:
        stored.place(instance)  # as long as the rows are there that tell it
    except InvalidVaultConfiguration as exc:
        _not_deleted(field, stored.reference, exc)
    else:
        transaction.on_commit(partial(_delete_proven, stored), using=using)


def _delete_proven(stored: StoredObject) -> None:
    try:
        context = stored.prove()
    except (EnvelopeError, InvalidVaultConfiguration, VaultError) as exc:
        _not_deleted(stored.field, stored.reference, exc)
    else:
        delete(stored.field, stored.reference.id, context)


def _for_insert(field: ObjectColumn, instance: Model, held: StoredObject) -> StoredObject:
    if held.written_for == _state(instance) and not held.has_changed():
        return held  # Django asks more than once for the value of one INSERT
    # A copy of a row gets an object of its own: deleting one row must not take the other's value.
    stored = create(field, instance, held.open(instance))
    instance.__dict__[field.attname] = stored
    return stored


def _store(field: ObjectColumn, instance: Model, assigned: Assigned, add: bool) -> StoredObject | None:
    base, value = assigned.base, assigned.value
    if add:
        return None if value is None else create(field, instance, value)
    there, in_row = _reference_in_row(field, instance)
    if there and in_row != (base and base.reference):
        raise _conflict(field)
    if base is None:
        return None if value is None else create(field, instance, value)
    text, structured = ("", None) if value is None else field.encoded(value)
    ours = there and _is_ours(base, instance)
    if ours and structured is base.reference.structured and not field.row_changed(base, instance):
        try:
            return _update(field, instance, value, text, base)
        except UntrustedReference as exc:
            _left_alone(field, base, exc)
            ours = False
        except (VaultNotFound, VaultRequestError):
            if not _is_gone(field, base):
                raise
            ours = False  # something deleted the object: the row gets another
    if ours:
        _not_needed_after_commit(instance, field, base.reference.id, base.prove(instance))
    return None if value is None else create(field, instance, value, base)


def _is_ours(base: StoredObject, instance: Model) -> bool:
    try:
        base.prove(instance)
    except (UntrustedReference, InvalidVaultConfiguration) as exc:
        _left_alone(base.field, base, exc)
        return False
    return True


def create(
    field: ObjectColumn, instance: Model, value: Any, replaced: StoredObject | None = None
) -> StoredObject:
    """Store ``value`` as an object of its own for the row of ``instance``."""
    text, structured = field.encoded(value)
    context = field.context_for(instance)
    field.vault.declared.check(context)
    sign = signer(field, field.scheme.row_of(instance), context)  # first, as it may ask Vault for its key
    name = f"{field.label}/{uuid4().hex}"
    metadata = field.vault.backend.create_object(name, text, context.items)
    stored = _stored(field, instance, value, text, metadata, structured, sign)
    stored.replaced = replaced
    if row_identity(field, stored.row) is None:
        # bulk_create() sends no signal; by its commit the database may have told the primary key.
        using = _using(instance)
        if connections[using].in_atomic_block:
            transaction.on_commit(partial(bind, stored, instance, using), using=using)
    return stored


def _update(field: ObjectColumn, instance: Model, value: Any, text: str, base: StoredObject) -> StoredObject:
    context = base.prove(instance)
    sign = signer(field, field.scheme.row_of(instance), context)
    in_transaction = connections[_using(instance)].in_atomic_block
    try:
        if in_transaction:
            expected = _keep_for_rollback(field, instance, base, context)
        else:
            described = field.vault.backend.describe_object(base.reference.id)
            check_answer(field, base.reference.id, described, context)
            expected = base.seen
        updated = field.vault.backend.update_object(base.reference.id, text, version_check=expected)
    except VaultConflict as exc:
        raise _conflict(field) from exc
    stored = _stored(field, instance, value, text, updated.metadata, base.reference.structured, sign)
    stored.replaced = base
    if not in_transaction:
        base.seen = stored.reference.version  # for another attempt, should the row not be written
    return stored


def _keep_for_rollback(field: ObjectColumn, instance: Model, base: StoredObject, context: KeyContext) -> str:
    """Keep the row's value beside the object; return the version that the object has now."""
    backend = field.vault.backend
    current = backend.read_object(base.reference.id)
    check_answer(field, base.reference.id, current, context)
    name = name_of_copy(current.name, base.reference.version)
    version = current.metadata.version_id or _current_version(field, current.id)
    if version == base.seen:
        try:
            copy_id = backend.create_object(name, current.value, current.metadata.context).id
        except VaultConflict:
            copy_id = backend.read_object_by_name(name).id
    else:
        # Its writer held the row's lock, as we do now, and the row did not change: it was rolled back.
        try:
            copy_id = backend.read_object_by_name(name).id
        except VaultNotFound:
            raise VaultConflict("The object changed since this version.") from None
    _not_needed_after_commit(instance, field, copy_id, context, is_copy=True)
    return version


def _stored(
    field: ObjectColumn,
    instance: Model,
    value: Any,
    text: str,
    metadata: ObjectMetadata,
    structured: bool,
    sign: Sign,
) -> StoredObject:
    version = metadata.version_id or _current_version(field, metadata.id)
    stored = StoredObject(sign(metadata.id, version, structured), field, field.scheme.row_of(instance))
    stored.remember(value, text)
    stored.written_for = _state(instance)
    return stored


def _current_version(field: ObjectColumn, object_id: str) -> str:
    versions = field.vault.backend.list_object_versions(object_id)
    for version in versions:
        if version.current_version:
            return version.id
    raise VaultUnavailable(f"Vault names no current version of the object {object_id} of {field}.")


def _reference_in_row(field: ObjectColumn, instance: Model) -> tuple[bool, ObjectReference | None]:
    """Return whether there is a row, and what it holds now. Locks it where transaction and database allow."""
    using = _using(instance)
    connection = connections[using]
    rows = field.model._base_manager.using(using).filter(pk=instance.pk)
    if connection.in_atomic_block and connection.features.has_select_for_update:
        rows = rows.select_for_update()
    found = list(rows.values_list(field.attname, flat=True))
    return bool(found), found[0] if found else None


def _conflict(field: ObjectColumn) -> VaultConflict:
    return VaultConflict(
        f"{field}: the value in Vault has changed since this row was loaded, and was not overwritten. Load "
        "the row again (refresh_from_db()), read the value, then save. Where a transaction was rolled back "
        "before, save inside transaction.atomic()."
    )


def _not_needed_after_commit(
    instance: Model, field: ObjectColumn, object_id: str, context: KeyContext, is_copy: bool = False
) -> None:
    unneeded = getattr(instance._state, _UNNEEDED, None)
    if unneeded is not None:  # else signals are muted: nobody will come for it, and vault_check finds it
        unneeded.append((field, object_id, context, is_copy))


def _left_alone(field: VaultField, stored: StoredObject, error: Exception) -> None:
    logger.warning(
        "A row of %s referred to the object %r, which is not its own (%s). That was left alone, and the row "
        "refers to it no longer.",
        field,
        stored.reference.id,
        type(error).__name__,
    )


def _not_deleted(field: VaultField, reference: ObjectReference, error: Exception) -> None:
    # The row has been committed, or shall be: failing now would only hide that from the caller.
    logger.warning(
        "The object %r of %s is no longer needed and could not be deleted (%s). vault_check --objects "
        "lists it, if it is one of the field's.",
        reference.id,
        field,
        type(error).__name__,
    )


def _is_gone(field: ObjectColumn, stored: StoredObject) -> bool:
    # The API description knows no 404 for an update.
    try:
        field.vault.backend.describe_object(stored.reference.id)
    except VaultNotFound:
        return True
    return False


def delete(field: VaultField, object_id: str, context: KeyContext, is_copy: bool = False) -> None:
    """Delete an object that a row of the field had, or what was kept of one, and never any other."""
    backend = field.vault.backend
    try:
        check_answer(field, object_id, backend.describe_object(object_id), context, copies=is_copy)
        backend.delete_object(object_id)
    except VaultNotFound:
        return
    except (EnvelopeError, VaultError) as exc:
        _not_deleted(field, ObjectReference(object_id, ""), exc)


def _using(instance: Model) -> str:
    using: str = getattr(instance._state, _USING, None) or router.db_for_write(
        type(instance), instance=instance
    )
    return using


def _state(instance: Model) -> tuple[Any, ...]:
    return (instance.pk, instance._state.db, instance._state.adding)
