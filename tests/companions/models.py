"""Models beside packages that keep their history."""

from django.db import models
from simple_history.models import HistoricalRecords

from django_workos_vault.fields import EncryptedCharField, EncryptedDateField, EncryptedIntegerField


class Letter(models.Model):
    """Its history is kept by django-simple-history."""

    title = models.CharField(max_length=50)
    ssn = EncryptedCharField(max_length=11, blank=True, mask="last4")
    number = EncryptedIntegerField(null=True, blank=True)
    written = EncryptedDateField(null=True, blank=True)

    # No foreign key: this table is made before those of apps with migrations.
    history = HistoricalRecords(history_user_id_field=models.IntegerField(null=True))

    def __str__(self) -> str:
        return self.title


class Memo(models.Model):
    """Its versions are kept by django-reversion."""

    title = models.CharField(max_length=50)
    ssn = EncryptedCharField(max_length=11, blank=True, mask="last4")
    number = EncryptedIntegerField(null=True, blank=True)
    written = EncryptedDateField(null=True, blank=True)

    def __str__(self) -> str:
        return self.title
