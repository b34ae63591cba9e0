"""What a small clinic keeps: organizations, and their patients."""

from django.db import models

from django_workos_vault.fields import (
    EncryptedCharField,
    EncryptedEmailField,
    EncryptedTextField,
    FromRow,
)
from django_workos_vault.indexes import BlindIndex, Exact

PER_ORGANIZATION = {"organization_id": FromRow("organization.workos_id")}


class Organization(models.Model):
    """A customer of the clinic software. Its ``workos_id`` picks the key that seals its patients' data."""

    name = models.CharField(max_length=100)
    workos_id = models.CharField(max_length=64, unique=True)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class Patient(models.Model):
    """A patient. Who may unwrap the key to the encrypted columns is up to the patient's organization."""

    organization = models.ForeignKey(Organization, models.CASCADE, related_name="patients")
    name = models.CharField(max_length=100)
    ssn = EncryptedCharField(
        "social security number",
        max_length=11,
        mask="last4",
        key_context=PER_ORGANIZATION,
        blind_indexes=[Exact()],
    )
    email = EncryptedEmailField(blank=True, mask="email", key_context=PER_ORGANIZATION)
    notes = EncryptedTextField(blank=True, key_context=PER_ORGANIZATION)
    registered_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("name", "pk")
        indexes = (models.Index(BlindIndex("ssn"), name="patient_ssn"),)

    def __str__(self) -> str:
        return self.name
