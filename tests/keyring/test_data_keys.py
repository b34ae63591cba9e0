"""``DATA_KEYS`` in settings: each option does what it says, and ``vaults["default"].stats()`` shows it."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from django_workos_vault import vaults
from django_workos_vault.emulator import RunningEmulator
from django_workos_vault.fields import stored_cell
from tests.app.models import Organization, Patient, Person
from tests.keyring.rings import fail_at_once

# Not in a test's transaction: while that is open, keys take the way of those whose record may be undone.
pytestmark = pytest.mark.django_db(transaction=True)

MOMENT = timedelta(microseconds=1)


@pytest.fixture
def configure(settings: Any, vault_emulator: RunningEmulator) -> Iterator[Any]:
    """Return what makes ``vaults["default"]`` a fresh client of the emulator with the given ``DATA_KEYS``."""

    def configured(**data_keys: Any) -> None:
        settings.WORKOS_VAULTS = {
            "default": {
                "BACKEND": "django_workos_vault.backends.workos.WorkOSVault",
                "KEY_CONTEXT": {"app": "tests"},
                "DATA_KEYS": data_keys,
                "OPTIONS": {
                    "api_key": vault_emulator.api_key,
                    "base_url": vault_emulator.url,
                },
            }
        }

    yield configured
    vaults.reset()


def written(count: int = 1) -> None:
    for _ in range(count):
        Person.objects.create(ssn="123-45-6789")


def read() -> list[str]:
    return [person.ssn for person in Person.objects.order_by("pk")]


def changed(before: Any) -> dict[str, int]:
    """Return the numbers of the statistics that are no longer what they were, and by how much."""
    after = vaults["default"].stats()
    numbers = {name: getattr(after, name) - getattr(before, name) for name in type(after).__slots__}
    return {name: number for name, number in numbers.items() if number}


def test_statistics_count_what_happens(configure: Any) -> None:
    """Each step changes the numbers that it should, by as much as it should, and no others."""
    configure()
    before = vaults["default"].stats()
    written()
    cells = 3  # ssn, notes and email
    assert changed(before) == {
        "requests": 1,
        "sealed": cells,
        "cache_hits": cells - 1,
        "cache_misses": 1,
        "keys_cached": 1,
        "keys_created": 1,
        "leases": 1,
    }
    before = vaults["default"].stats()
    written(2)
    assert changed(before) == {"sealed": 2 * cells, "cache_hits": 2 * cells}
    before = vaults["default"].stats()
    assert read() == ["123-45-6789"] * 3
    assert changed(before) == {"opened": 3, "cache_hits": 3}
    vaults["default"].keyring.forget()
    assert vaults["default"].stats().keys_cached == 0
    before = vaults["default"].stats()
    assert read() == ["123-45-6789"] * 3
    assert changed(before) == {
        "requests": 1,
        "opened": 3,
        "cache_hits": 2,
        "cache_misses": 1,
        "keys_cached": 1,
        "keys_unwrapped": 1,
    }


def test_rotate_after(configure: Any) -> None:
    """A key that is too old is not written with again: here each value gets its own."""
    configure(rotate_after=MOMENT)
    written(3)
    stats = vaults["default"].stats()
    assert stats.keys_created == stats.sealed
    assert read() == ["123-45-6789"] * 3


def test_max_messages(configure: Any) -> None:
    """Seven values at two a key are four keys."""
    configure(max_messages=2)
    Organization.objects.create(name="one", workos_id="org_1")
    for _ in range(7):
        Patient.objects.create(organization=Organization.objects.get(), ssn="123-45-6789")
    assert vaults["default"].stats().keys_created == 4


def test_cache_ttl(configure: Any) -> None:
    """A key whose time is up is asked for each time, to read and to write."""
    configure(cache_ttl=MOMENT)
    written()
    before = vaults["default"].stats()
    assert read() + read() == ["123-45-6789"] * 2
    assert changed(before)["keys_unwrapped"] == 2
    before = vaults["default"].stats()
    written()
    assert changed(before)["keys_unwrapped"] == changed(before)["sealed"]


def test_cache_size(configure: Any) -> None:
    """Of two organizations read in turn, the one not read last is asked for again."""
    configure(cache_size=1)
    for n in range(2):
        organization = Organization.objects.create(name=str(n), workos_id=f"org_{n}")
        Patient.objects.create(organization=organization, ssn="123-45-6789")
    before = vaults["default"].stats()
    for _ in range(2):
        for patient in Patient.objects.order_by("pk").iterator():
            assert patient.ssn == "123-45-6789"
    assert vaults["default"].stats().keys_cached == 1
    assert changed(before)["keys_unwrapped"] == 4


def test_outage_grace(configure: Any, vault_emulator: RunningEmulator) -> None:
    """A key whose time is up opens on while Vault is away; while Vault answers, it is asked as ever."""
    configure(cache_ttl=MOMENT, outage_grace=timedelta(hours=1))
    written()
    assert read() == ["123-45-6789"]
    stats = vaults["default"].stats()
    assert (stats.outage_uses, stats.keys_unwrapped > 0) == (0, True)
    fail_at_once(vault_emulator)
    assert read() == ["123-45-6789"]
    assert vaults["default"].stats().outage_uses == 1


def test_envelope(configure: Any) -> None:
    """Reference cells are smaller by the wrapped key; a cold read costs one request all the same."""
    sizes = []
    for envelope in ("inline", "reference"):
        configure(envelope=envelope)
        written()
        vaults["default"].keyring.forget()
        before = vaults["default"].stats()
        person = Person.objects.latest("pk")
        sizes.append(len(stored_cell(person, "ssn")))
        assert person.ssn == "123-45-6789"
        assert changed(before)["requests"] == 1
    assert sizes[0] - sizes[1] > 200
