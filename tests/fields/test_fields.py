"""Encrypted fields through Django's ORM."""

import pytest
from django.core import serializers
from django.core.exceptions import FieldError
from django.db import connection, models, transaction

from django_workos_vault import vaults
from django_workos_vault.fields.cell import Sealed
from tests.app.models import Organization, Patient, Person

pytestmark = pytest.mark.django_db


def stored(person: Person, column: str = "ssn") -> bytes:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {column} FROM app_person WHERE id = %s", [person.pk])
        return bytes(cursor.fetchone()[0])


def requests_made() -> int:
    return vaults["default"].backend.requests_made


def test_value_comes_back_and_the_column_holds_ciphertext() -> None:
    """What was saved is read back; the database never sees it."""
    person = Person.objects.create(ssn="123-45-6789", notes="", email="a@b.example")
    assert b"123-45" not in stored(person)
    loaded = Person.objects.get()
    assert (loaded.ssn, loaded.notes, loaded.email) == ("123-45-6789", "", "a@b.example")
    assert person.ssn == "123-45-6789"


def test_saving_an_untouched_row_writes_the_same_bytes_without_opening() -> None:
    """Loading, listing and saving decrypt nothing and ask Vault for nothing."""
    before = stored(Person.objects.create(ssn="123-45-6789"))
    vaults.reset()
    person = Person.objects.get()
    with vaults["default"].decryption_forbidden():
        person.save()
        person.refresh_from_db()
    assert stored(person) == before
    assert requests_made() == 0
    assert type(person.__dict__["ssn"]) is Sealed


@pytest.mark.parametrize(
    "expression", [models.F("name"), models.Value("123"), models.functions.Upper(models.Value("x"))]
)
def test_expressions_into_an_encrypted_field_are_refused(expression: models.Expression) -> None:
    """The database cannot encrypt, so no expression may write into the column."""
    person = Person.objects.create(ssn="123-45-6789")
    before = stored(person)
    with pytest.raises(FieldError, match="cannot encrypt"), transaction.atomic():
        Person.objects.update(ssn=expression)
    assert stored(person) == before


def test_copying_into_a_plain_column_is_refused() -> None:
    """A plain column must not receive an encrypted one's cells."""
    Person.objects.create(ssn="123-45-6789")
    with pytest.raises(FieldError, match="cannot open its cells"), transaction.atomic():
        Person.objects.update(name=models.F("ssn"))


def test_ordering_is_refused() -> None:
    """Ciphertext has no order."""
    with pytest.raises(FieldError, match="no order"):
        list(Person.objects.order_by("ssn"))


@pytest.mark.parametrize("lookup", ["ssn", "ssn__contains", "ssn__gt", "ssn__in", "ssn__year__gt"])
def test_lookups_that_cannot_work_say_why(lookup: str) -> None:
    """A lookup on ciphertext is an error that does not quote the value."""
    with pytest.raises(FieldError, match="different ciphertexts") as caught:
        Person.objects.filter(**{lookup: "123-45-6789"})
    assert "123-45" not in str(caught.value)


def test_isnull_works() -> None:
    """NULL is not encrypted."""
    Person.objects.create(name="without")
    Person.objects.create(name="with", ssn="1")
    assert Person.objects.get(ssn=None).name == "without"
    assert Person.objects.get(ssn__isnull=False).name == "with"


def test_row_chooses_the_key() -> None:
    """Patients of two organizations are sealed under two data keys."""
    for workos_id in ("org_1", "org_2"):
        organization = Organization.objects.create(name=workos_id, workos_id=workos_id)
        Patient.objects.create(organization=organization, ssn="1")
        Patient.objects.create(organization=organization, ssn="2")
    assert requests_made() == 2
    assert sorted(p.ssn for p in Patient.objects.all()) == ["1", "1", "2", "2"]


def test_dumpdata_holds_ciphertext_and_loads_again() -> None:
    """A fixture carries the cell, and a hand-written one is sealed."""
    person = Person.objects.create(ssn="123-45-6789")
    before = stored(person)
    dump = serializers.serialize("json", Person.objects.all())
    assert "123-45" not in dump
    Person.objects.all().delete()
    for item in serializers.deserialize("json", dump):
        item.save()
    assert stored(person) == before
    for item in serializers.deserialize("json", '[{"model": "app.person", "fields": {"ssn": "987"}}]'):
        item.save()
        assert Person.objects.get(pk=item.object.pk).ssn == "987"
