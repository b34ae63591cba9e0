"""Encrypted files: a storage that wraps another, and model fields over any storage.

What serves them is in ``django_workos_vault.files.views``.
"""

from django_workos_vault.files.fields import EncryptedFileField, EncryptedImageField
from django_workos_vault.files.storage import EncryptedStorage

__all__ = ["EncryptedFileField", "EncryptedImageField", "EncryptedStorage"]
