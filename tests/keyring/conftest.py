"""Fixtures of the key ring's tests."""

from collections.abc import Iterator
from typing import Any

import pytest

from django_workos_vault.backends.workos import WorkOSVault
from django_workos_vault.emulator import RunningEmulator
from tests.keyring.rings import Client


@pytest.fixture
def client(vault_emulator: RunningEmulator) -> Iterator[Client]:
    """Return a maker of clients of the emulator, which are closed in the end."""
    made: list[WorkOSVault] = []

    def make(**options: Any) -> WorkOSVault:
        made.append(WorkOSVault(api_key=vault_emulator.api_key, base_url=vault_emulator.url, **options))
        return made[-1]

    yield make
    for vault in made:
        vault.close()
