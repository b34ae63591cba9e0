"""Encrypted model fields. Each is the twin of a Django field and keeps its validation and forms."""

from django_workos_vault.fields.bulk import aload_keys, load_keys
from django_workos_vault.fields.cell import stored_cell
from django_workos_vault.fields.defaults import DefaultOf
from django_workos_vault.fields.field import EncryptedField
from django_workos_vault.fields.from_row import FromRow
from django_workos_vault.fields.object_field import VaultObjectField
from django_workos_vault.fields.object_history import adopt_object, aobject_history, object_history
from django_workos_vault.fields.object_loading import aload_objects
from django_workos_vault.fields.object_reference import ObjectReference
from django_workos_vault.fields.twins import (
    EncryptedBigIntegerField,
    EncryptedBinaryField,
    EncryptedBooleanField,
    EncryptedCharField,
    EncryptedDateField,
    EncryptedDateTimeField,
    EncryptedDecimalField,
    EncryptedDurationField,
    EncryptedEmailField,
    EncryptedFloatField,
    EncryptedGenericIPAddressField,
    EncryptedIntegerField,
    EncryptedJSONField,
    EncryptedPositiveBigIntegerField,
    EncryptedPositiveIntegerField,
    EncryptedPositiveSmallIntegerField,
    EncryptedSlugField,
    EncryptedSmallIntegerField,
    EncryptedTextField,
    EncryptedTimeField,
    EncryptedURLField,
    EncryptedUUIDField,
)
from django_workos_vault.fields.wrap import encrypted, encrypted_twin

__all__ = [
    "DefaultOf",
    "EncryptedBigIntegerField",
    "EncryptedBinaryField",
    "EncryptedBooleanField",
    "EncryptedCharField",
    "EncryptedDateField",
    "EncryptedDateTimeField",
    "EncryptedDecimalField",
    "EncryptedDurationField",
    "EncryptedEmailField",
    "EncryptedField",
    "EncryptedFloatField",
    "EncryptedGenericIPAddressField",
    "EncryptedIntegerField",
    "EncryptedJSONField",
    "EncryptedPositiveBigIntegerField",
    "EncryptedPositiveIntegerField",
    "EncryptedPositiveSmallIntegerField",
    "EncryptedSlugField",
    "EncryptedSmallIntegerField",
    "EncryptedTextField",
    "EncryptedTimeField",
    "EncryptedURLField",
    "EncryptedUUIDField",
    "FromRow",
    "ObjectReference",
    "VaultObjectField",
    "adopt_object",
    "aload_keys",
    "aload_objects",
    "aobject_history",
    "encrypted",
    "encrypted_twin",
    "load_keys",
    "object_history",
    "stored_cell",
]
