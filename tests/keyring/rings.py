"""Key rings for tests, and what they need."""

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django_workos_vault.backends.base import VaultBackend
from django_workos_vault.backends.local import LocalVault
from django_workos_vault.backends.workos import WorkOSVault
from django_workos_vault.cipher import Cipher
from django_workos_vault.context import KeyContext
from django_workos_vault.datakey import LoadedKey
from django_workos_vault.emulator import RunningEmulator
from django_workos_vault.keyring.policy import DataKeyPolicy
from django_workos_vault.keyring.ring import KeyRing
from django_workos_vault.registry import DatabaseRegistry
from tests.app.models import Organization, Patient

CLINIC = KeyContext({"app": "clinic"})
MASTER_KEY = b"tests only: this is not a secret"


Client = Callable[..., WorkOSVault]


def make_ring(
    backend: VaultBackend | None = None, clock: Callable[[], float] | None = None, **policy: Any
) -> KeyRing:
    return KeyRing(
        vault="default",
        backend=backend or LocalVault(master_key=MASTER_KEY),
        registry=DatabaseRegistry("default"),
        policy=DataKeyPolicy(**policy),
        clock=clock or time.monotonic,
    )


def cipher_of(ring: KeyRing) -> Cipher:
    return Cipher(ring, "app.Person.ssn")


@contextmanager
def emulated(emulator: RunningEmulator, settings: Any, **data_keys: Any) -> Iterator[None]:
    """Make ``vaults["default"]`` a client of the emulator."""
    settings.WORKOS_VAULTS = {
        "default": {
            "BACKEND": "django_workos_vault.backends.workos.WorkOSVault",
            "KEY_CONTEXT": {"app": "tests"},
            "DATA_KEYS": data_keys,
            "OPTIONS": {"api_key": emulator.api_key, "base_url": emulator.url},
        }
    }
    yield


def patients_of(organizations: int, each: int = 1) -> list[Patient]:
    made = Organization.objects.bulk_create(
        Organization(name=str(n), workos_id=f"org_{n}") for n in range(organizations)
    )
    return [Patient(organization=org, ssn="123-45-6789") for org in made for _ in range(each)]


def loaded_keys_alive() -> int:
    gc.collect()
    # Not isinstance(), which would wake lazy objects of other packages.
    return sum(type(thing) is LoadedKey for thing in gc.get_objects())


def sealed_without_database(ring: KeyRing) -> bytes:
    """Return b"x" as a cell, without the registry: another thread would see another transaction."""
    key = LoadedKey(ring.backend.create_data_key(CLINIC.items))
    ring.cache.put(key)
    cipher = cipher_of(ring)
    head = cipher._head(key, 0, b"")
    sealed = key.aead.encrypt(bytes(12), b"x", head.associated_data)
    return head.start + bytes(12) + sealed[-16:] + sealed[:-16]


def fail_at_once(emulator: RunningEmulator, status: int = 503) -> None:
    """Make every request fail and be tried no second time: a call needs no deadline that load could reach."""
    emulator.faults.fail_status, emulator.faults.retry_after = status, "3600"
    emulator.faults.fail = 1.0
