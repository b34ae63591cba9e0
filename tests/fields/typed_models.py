"""Read by mypy alone, in tests/fields/test_typing.py: what type checkers make of encrypted attributes."""

import datetime as dt
from decimal import Decimal
from typing import assert_type
from uuid import UUID

from django.db import models

from django_workos_vault.backends.objects import ObjectMetadata, VaultObject
from django_workos_vault.datakey import DataKey
from django_workos_vault.exceptions import VaultError
from django_workos_vault.fields import (
    EncryptedBooleanField,
    EncryptedCharField,
    EncryptedDateTimeField,
    EncryptedDecimalField,
    EncryptedDurationField,
    EncryptedEmailField,
    EncryptedIntegerField,
    EncryptedUUIDField,
    FromRow,
)
from django_workos_vault.vault import Vault


class TypedPatient(models.Model):
    ssn = EncryptedCharField(max_length=11, mask="last4", key_context={"org": FromRow("org.workos_id")})
    nickname = EncryptedCharField(max_length=11, null=True)
    email = EncryptedEmailField(default="", blank=True)
    visits = EncryptedIntegerField()
    weight = EncryptedDecimalField(max_digits=5, decimal_places=1, null=True)
    smokes = EncryptedBooleanField(null=True)
    seen = EncryptedDateTimeField(auto_now=True)
    stay = EncryptedDurationField()
    token = EncryptedUUIDField()

    class Meta:
        app_label = "app"


def look_at(patient: TypedPatient) -> None:
    assert_type(patient.ssn, str)
    assert_type(patient.nickname, str | None)
    assert_type(patient.email, str)
    assert_type(patient.visits, int)
    assert_type(patient.weight, Decimal | None)
    assert_type(patient.smokes, bool | None)
    assert_type(patient.seen, dt.datetime)
    assert_type(patient.stay, dt.timedelta)
    assert_type(patient.token, UUID)
    patient.ssn = "1"
    patient.nickname = None
    patient.ssn = None  # type: ignore[assignment]
    patient.visits = []  # type: ignore[assignment]


async def call(vault: Vault) -> None:
    assert_type(vault.create_object("name", "value", {"app": "clinic"}), ObjectMetadata)
    assert_type(await vault.aread_object("id"), VaultObject)
    assert_type(vault.decrypt_data_keys([b""]), list[DataKey | VaultError])
    vault.create_object("name", value=1, key_context={})  # type: ignore[arg-type]
    vault.read_object()  # type: ignore[call-arg]
    async for summary in vault.aiter_objects(search="name"):
        assert_type(summary.name, str)
