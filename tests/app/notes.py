"""One encrypted column behind every kind of primary key, for what goes through whole tables."""

import uuid

from django.db import models

from django_workos_vault.fields import EncryptedCharField, FromRow
from django_workos_vault.indexes import BlindIndex, Exact


class Note(models.Model):
    """Its cells have everything that a cell can have; what they had before is still read."""

    organization = models.CharField(max_length=20, default="org_1")
    touched = models.DateTimeField(auto_now=True)
    text = EncryptedCharField(
        max_length=50,
        null=True,
        key_context={"organization_id": FromRow("organization")},
        bind_to=("organization",),
        previous_bind_to=[()],
        previous_labels=["app.Memo.text"],
        blind_indexes=[Exact()],
    )

    class Meta:
        abstract = True
        indexes = [models.Index(BlindIndex("text", "exact"), name="%(class)s_text")]


class NumberedNote(Note):
    extra = EncryptedCharField(max_length=50, null=True)


class TokenNote(Note):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)


class NamedNote(Note):
    name = models.CharField(max_length=40, primary_key=True)


class PlacedNote(Note):
    pk = models.CompositePrimaryKey("shelf", "place")
    shelf = models.CharField(max_length=10)
    place = models.IntegerField()
