"""The order in which Vault and the database are written, so that a fault between two steps loses nothing.

1. A new value is stored in Vault before the row is written: no row refers to an object that is not there.
   A rollback leaves an object that no row refers to. Its name begins with the field's label, so it is found.
2. Inside a transaction, an update first takes the row's lock, then keeps the row's value beside the object
   (``name_of_copy``), then updates the object with ``version_check``. A rollback leaves a row whose version
   is older than the object's: it is read from what was kept.
3. Whatever the row no longer needs is deleted after the commit: the object of a deleted row or of one set to
   NULL, and what was kept for a rollback. A fault there leaves an object that nobody needs, which is found.
"""

import logging
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from django.db import connections, router, transaction
from django.db.models import Field, Model

from django_workos_vault.backends.objects import ObjectMetadata
from django_workos_vault.exceptions import VaultConflict, VaultError, VaultNotFound, VaultRequestError
from django_workos_vault.fields.rows import row_values
from django_workos_vault.fields.stored import (
    Assigned,
    ObjectAttribute,
    ObjectReference,
    StoredObject,
    name_of_copy,
)
from django_workos_vault.traces import leaves_no_locals

if TYPE_CHECKING:
    from django_workos_vault.fields.objects import VaultObjectField

logger = logging.getLogger(__name__)

_USING = "workos_vault_using"
_UNNEEDED = "workos_vault_unneeded"


class KeepStored:
    """In an UPDATE: the column stays as it is, whatever another writer has put there meanwhile."""

    def __init__(self, column: str | None) -> None:
        self._column = column

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, list[Any]]:
        return connection.ops.quote_name(self._column), []


@leaves_no_locals
def write(field: "VaultObjectField", instance: Model, add: bool) -> StoredObject | KeepStored | None:
    """Store in Vault what ``instance`` holds for ``field``, and return what to write into the column.

    Raises VaultConflict when another writer was faster, and any other VaultError when Vault does not take
    it; nothing has been written to the row then.
    """
    held = instance.__dict__.get(field.attname)
    if isinstance(held, StoredObject):
        if add:
            return _for_insert(field, instance, held)
        if held.has_changed():
            held = Assigned(held.open(), held)
        elif held.written_for is not None:
            there, in_row = _reference_in_row(field, instance)
            if not there or in_row == held.reference:
                return held
            held = Assigned(held.open(), held.replaced)  # its transaction was rolled back
        elif field.row_changed(held, instance):
            held = Assigned(held.open(), held)
        else:
            return KeepStored(field.column)
    if held is None:
        return None
    stored = _store(field, instance, held, add)
    instance.__dict__[field.attname] = stored
    return stored


def object_fields(fields: "Iterable[Field[Any, Any]]") -> "list[VaultObjectField]":
    """Return those of ``fields`` whose values live in Vault."""
    return [field for field in fields if field.descriptor_class is ObjectAttribute]  # type: ignore[misc]


def note_database(instance: Model, using: str) -> None:
    """Remember where ``instance`` is about to be saved."""
    setattr(instance._state, _USING, using)
    setattr(instance._state, _UNNEEDED, [])


def after_save(instance: Model, fields: "list[VaultObjectField]", using: str) -> None:
    """Arrange for what is to be done when the row just written has been committed."""
    unneeded: list[tuple[VaultObjectField, str]] = getattr(instance._state, _UNNEEDED, [])
    setattr(instance._state, _UNNEEDED, [])
    held = [instance.__dict__.get(field.attname) for field in fields]
    fresh = [stored for stored in held if isinstance(stored, StoredObject) and stored.written_for is not None]
    if not (unneeded or fresh):
        return

    def committed() -> None:
        for stored in fresh:
            stored.written_for = stored.replaced = None
        for field, object_id in unneeded:
            _delete(field, object_id)

    transaction.on_commit(committed, using=using)


def after_deletion(field: "VaultObjectField", instance: Model, using: str) -> None:
    """Delete the object of a row that is about to be deleted, once that has been committed.

    Without ``version_check``: the row is gone, so no version of its object is wanted.
    """
    held = field.raw_value(instance)
    stored = held.base if isinstance(held, Assigned) else held
    if stored is not None:
        transaction.on_commit(partial(_delete, field, stored.reference.id), using=using)


def _for_insert(field: "VaultObjectField", instance: Model, held: StoredObject) -> StoredObject:
    if held.written_for == _state(instance) and not held.has_changed():
        return held  # Django asks more than once for the value of one INSERT
    # A copy of a row gets an object of its own: deleting one row must not take the other's value.
    stored = _create(field, instance, held.open())
    instance.__dict__[field.attname] = stored
    return stored


def _store(field: "VaultObjectField", instance: Model, assigned: Assigned, add: bool) -> StoredObject | None:
    base, value = assigned.base, assigned.value
    if add:
        return None if value is None else _create(field, instance, value)
    there, in_row = _reference_in_row(field, instance)
    if there and in_row != (base and base.reference):
        raise _conflict(field)
    if base is None:
        return None if value is None else _create(field, instance, value)
    text, structured = ("", None) if value is None else field.encoded(value)
    if there and structured is base.reference.structured and not field.row_changed(base, instance):
        try:
            return _update(field, instance, value, text, base)
        except (VaultNotFound, VaultRequestError):
            if not _is_gone(field, base):
                raise
        return _create(field, instance, value, base)  # something deleted the object: the row gets another
    if there:
        _not_needed_after_commit(instance, field, base.reference.id)
    return None if value is None else _create(field, instance, value, base)


def _create(
    field: "VaultObjectField", instance: Model, value: Any, replaced: StoredObject | None = None
) -> StoredObject:
    text, structured = field.encoded(value)
    context = field.context_for(instance).items
    metadata = field.vault.backend.create_object(f"{field.label}/{uuid4().hex}", text, context)
    return _stored(field, instance, value, text, metadata, structured, replaced)


def _update(
    field: "VaultObjectField", instance: Model, value: Any, text: str, base: StoredObject
) -> StoredObject:
    in_transaction = connections[_using(instance)].in_atomic_block
    try:
        expected = _keep_for_rollback(field, instance, base) if in_transaction else base.seen
        updated = field.vault.backend.update_object(base.reference.id, text, version_check=expected)
    except VaultConflict as exc:
        raise _conflict(field) from exc
    stored = _stored(field, instance, value, text, updated.metadata, base.reference.structured, base)
    if not in_transaction:
        base.seen = stored.reference.version  # for another attempt, should the row not be written
    return stored


def _keep_for_rollback(field: "VaultObjectField", instance: Model, base: StoredObject) -> str:
    """Keep the row's value beside the object; return the version that the object has now."""
    backend = field.vault.backend
    current = backend.read_object(base.reference.id)
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
    _not_needed_after_commit(instance, field, copy_id)
    return version


def _stored(
    field: "VaultObjectField",
    instance: Model,
    value: Any,
    text: str,
    metadata: ObjectMetadata,
    structured: bool,
    replaced: StoredObject | None,
) -> StoredObject:
    version = metadata.version_id or _current_version(field, metadata.id)
    reference = ObjectReference(metadata.id, version, structured)
    stored = StoredObject(reference, field, row_values(field, instance) if field.remembers_row else None)
    stored.remember(value, text)
    stored.written_for = _state(instance)
    stored.replaced = replaced
    return stored


def _current_version(field: "VaultObjectField", object_id: str) -> str:
    versions = field.vault.backend.list_object_versions(object_id)
    return next(version.id for version in versions if version.current_version)


def _reference_in_row(field: "VaultObjectField", instance: Model) -> tuple[bool, ObjectReference | None]:
    """Return whether there is a row, and what it holds now. Locks it where transaction and database allow."""
    using = _using(instance)
    connection = connections[using]
    rows = field.model._base_manager.using(using).filter(pk=instance.pk)
    if connection.in_atomic_block and connection.features.has_select_for_update:
        rows = rows.select_for_update()
    found = list(rows.values_list(field.attname, flat=True))
    return bool(found), found[0] if found else None


def _conflict(field: "VaultObjectField") -> VaultConflict:
    return VaultConflict(
        f"{field}: the value in Vault has changed since this row was loaded, and was not overwritten. Load "
        "the row again (refresh_from_db()), read the value, then save. Where a transaction was rolled back "
        "before, save inside transaction.atomic()."
    )


def _not_needed_after_commit(instance: Model, field: "VaultObjectField", object_id: str) -> None:
    getattr(instance._state, _UNNEEDED).append((field, object_id))


def _is_gone(field: "VaultObjectField", stored: StoredObject) -> bool:
    # The API description knows no 404 for an update.
    try:
        field.vault.backend.describe_object(stored.reference.id)
    except VaultNotFound:
        return True
    return False


def _delete(field: "VaultObjectField", object_id: str) -> None:
    try:
        field.vault.backend.delete_object(object_id)
    except VaultNotFound:
        return
    except VaultError as exc:
        # The row has been committed: failing now would only hide that from the caller.
        logger.warning(
            "The object %s of %s is no longer needed and could not be deleted (%s). vault_check --objects "
            "lists it.",
            object_id,
            field,
            type(exc).__name__,
        )


def _using(instance: Model) -> str:
    using: str = getattr(instance._state, _USING, None) or router.db_for_write(
        type(instance), instance=instance
    )
    return using


def _state(instance: Model) -> tuple[Any, ...]:
    return (instance.pk, instance._state.db, instance._state.adding)
