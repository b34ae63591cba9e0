"""The vaults that hold the objects of these tests."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import override_settings

from django_workos_vault import vaults
from django_workos_vault.testing import RunningEmulator

LOCAL = {
    "BACKEND": "django_workos_vault.backends.local.LocalVault",
    "OPTIONS": {"master_key": bytes(32), "objects_file": ":memory:"},
}


@pytest.fixture(params=["local", "http"])
def vault(request: pytest.FixtureRequest) -> Iterator[Any]:
    """The default vault's backend: in the process, and over HTTP to an emulator."""
    if request.param == "local":
        settings: dict[str, Any] = LOCAL
    else:
        emulator: RunningEmulator = request.getfixturevalue("vault_emulator")
        settings = {
            "BACKEND": "django_workos_vault.backends.workos.WorkOSVault",
            "OPTIONS": {"api_key": emulator.api_key, "base_url": emulator.url, "deadline": 10.0},
        }
    with override_settings(WORKOS_VAULTS={"default": {**settings, "KEY_CONTEXT": {"app": "tests"}}}):
        yield vaults["default"].backend


@pytest.fixture
def remote(vault_emulator: RunningEmulator) -> Iterator[RunningEmulator]:
    """An emulator behind the default vault, for faults."""
    options = {"api_key": vault_emulator.api_key, "base_url": vault_emulator.url, "deadline": 4.0}
    vault = {
        "BACKEND": "django_workos_vault.backends.workos.WorkOSVault",
        "KEY_CONTEXT": {"app": "tests"},
        "OPTIONS": options,
    }
    with override_settings(WORKOS_VAULTS={"default": vault}):
        yield vault_emulator
