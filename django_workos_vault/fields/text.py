"""The former place of the text fields, which migrations name that were written by hand or copied."""

from django_workos_vault.fields.twins import (
    EncryptedCharField,
    EncryptedEmailField,
    EncryptedSlugField,
    EncryptedTextField,
    EncryptedURLField,
)

__all__ = [
    "EncryptedCharField",
    "EncryptedEmailField",
    "EncryptedSlugField",
    "EncryptedTextField",
    "EncryptedURLField",
]
