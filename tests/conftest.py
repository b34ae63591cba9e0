"""Fixtures that more than one test module uses."""

from collections.abc import Iterator

import pytest

from django_workos_vault.handler import vaults

pytest_plugins = ["django_workos_vault.testing"]


@pytest.fixture(autouse=True)
def _fresh_vaults() -> Iterator[None]:
    """Every test starts with cold keys: what one test's transaction rolled back, another must not use."""
    yield
    vaults.reset()
