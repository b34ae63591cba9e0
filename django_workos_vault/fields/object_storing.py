"""A value on its way to Vault: as an object of its own, or as another version of the one that the row has."""

from functools import partial
from typing import Any
from uuid import uuid4

from django.db import connections, transaction
from django.db.models import Model

from django_workos_vault.backends.objects import ObjectMetadata, ObjectWithoutValue, VaultObject
from django_workos_vault.context import KeyContext
from django_workos_vault.exceptions import (
    VaultConflict,
    VaultError,
    VaultNotFound,
    VaultRequestError,
    VaultUnavailable,
)
from django_workos_vault.fields.object_column import ObjectColumn
from django_workos_vault.fields.object_disposal import delete
from django_workos_vault.fields.object_encoding import Encoded
from django_workos_vault.fields.object_parts import Part, PartStore, manifest
from django_workos_vault.fields.object_reference import ObjectReference, name_of_copy
from django_workos_vault.fields.object_scheme import Sign
from django_workos_vault.fields.object_state import Unneeded, database_of, note_unneeded, state_of
from django_workos_vault.fields.object_value import StoredObject


class Storing:
    """Stores values of one field for the row of one instance."""

    def __init__(self, field: ObjectColumn, instance: Model) -> None:
        self._field = field
        self._instance = instance

    def create(self, value: Any, replaced: StoredObject | None = None) -> StoredObject:
        """Store ``value`` as an object of its own."""
        field = self._field
        encoded = field.encoded(value)
        context = field.context_for(self._instance)
        field.vault.declared.check(context)
        sign = self._signer(context)  # first, as it may ask Vault for its key
        name = f"{field.label}/{uuid4().hex}"
        parts = self._parts(name, encoded, context)
        try:
            content = manifest(parts) if parts else encoded.text
            metadata = field.vault.backend.create_object(name, content, context.items)
        except VaultError:
            self._take_back(name, parts, context)
            raise
        stored = self._stored(value, encoded, metadata, sign)
        stored.replaced = replaced
        if field.scheme.primary_key_in(stored.row) is None:
            # bulk_create() sends no signal; by its commit the database may have told the primary key.
            using = database_of(self._instance)
            if connections[using].in_atomic_block:
                transaction.on_commit(partial(bind, stored, self._instance, using), using=using)
        return stored

    def update(self, value: Any, encoded: Encoded, base: StoredObject) -> StoredObject:
        """Store ``value`` as the next version of the object that ``base`` names.

        Raises VaultConflict when its current version is not the one that was read, or that the row has.
        """
        field, object_id = self._field, base.reference.id
        context = base.prove(self._instance)
        sign = self._signer(context)
        in_transaction = connections[database_of(self._instance)].in_atomic_block
        if in_transaction:
            name, expected = self._keep_for_rollback(base, context)
        else:
            name, expected = self._check_current(base, context), base.seen
        parts = self._parts(name, encoded, context)
        try:
            content = manifest(parts) if parts else encoded.text
            updated = field.vault.backend.update_object(object_id, content, version_check=expected)
        except (VaultConflict, VaultNotFound, VaultRequestError):  # after any other, Vault may have taken it
            self._take_back(name, parts, context)
            raise
        stored = self._stored(value, encoded, updated.metadata, sign)
        stored.replaced = base
        if not in_transaction:
            base.seen = stored.reference.version  # for another attempt, should the row not be written
        return stored

    def _check_current(self, base: StoredObject, context: KeyContext) -> str:
        """Return the object's name, if it has the version that was read. Raises VaultConflict if not."""
        backend, object_id = self._field.vault.backend, base.reference.id
        current = (backend.read_object if base.reference.split else backend.describe_object)(object_id)
        self._field.scheme.check_answer(object_id, current, context)
        if current.metadata.version_id not in (base.seen, None):
            raise VaultConflict("The object changed since this version.")
        parts = _parts_of(base, current)
        note_unneeded(self._instance, Unneeded(self._field, None, context, parts=parts, name=current.name))
        return current.name

    def _keep_for_rollback(self, base: StoredObject, context: KeyContext) -> tuple[str, str]:
        """Keep the row's value beside the object; return the object's name, and the version it has now."""
        backend = self._field.vault.backend
        current = backend.read_object(base.reference.id)
        self._field.scheme.check_answer(base.reference.id, current, context)
        copy_name = name_of_copy(current.name, base.reference.version)
        version = current.metadata.version_id or self._current_version(current.id)
        kept = current
        if version == base.seen:
            try:
                copy_id = backend.create_object(copy_name, current.value, current.metadata.context).id
            except VaultConflict:
                copy_id = backend.read_object_by_name(copy_name).id
        else:
            # Its writer held the row's lock, as we do now, and the row did not change: it was rolled back.
            try:
                kept = backend.read_object_by_name(copy_name)
            except VaultNotFound:
                raise VaultConflict("The object changed since this version.") from None
            copy_id = kept.id
        parts = _parts_of(base, current, kept)
        note_unneeded(
            self._instance,
            Unneeded(self._field, copy_id, context, beside=True, parts=parts, name=current.name),
        )
        return current.name, version

    def _signer(self, context: KeyContext) -> Sign:
        scheme = self._field.scheme
        return scheme.signer(scheme.row_of(self._instance), context)

    def _parts(self, name: str, encoded: Encoded, context: KeyContext) -> tuple[Part, ...]:
        return PartStore(self._field).store(name, encoded.text, context.items) if encoded.split else ()

    def _take_back(self, name: str, parts: tuple[Part, ...], context: KeyContext) -> None:
        ids = tuple(part.id for part in parts)
        delete(Unneeded(self._field, None, context, parts=ids, name=name))

    def _stored(self, value: Any, encoded: Encoded, metadata: ObjectMetadata, sign: Sign) -> StoredObject:
        version = metadata.version_id or self._current_version(metadata.id)
        reference = ObjectReference(metadata.id, version, encoded.structured, split=encoded.split)
        stored = StoredObject(sign(reference), self._field, self._field.scheme.row_of(self._instance))
        stored.remember(value, encoded)
        stored.written_for = state_of(self._instance)
        return stored

    def _current_version(self, object_id: str) -> str:
        for version in self._field.vault.backend.list_object_versions(object_id):
            if version.current_version:
                return version.id
        raise VaultUnavailable(f"Vault names no current version of the object {object_id} of {self._field}.")


def bind(stored: StoredObject, instance: Model, using: str) -> None:
    """Bind a reference that was written without its row's primary key to the row, now that this is known."""
    field, scheme = stored.field, stored.field.scheme
    row = scheme.row_of(instance)
    is_bound = scheme.primary_key_in(stored.row) is not None
    if is_bound or instance.__dict__.get(field.attname) is not stored or scheme.primary_key_in(row) is None:
        return
    bound = scheme.signer(row, stored.place(instance))(stored.reference)
    rows = field.model._base_manager.using(using).filter(pk=instance.pk)
    rows.filter(**{field.attname: stored.reference}).update(**{field.attname: bound})
    stored.reference, stored.row = bound, row


def _parts_of(base: StoredObject, *found: VaultObject | ObjectWithoutValue) -> tuple[str, ...]:
    """Return the ids of the parts that objects of the row of ``base`` name, each once."""
    objects = [one for one in found if base.reference.split and isinstance(one, VaultObject)]
    named_in = PartStore(base.field).named_in
    return tuple({part.id: None for one in objects for part in named_in(one)})
