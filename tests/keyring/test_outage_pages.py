"""A page full of cold values during an outage costs a deadline or two, however it reads or writes them."""

import time

import pytest
from asgiref.sync import async_to_sync
from django.db import transaction

from django_workos_vault import vaults
from django_workos_vault.exceptions import VaultError
from django_workos_vault.fields import aload_keys
from tests.app.models import Contract, Organization, Patient

pytestmark = pytest.mark.django_db(databases="__all__")

ROWS = 40
DEADLINE = 0.5
#: How long the emulator sits on a request. One deadline a row would take as long as this, and longer.
SILENCE = 30.0


@pytest.fixture
def page(settings, vault_emulator):
    """Rows of forty organizations, in a process that has no key in memory, and a Vault that says nothing."""
    settings.WORKOS_VAULTS = {
        "default": {
            "BACKEND": "django_workos_vault.backends.workos.WorkOSVault",
            "KEY_CONTEXT": {"app": "tests"},
            "OPTIONS": {
                "api_key": vault_emulator.api_key,
                "base_url": vault_emulator.url,
                "deadline": DEADLINE,
            },
        }
    }
    organizations = [Organization(name="Clinic", workos_id=f"org_{number}") for number in range(ROWS)]
    Organization.objects.bulk_create(organizations)
    organizations = list(Organization.objects.all())
    Patient.objects.bulk_create([Patient(organization=one, ssn="1") for one in organizations])
    Contract.objects.create(organization=organizations[0], terms="net 30")
    vaults.reset()
    vault_emulator.faults.latency = SILENCE
    yield organizations
    vault_emulator.faults.end_latency()


def failed(work, rows):
    """Do ``work`` with each of ``rows``, and return how many failed."""
    count = 0
    for row in rows:
        try:
            with transaction.atomic():
                work(row)
        except VaultError:
            count += 1
    return count


WAYS = {
    "one query": lambda page: failed(lambda row: row.ssn, Patient.objects.all()),
    "a query a row": lambda page: failed(
        lambda one: one.ssn, (Patient.objects.get(organization=organization) for organization in page)
    ),
    "iterator": lambda page: failed(lambda row: row.ssn, Patient.objects.iterator(chunk_size=5)),
    "async": lambda page: (
        async_to_sync(aload_keys)(list(Patient.objects.all())),
        failed(lambda row: row.ssn, Patient.objects.all()),
    )[1],
    "saves": lambda page: failed(lambda one: Patient.objects.create(organization=one, ssn="2"), page),
    "objects": lambda page: failed(lambda number: Contract.objects.get().terms, range(ROWS)),
    "new objects": lambda page: failed(
        lambda one: Contract.objects.create(organization=one, terms="net 60"), page
    ),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_page(page, way):
    """Every value fails with Vault's error, in far less than a deadline for each."""
    began = time.monotonic()
    assert way(page) == ROWS
    assert time.monotonic() - began < ROWS * DEADLINE / 2
    assert vaults["default"].stats().requests < ROWS / 2
