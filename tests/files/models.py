"""Rows with files."""

import uuid
from typing import Any

from django.db import models

from django_workos_vault.fields import FromRow
from django_workos_vault.files import EncryptedFileField, EncryptedImageField
from tests.files.beside import FOLDERS, PlainFolder

__all__ = ["FOLDERS", "PlainFolder", "Portrait", "Report", "Scan"]


def by_clinic(instance: Any, filename: str) -> str:
    return f"clinics/{instance.clinic}/{filename}"


class Scan(models.Model):
    """A file that belongs to no row in particular, as Django's would be declared."""

    title = models.CharField(max_length=50, default="hand")
    file = EncryptedFileField(upload_to="scans/%Y", blank=True)
    plain = models.FileField(blank=True)

    def __str__(self) -> str:
        return self.title


class Report(models.Model):
    """Bound to its row and sealed under the key of its clinic; its name and length do not show."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    clinic = models.CharField(max_length=20)
    file = EncryptedFileField(
        upload_to=by_clinic,
        key_context={"organization_id": FromRow("clinic")},
        bind_to=("pk", "clinic"),
        padding="padme",
        conceal_names=True,
        url_name="report",
        max_length=200,
    )

    def __str__(self) -> str:
        return f"report {self.pk}"


class Portrait(models.Model):
    image = EncryptedImageField(upload_to="faces", width_field="width", height_field="height", blank=True)
    width = models.IntegerField(null=True)
    height = models.IntegerField(null=True)

    def __str__(self) -> str:
        return f"portrait {self.pk}"
