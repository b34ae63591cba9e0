"""The former place and name of :class:`~django_workos_vault.fields.EncryptedField`."""

from django_workos_vault.fields.field import EncryptedField

EncryptedFieldMixin = EncryptedField
