"""Cells that refer to the registry never commit without its record."""

import threading
import time
from contextlib import suppress
from typing import Any

import pytest
from django.db import connection, transaction

from django_workos_vault import vaults
from django_workos_vault.exceptions import (
    WrongKey,
)
from django_workos_vault.fields import stored_cell
from django_workos_vault.models import DataKeyRecord
from tests.app.models import Organization, Person

pytestmark = pytest.mark.django_db


@pytest.fixture
def _reference(settings: Any) -> None:
    settings.WORKOS_VAULTS = {
        "default": settings.WORKOS_VAULTS["default"] | {"DATA_KEYS": {"envelope": "reference"}}
    }


@pytest.mark.usefixtures("_reference")
def test_reference_cells_are_small_and_open() -> None:
    """A reference cell has at most 80 bytes more than its plaintext, and opens through the registry."""
    Person.objects.create(ssn="123-45-6789", notes="")
    vaults["default"].keyring.forget()
    person = Person.objects.get()
    assert len(stored_cell(person, "ssn")) <= 80 + 11
    assert person.ssn == "123-45-6789"


@pytest.mark.usefixtures("_reference")
@pytest.mark.django_db(transaction=True)
def test_saving_again_after_a_rollback_brings_the_record_along() -> None:
    """A row whose first save was rolled back with its key's record is not stored without that record."""
    person = Person(ssn="123-45-6789")
    with suppress(ZeroDivisionError), transaction.atomic():
        person.save()
        raise ZeroDivisionError
    assert Person.objects.count() == 0
    person.save(force_insert=True)  # the instance still holds the cell sealed back then
    vaults["default"].keyring.forget()
    assert Person.objects.get().ssn == "123-45-6789"


class RegistryInOther:
    """Routes the registry to the database ``other``."""

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return "other" if model is DataKeyRecord else None

    db_for_write = db_for_read


@pytest.mark.usefixtures("_reference")
@pytest.mark.django_db(transaction=True, databases=["default", "other"])
def test_registry_in_another_database_commits_first(settings: Any) -> None:
    """The record survives a rollback of the row's transaction, never the other way round."""
    settings.DATABASE_ROUTERS = [RegistryInOther()]
    with suppress(ZeroDivisionError), transaction.atomic():
        Person.objects.create(ssn="1")
        raise ZeroDivisionError
    assert DataKeyRecord.objects.using("other").count() == 1
    assert Person.objects.count() == 0


@pytest.mark.usefixtures("_reference")
@pytest.mark.django_db(transaction=True, databases=["default", "other"])
def test_cell_never_commits_without_its_record_in_another_database(settings: Any) -> None:
    """Inside a transaction of the registry's database, the record commits apart, or the cell is refused."""
    settings.DATABASE_ROUTERS = [RegistryInOther()]
    try:
        with transaction.atomic(using="other"):
            Person.objects.create(ssn="123-45-6789")
            raise ZeroDivisionError
    except (ZeroDivisionError, WrongKey):
        pass
    vaults["default"].keyring.forget()
    assert [person.ssn for person in Person.objects.all()] == ["123-45-6789"] * Person.objects.count()
    assert Person.objects.count() == (0 if connection.vendor == "sqlite" else 1)


@pytest.mark.skipif(connection.vendor != "sqlite", reason="elsewhere the registry writes apart")
@pytest.mark.django_db(transaction=True)
def test_transaction_does_not_wait_for_a_thread_that_waits_for_it() -> None:
    """On SQLite a thread that makes a key waits for the writer, who must not wait for that key in turn."""
    ring = vaults["default"].keyring

    def write() -> None:
        try:
            Person.objects.create(ssn="2")
        finally:
            connection.close()

    other = threading.Thread(target=write)
    with transaction.atomic():
        Organization.objects.create(name="takes the lock")
        other.start()
        while not ring.rotation.flights._under_way:
            time.sleep(0.001)
        Person.objects.create(ssn="1")
    other.join()
    assert sorted(person.ssn for person in Person.objects.all()) == ["1", "2"]
