"""A key that one tenant withdrew, in batches with others: it fails the rows that need it."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction

from django_workos_vault import vaults
from django_workos_vault.emulator import RunningEmulator
from django_workos_vault.exceptions import EnvelopeError, VaultError
from django_workos_vault.fields import load_keys
from tests.app.models import Organization, Patient

pytestmark = pytest.mark.django_db

WITHDRAWN = 2


@pytest.fixture
def patients(vault_emulator: RunningEmulator, settings: Any) -> list[Patient]:
    """Make a patient of each of five organizations, the third of which withdraws its key."""
    settings.WORKOS_VAULTS = {
        "default": {
            "BACKEND": "django_workos_vault.backends.workos.WorkOSVault",
            "KEY_CONTEXT": {"app": "tests"},
            "OPTIONS": {"api_key": vault_emulator.api_key, "base_url": vault_emulator.url},
        }
    }
    organizations = [Organization(name=str(n), workos_id=f"org_{n}") for n in range(5)]
    Organization.objects.bulk_create(organizations)
    patients = Patient.objects.bulk_create(Patient(organization=org, ssn=org.name) for org in organizations)
    vault_emulator.revoke("organization_id", f"org_{WITHDRAWN}")
    vaults["default"].keyring.forget()
    return patients


def check(rows: list[Patient]) -> None:
    for n, row in enumerate(rows):
        if n == WITHDRAWN:
            with pytest.raises((VaultError, EnvelopeError)):
                _ = row.ssn
        else:
            assert row.ssn == str(n)


def rows() -> list[Patient]:
    return list(Patient.objects.select_related("organization").order_by("pk"))


@pytest.mark.parametrize("first", range(5))
def test_reading(patients: list[Patient], first: int) -> None:
    """Whichever cell is read first, and fetches the keys of the others along with its own."""
    page = rows()
    try:
        _ = page[first].ssn
    except (VaultError, EnvelopeError):
        assert first == WITHDRAWN
    check(page)


def test_prefetched(patients: list[Patient]) -> None:
    """Rows that came along with others are neighbours like any."""
    organizations = Organization.objects.prefetch_related("patient_set").order_by("pk")
    check([patient for organization in organizations for patient in organization.patient_set.all()])


def test_loading_ahead(patients: list[Patient]) -> None:
    """load_keys() gets the keys that are to be had, and reading asks for no more."""
    page = rows()
    load_keys(page)
    requests = vaults["default"].stats().requests
    check(page)
    assert vaults["default"].stats().requests == requests


def test_writing(patients: list[Patient]) -> None:
    """A withdrawn key seals nothing; the others' rows are written, in bulk too once that row is left out."""
    page = rows()
    for row in page:
        row.ssn = f"new {row.ssn}" if row != patients[WITHDRAWN] else "new"
    saved = []
    for row in page:
        try:
            with transaction.atomic():
                row.save()
        except (VaultError, EnvelopeError):
            assert row == patients[WITHDRAWN]
        else:
            saved.append(row)
    assert len(saved) == 4
    others = [row.organization for row in saved]
    assert len(Patient.objects.bulk_create(Patient(organization=org, ssn="1") for org in others)) == 4


SHOWN: list[Callable[[Any], str]] = [repr, str, "{!r:>80}".format]


@pytest.mark.parametrize("shown", SHOWN)
def test_error_reports_ask_nothing(patients: list[Patient], shown: Callable[[Any], str]) -> None:
    """What a debugger or an error report shows of rows and of what they hold costs no request."""
    page = rows()
    requests = vaults["default"].stats().requests
    vault = vaults["default"]
    held = [value for row in page for value in row.__dict__.values()]
    ours = [vault, vault.keyring, vault.keyring.cache, vault.backend, vault.index_keys, Patient.objects.all()]
    for thing in [*held, *page, *ours, Patient._meta.get_field("ssn")]:
        assert "org_" not in shown(thing)
    assert vault.stats().requests == requests
