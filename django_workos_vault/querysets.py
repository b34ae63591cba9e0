"""``EncryptedManager`` and ``EncryptedQuerySet``, where models import them from."""

from django_workos_vault.fields.bulk import EncryptedManager, EncryptedQuerySet

__all__ = ["EncryptedManager", "EncryptedQuerySet"]
