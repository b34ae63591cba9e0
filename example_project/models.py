"""What a small clinic keeps: organizations, and their patients."""

from django.db import models


class Organization(models.Model):
    """A customer of the clinic software. Its ``workos_id`` picks the key that seals its patients' data."""

    name = models.CharField(max_length=100)
    workos_id = models.CharField(max_length=64, unique=True)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name
