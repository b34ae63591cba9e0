"""Encrypted model fields. Each is the twin of a Django field and keeps its validation and forms."""

from django_workos_vault.fields.defaults import DefaultOf
from django_workos_vault.fields.keys import aload_keys, load_keys
from django_workos_vault.fields.rows import FromRow
from django_workos_vault.fields.sealed import stored_cell
from django_workos_vault.fields.text import EncryptedCharField, EncryptedEmailField, EncryptedTextField

__all__ = [
    "DefaultOf",
    "EncryptedCharField",
    "EncryptedEmailField",
    "EncryptedTextField",
    "FromRow",
    "aload_keys",
    "load_keys",
    "stored_cell",
]
