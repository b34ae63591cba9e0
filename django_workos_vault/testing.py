"""A pytest plugin: ``pytest_plugins = ["django_workos_vault.testing"]`` in the top ``conftest.py``.

Without pytest, use :func:`django_workos_vault.emulator.run_emulator`, a context manager.
"""

from collections.abc import Iterator

import pytest

from django_workos_vault.emulator import RunningEmulator, run_emulator


@pytest.fixture
def vault_emulator() -> Iterator[RunningEmulator]:
    """A Vault emulator of the test's own, in memory, on a free loopback port."""
    with run_emulator() as emulator:
        yield emulator
