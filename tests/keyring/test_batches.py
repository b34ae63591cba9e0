"""Keys of many rows are made, and unwrapped, together."""

import time
from itertools import islice
from typing import Any

import pytest

from django_workos_vault import vaults
from django_workos_vault.emulator import RunningEmulator
from django_workos_vault.exceptions import (
    VaultPermissionDenied,
    WrongKey,
)
from django_workos_vault.fields import load_keys
from tests.app.models import Patient
from tests.keyring.rings import emulated, patients_of

pytestmark = pytest.mark.django_db


def test_reading_a_page_unwraps_its_keys_in_one_round(vault_emulator: RunningEmulator, settings: Any) -> None:
    """1,000 rows of 100 organizations cost 100 requests, sent together with the first value read."""
    with emulated(vault_emulator, settings):
        Patient.objects.bulk_create(patients_of(100, each=10))
        assert vaults["default"].stats().requests == 100
        vaults["default"].keyring.forget()
        before = vaults["default"].stats().requests
        rows = list(Patient.objects.all())
        assert vaults["default"].stats().requests == before  # untouched, a page costs nothing
        _ = rows[0].ssn
        assert vaults["default"].stats().requests == before + 100
        assert {row.ssn for row in rows} == {"123-45-6789"}
        assert vaults["default"].stats().requests == before + 100


def test_keys_of_values_and_iterators_can_be_fetched_together(
    vault_emulator: RunningEmulator, settings: Any
) -> None:
    """load_keys() before values_list() leaves nothing to ask for; rows of iterator() in a list are a page."""
    with emulated(vault_emulator, settings):
        Patient.objects.bulk_create(patients_of(20, each=3))
        ring = vaults["default"].keyring
        ring.forget()
        load_keys(Patient.objects.only("ssn"))
        before = ring.stats()
        assert set(Patient.objects.values_list("ssn", flat=True)) == {"123-45-6789"}
        assert ring.stats().requests == before.requests
        ring.forget()
        rows = Patient.objects.order_by("pk").iterator()
        for _ in range(2):
            portion, before = list(islice(rows, 30)), ring.stats()
            assert portion[0].ssn == "123-45-6789"
            assert ring.stats().requests - before.requests == 10
            assert {row.ssn for row in portion} == {"123-45-6789"}
            assert ring.stats().requests - before.requests == 10


def test_bulk_create_makes_its_missing_keys_together(vault_emulator: RunningEmulator, settings: Any) -> None:
    """A bulk_create() of rows of many organizations asks Vault for all their keys at once."""
    with emulated(vault_emulator, settings):
        rows = patients_of(24, each=2)
        vault_emulator.faults.latency = 0.5
        started = time.monotonic()
        Patient.objects.bulk_create(rows)
        taken = time.monotonic() - started
    assert vaults["default"].stats().keys_created == 24
    assert taken < 24 * 0.5


def test_bulk_create_of_more_organizations_than_the_cache_holds(settings: Any) -> None:
    """A small cache costs a request for each organization, not for each row and organization."""
    settings.WORKOS_VAULTS["default"]["DATA_KEYS"] = {"cache_size": 4}
    vaults.reset()
    try:
        Patient.objects.bulk_create(patients_of(40))
        assert vaults["default"].stats().keys_created == 40
        assert {row.ssn for row in Patient.objects.all()} == {"123-45-6789"}
    finally:
        del settings.WORKOS_VAULTS["default"]["DATA_KEYS"]


def test_keys_that_cannot_be_had_are_searched_for_once(settings: Any) -> None:
    """Cells whose key was withdrawn fail one by one, and do not have their page searched each time."""
    Patient.objects.bulk_create(patients_of(3, each=5))
    vault = vaults["default"]
    backend: Any = vault.backend
    backend.revoke("organization_id", "org_1")
    vault.keyring.forget()
    before = vault.stats().requests
    failed = 0
    for row in Patient.objects.all():
        try:
            assert row.ssn == "123-45-6789"
        except (VaultPermissionDenied, WrongKey):
            failed += 1
    assert failed == 5
    assert vault.stats().requests - before == 3
