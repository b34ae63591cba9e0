"""Models that the tests write and read."""

import uuid
from typing import Any

from django.db import models

from django_workos_vault import fields
from django_workos_vault.fields import (
    EncryptedCharField,
    EncryptedDateTimeField,
    EncryptedEmailField,
    EncryptedTextField,
    FromRow,
    VaultObjectField,
)
from django_workos_vault.indexes import (
    BlindIndex,
    CaseFolded,
    Compound,
    Digits,
    Exact,
    FirstCharacters,
    LastCharacters,
)
from django_workos_vault.querysets import EncryptedManager
from tests.app.everything import Badge, Everything, Everywhere, PlainEverything  # noqa: F401
from tests.app.notes import NamedNote, NumberedNote, PlacedNote, TokenNote  # noqa: F401
from tests.app.shapes import Kept, PlainShape, Shape  # noqa: F401


class Organization(models.Model):
    name = models.CharField(max_length=100)
    workos_id = models.CharField(max_length=64, blank=True)

    def __str__(self) -> str:
        return self.name


class Person(models.Model):
    """One of each text type, under the vault's own key context."""

    name = models.CharField(max_length=100, default="Ada")
    ssn = EncryptedCharField(max_length=11, null=True, blank=True, mask="last4")
    notes = EncryptedTextField(default="nothing yet")
    email = EncryptedEmailField(blank=True)

    class Meta:
        constraints = [models.CheckConstraint(condition=~models.Q(name="nobody"), name="person_is_somebody")]

    def __str__(self) -> str:
        return self.name


class Patient(models.Model):
    """Sealed under the key of the row's organization."""

    organization = models.ForeignKey(Organization, models.CASCADE)
    ssn = EncryptedCharField(
        max_length=11, null=True, key_context={"organization_id": FromRow("organization.workos_id")}
    )

    def __str__(self) -> str:
        return f"patient {self.pk}"


class Device(models.Model):
    """Bound to its row: by a key that the program makes, and by the organization it belongs to."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    organization = models.ForeignKey(Organization, models.CASCADE)
    name = models.CharField(max_length=50, default="pump")
    pin = EncryptedCharField(
        max_length=8,
        bind_to=("pk", "organization"),
        key_context={"organization_id": FromRow("organization.workos_id")},
    )

    objects = models.Manager()
    sealed = EncryptedManager()

    def __str__(self) -> str:
        return self.name


class Account(models.Model):
    """Found and kept apart by its encrypted columns."""

    organization = models.ForeignKey(Organization, models.CASCADE, null=True, blank=True)
    email = EncryptedEmailField(null=True, blank=True, blind_indexes=[CaseFolded(exact=True)])
    login = EncryptedCharField(max_length=50, null=True, blank=True, blind_indexes=[Exact(), CaseFolded()])
    phone = EncryptedCharField(max_length=30, null=True, blind_indexes=[Digits(exact=True)])
    ssn = EncryptedCharField(
        max_length=11, null=True, blind_indexes=[None, Exact(), LastCharacters(), FirstCharacters()]
    )
    city = EncryptedCharField(max_length=50, null=True, blind_indexes=[Exact(bits=4)])
    closed = models.BooleanField(default=False)

    class Meta:
        indexes = [
            models.Index(BlindIndex("login", "exact"), name="account_login"),
            models.Index(BlindIndex("login", "folded"), name="account_login_folded"),
            models.Index(BlindIndex("ssn", "exact"), name="account_ssn"),
            models.Index(BlindIndex("ssn", "last4"), name="account_ssn_last4"),
            models.Index(BlindIndex("ssn", "first3"), name="account_ssn_first3"),
            models.Index(BlindIndex("phone"), name="account_phone_digits"),
            models.Index(BlindIndex("city"), name="account_city"),
        ]
        constraints = [
            models.UniqueConstraint(BlindIndex("email"), name="account_email"),
            models.UniqueConstraint(
                "organization", BlindIndex("phone"), name="account_phone", condition=models.Q(closed=False)
            ),
        ]

    def __str__(self) -> str:
        return f"account {self.pk}"


class Credential(models.Model):
    """Its token lives in Vault."""

    name = models.CharField(max_length=50, default="mail server")
    token = VaultObjectField(null=True, blank=True)

    def __str__(self) -> str:
        return self.name


class Contract(models.Model):
    """Kept in Vault under the key of the row's organization."""

    organization = models.ForeignKey(Organization, models.CASCADE)
    terms = VaultObjectField(key_context={"organization_id": FromRow("organization.workos_id")})

    def __str__(self) -> str:
        return f"contract {self.pk}"


class Session(models.Model):
    """Related to an account, for joins."""

    account = models.ForeignKey(Account, models.CASCADE, related_name="sessions")

    def __str__(self) -> str:
        return f"session {self.pk}"


class Badged(models.Model):
    badge = EncryptedCharField(max_length=10)

    class Meta:
        abstract = True


class Employee(Badged):
    def __str__(self) -> str:
        return f"employee {self.pk}"


class Robot(Badged):
    def __str__(self) -> str:
        return f"robot {self.pk}"


class Manager(Employee):
    bonus = EncryptedCharField(max_length=10)


class Unit(models.Model):
    code = models.CharField(max_length=10, primary_key=True)
    organization = models.ForeignKey(Organization, models.CASCADE)
    secret = EncryptedCharField(
        max_length=10,
        bind_to=("pk", "organization"),
        key_context={"organization_id": FromRow("organization.workos_id")},
    )

    def __str__(self) -> str:
        return self.code


class UnitProxy(Unit):
    class Meta:
        proxy = True


class Citizen(models.Model):
    """On its way from a plaintext column to an encrypted one: the application writes both."""

    tax_id = models.CharField(max_length=20, null=True)
    tax_id_sealed = EncryptedCharField(max_length=20, null=True)

    def __str__(self) -> str:
        return f"citizen {self.pk}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.tax_id_sealed = self.tax_id
        if (kwargs.get("update_fields") or ()) and "tax_id" in kwargs["update_fields"]:
            kwargs["update_fields"] = {*kwargs["update_fields"], "tax_id_sealed"}
        super().save(*args, **kwargs)


class Voter(models.Model):
    """Found by two encrypted columns together, and by neither alone."""

    surname = EncryptedCharField(
        max_length=50, null=True, blind_indexes=[Compound(name="surname_and_town", with_fields=("town",))]
    )
    town = EncryptedCharField(max_length=50, null=True)

    objects = EncryptedManager()

    class Meta:
        constraints = [models.UniqueConstraint(BlindIndex("surname"), name="voter_surname_and_town")]

    def __str__(self) -> str:
        return f"voter {self.pk}"


class Resident(models.Model):
    """Found by few bits and by two columns together, under the key of the row's organization."""

    organization = models.ForeignKey(Organization, models.CASCADE)
    room = models.IntegerField(null=True)
    plain = models.CharField(max_length=20, null=True)
    town = EncryptedCharField(
        max_length=20,
        null=True,
        key_context={"organization_id": FromRow("organization.workos_id")},
        blind_indexes=[Exact(bits=4)],
    )
    street = EncryptedCharField(
        max_length=20, null=True, blind_indexes=[Compound(name="address", with_fields=("town",))]
    )

    objects = EncryptedManager()

    class Meta:
        indexes = [models.Index(BlindIndex("town"), name="resident_town")]
        constraints = [models.UniqueConstraint(BlindIndex("street"), name="resident_address")]

    def __str__(self) -> str:
        return f"resident {self.pk}"


class Questionnaire(models.Model):
    """One of each type that a form can edit; half of them may be left blank."""

    big = fields.EncryptedBigIntegerField()
    flag = fields.EncryptedBooleanField()
    maybe = fields.EncryptedBooleanField(null=True, blank=True)
    choice = fields.EncryptedCharField(max_length=10, choices=[("flu", "Influenza"), ("cold", "A cold")])
    born = fields.EncryptedDateField(null=True, blank=True)
    seen = fields.EncryptedDateTimeField()
    price = fields.EncryptedDecimalField(max_digits=8, decimal_places=2, null=True, blank=True)
    took = fields.EncryptedDurationField()
    ratio = fields.EncryptedFloatField(null=True, blank=True)
    address = fields.EncryptedGenericIPAddressField()
    number = fields.EncryptedIntegerField(null=True, blank=True, mask="last4")
    data = fields.EncryptedJSONField()
    slug = fields.EncryptedSlugField(blank=True)
    text = fields.EncryptedTextField(default=str)
    hour = fields.EncryptedTimeField(null=True, blank=True)
    url = fields.EncryptedURLField(blank=True)
    token = fields.EncryptedUUIDField()

    def __str__(self) -> str:
        return f"questionnaire {self.pk}"


class Visit(models.Model):
    """Times that Django keeps by itself, a relation, and a constraint beside an encrypted column."""

    person = models.ForeignKey(Person, models.CASCADE, related_name="visits")
    began = EncryptedDateTimeField(auto_now_add=True)
    changed = EncryptedDateTimeField(auto_now=True)
    reason = EncryptedCharField(max_length=50)
    room = models.IntegerField(default=1)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["person", "room"], name="app_visit_one_room"),
            models.CheckConstraint(condition=models.Q(room__gt=0), name="app_visit_room"),
        ]

    def __str__(self) -> str:
        return f"visit {self.pk}"
