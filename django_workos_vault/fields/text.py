"""Encrypted text."""

from typing import TYPE_CHECKING

from django.db import models

from django_workos_vault.fields.base import EncryptedFieldMixin

if TYPE_CHECKING:
    # What the attribute takes and gives, for type checkers; Django's classes are not generic at run time.
    _Char = models.CharField[str, str]
    _Text = models.TextField[str, str]
    _Email = models.EmailField[str, str]
else:
    _Char, _Text, _Email = models.CharField, models.TextField, models.EmailField


class EncryptedCharField(EncryptedFieldMixin, _Char):
    """Encrypted twin of :class:`django.db.models.CharField`. ``max_length`` counts plaintext characters."""


class EncryptedTextField(EncryptedFieldMixin, _Text):
    """Encrypted twin of :class:`django.db.models.TextField`."""


class EncryptedEmailField(EncryptedFieldMixin, _Email):
    """Encrypted twin of :class:`django.db.models.EmailField`."""
