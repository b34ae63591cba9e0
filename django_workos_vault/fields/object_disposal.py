"""Objects that no row needs any more go after the commit; a fault leaves one that vault_check finds."""

import logging
from dataclasses import replace
from functools import partial

from django.db import transaction
from django.db.models import Model

from django_workos_vault.backends import batch
from django_workos_vault.backends.objects import VaultObject
from django_workos_vault.exceptions import (
    EnvelopeError,
    InvalidVaultConfiguration,
    UntrustedReference,
    VaultError,
    VaultNotFound,
)
from django_workos_vault.fields.object_parts import PartStore
from django_workos_vault.fields.object_reference import is_part_of
from django_workos_vault.fields.object_scheme import FieldInVault
from django_workos_vault.fields.object_state import Unneeded
from django_workos_vault.fields.object_value import StoredObject

logger = logging.getLogger(__name__)


def delete_with_row(stored: StoredObject, instance: Model, using: str) -> None:
    """Delete the object of a row that is about to be deleted, once that has been committed.

    Without ``version_check``: the row is gone, so no version of its object is wanted. Nothing that is wrong
    with the reference, or with Vault, keeps the row.
    """
    try:
        stored.place(instance)  # as long as the rows are there that tell it
    except InvalidVaultConfiguration as exc:
        _not_deleted(stored.field, stored.reference.id, exc)
    else:
        transaction.on_commit(partial(_delete_proven, stored), using=using)


def delete(unneeded: Unneeded) -> None:
    """Delete what is not needed, if Vault says that it is the field's, and never anything else."""
    field, object_id = unneeded.field, unneeded.id
    backend = field.vault.backend
    try:
        if object_id is not None:
            # A value is read of those alone that hold a manifest.
            found = (backend.read_object if unneeded.split else backend.describe_object)(object_id)
            field.scheme.check_answer(object_id, found, unneeded.context, beside=unneeded.beside)
            if isinstance(found, VaultObject):
                parts = tuple(part.id for part in PartStore(field).named_in(found))
                unneeded = replace(unneeded, name=found.name, parts=parts)
            backend.delete_object(object_id)
    except VaultNotFound:
        pass
    except (EnvelopeError, VaultError) as exc:
        # The row has been committed, or shall be: failing now would only hide that from the caller.
        _not_deleted(field, object_id, exc)
        return  # as long as it is there, its parts are
    _delete_parts(unneeded)


def _delete_parts(unneeded: Unneeded) -> None:
    """Delete the parts, if Vault says that they are those of the object of that name."""
    field = unneeded.field
    backend = field.vault.backend

    def delete_one(object_id: str) -> None:
        try:
            found = backend.describe_object(object_id)
            field.scheme.check_answer(object_id, found, unneeded.context, beside=True)
            if not is_part_of(found.name, unneeded.name):
                raise UntrustedReference(f"The object {object_id} is a part of another row's value.")
            backend.delete_object(object_id)
        except VaultNotFound:
            pass
        except EnvelopeError as exc:
            _not_deleted(field, object_id, exc)

    for object_id, outcome in zip(unneeded.parts, batch.run(delete_one, unneeded.parts), strict=True):
        if isinstance(outcome, VaultError):
            _not_deleted(field, object_id, outcome)


def _delete_proven(stored: StoredObject) -> None:
    field, reference = stored.field, stored.reference
    try:
        context = stored.prove()
    except (EnvelopeError, InvalidVaultConfiguration, VaultError) as exc:
        _not_deleted(field, reference.id, exc)
    else:
        delete(Unneeded(field, reference.id, context, split=reference.split))


def left_alone(stored: StoredObject, error: Exception) -> None:
    """Tell the log of an object that a row referred to, and that is not its own."""
    logger.warning(
        "A row of %s referred to the object %r, which is not its own (%s). That was left alone, and the row "
        "refers to it no longer.",
        stored.field,
        stored.reference.id,
        type(error).__name__,
    )


def _not_deleted(field: FieldInVault, object_id: str | None, error: Exception) -> None:
    logger.warning(
        "The object %r of %s is no longer needed and could not be deleted (%s). vault_check --objects "
        "lists it, if it is one of the field's.",
        object_id,
        field,
        type(error).__name__,
    )
