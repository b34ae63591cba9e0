"""The order in which Vault and the database are written, so that a fault between two steps loses nothing.

1. A new value is stored in Vault before the row is written: no row refers to an object that is not there.
   A rollback leaves an object that no row refers to. Its name begins with the field's label, so it is found.
2. Inside a transaction, an update first takes the row's lock, then keeps the row's value beside the object
   (``name_of_copy``), then updates the object with ``version_check``. A rollback leaves a row whose version
   is older than the object's: it is read from what was kept.
3. An object is updated or deleted only if the row's reference is proven, and Vault's answer proves it again
   (``object_scheme``). Any other is left alone, and the row gets an object of its own.
4. A value too large for one object is stored in parts first (``object_parts``), and then as the manifest that
   names them, which goes the way of any other value. The parts of the value before stay until the commit.
5. Whatever the row no longer needs is deleted after the commit: the object of a deleted row or of one set to
   NULL, and what was kept for a rollback. A fault there leaves an object that nobody needs, which is found.
"""

from typing import Any

from django.db import connections, transaction
from django.db.models import Model

from django_workos_vault.exceptions import (
    InvalidVaultConfiguration,
    UntrustedReference,
    VaultConflict,
    VaultNotFound,
    VaultRequestError,
)
from django_workos_vault.fields.object_column import ObjectColumn
from django_workos_vault.fields.object_disposal import delete, left_alone
from django_workos_vault.fields.object_encoding import Encoded
from django_workos_vault.fields.object_reference import ObjectReference
from django_workos_vault.fields.object_state import (
    Unneeded,
    database_of,
    note_unneeded,
    state_of,
    take_unneeded,
)
from django_workos_vault.fields.object_storing import Storing, bind
from django_workos_vault.fields.object_value import Assigned, StoredObject
from django_workos_vault.frame_locals import leaves_no_locals


class KeepStored:
    """In an UPDATE: the column stays as it is, whatever another writer has put there meanwhile."""

    def __init__(self, column: str | None) -> None:
        self._column = column

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, list[Any]]:
        return connection.ops.quote_name(self._column), []


class Write:
    """What one save of ``instance`` does to the value of ``field``."""

    def __init__(self, field: ObjectColumn, instance: Model) -> None:
        self._field = field
        self._instance = instance
        self._storing = Storing(field, instance)

    @leaves_no_locals
    def column(self, add: bool) -> StoredObject | KeepStored | None:
        """Store in Vault what the instance holds, and return what to write into the column.

        Raises VaultConflict when another writer was faster, and any other VaultError when Vault does not take
        it; nothing has been written to the row then.
        """
        field, instance = self._field, self._instance
        held = instance.__dict__.get(field.attname)
        if isinstance(held, StoredObject):
            if add:
                return self._for_insert(held)
            if held.has_changed():
                held = Assigned(held.open(instance), held)
            elif held.written_for is not None:
                there, in_row = self._reference_in_row()
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
        stored = self._store(held, add)
        instance.__dict__[field.attname] = stored
        return stored

    def after_row(self, using: str) -> None:
        """Arrange for what is to be done when the row just written has been committed."""
        field, instance = self._field, self._instance
        unneeded = take_unneeded(instance, field)
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
                delete(one)

        transaction.on_commit(committed, using=using)

    def _for_insert(self, held: StoredObject) -> StoredObject:
        if held.written_for == state_of(self._instance) and not held.has_changed():
            return held  # Django asks more than once for the value of one INSERT
        # A copy of a row gets an object of its own: deleting one row must not take the other's value.
        stored = self._storing.create(held.open(self._instance))
        self._instance.__dict__[self._field.attname] = stored
        return stored

    def _store(self, assigned: Assigned, add: bool) -> StoredObject | None:
        field, instance = self._field, self._instance
        base, value = assigned.base, assigned.value
        if add:
            return None if value is None else self._storing.create(value)
        there, in_row = self._reference_in_row()
        if there and in_row != (base and base.reference):
            raise self._conflict()
        if base is None:
            return None if value is None else self._storing.create(value)
        encoded = None if value is None else field.encoded(value)
        ours = there and _is_ours(base, instance)
        if encoded and ours and _is_of_a_kind(encoded, base) and not field.row_changed(base, instance):
            try:
                return self._storing.update(value, encoded, base)
            except VaultConflict as exc:
                raise self._conflict() from exc
            except UntrustedReference as exc:
                left_alone(base, exc)
                ours = False
            except (VaultNotFound, VaultRequestError):
                if not self._is_gone(base):
                    raise
                ours = False  # something deleted the object: the row gets another
        if ours:
            held = base.reference
            note_unneeded(instance, Unneeded(field, held.id, base.prove(instance), split=held.split))
        return None if value is None else self._storing.create(value, base)

    def _reference_in_row(self) -> tuple[bool, ObjectReference | None]:
        """Return whether there is a row, and what it holds. Locks it where transaction and database allow."""
        using = database_of(self._instance)
        connection = connections[using]
        rows = self._field.model._base_manager.using(using).filter(pk=self._instance.pk)
        if connection.in_atomic_block and connection.features.has_select_for_update:
            rows = rows.select_for_update()
        found = list(rows.values_list(self._field.attname, flat=True))
        return bool(found), found[0] if found else None

    def _conflict(self) -> VaultConflict:
        return VaultConflict(
            f"{self._field}: the value in Vault has changed since this row was loaded, and was not "
            "overwritten. Load the row again (refresh_from_db()), read the value, then save. Where a "
            "transaction was rolled back before, save inside transaction.atomic()."
        )

    def _is_gone(self, stored: StoredObject) -> bool:
        # The API description knows no 404 for an update.
        try:
            self._field.vault.backend.describe_object(stored.reference.id)
        except VaultNotFound:
            return True
        return False


def _is_ours(base: StoredObject, instance: Model) -> bool:
    try:
        base.prove(instance)
    except (UntrustedReference, InvalidVaultConfiguration) as exc:
        left_alone(base, exc)
        return False
    return True


def _is_of_a_kind(encoded: Encoded, base: StoredObject) -> bool:
    """Whether one object can hold both: it holds JSON, or the parts of a value, for life or never."""
    return (encoded.structured, encoded.split) == (base.reference.structured, base.reference.split)
