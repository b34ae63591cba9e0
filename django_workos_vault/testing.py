"""For a project's own tests: vaults in memory, counted requests, outages, withdrawn keys.

A pytest plugin: ``addopts = -p django_workos_vault.testing`` in ``pytest.ini`` gives the fixtures at the end.
From ``conftest.py``, pytest would warn where the settings have imported this module before. Without pytest,
the context managers do the same.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Any, TypeVar

from django.conf import settings
from django.test import override_settings

import django_workos_vault
from django_workos_vault.backends.carried import Arguments
from django_workos_vault.backends.local import LocalVault
from django_workos_vault.backends.operations import Operation
from django_workos_vault.emulator import RunningEmulator, run_emulator
from django_workos_vault.exceptions import VaultUnavailable

__all__ = ["VaultForTests", "VaultUnderTest", "frozen_rotation", "local_vaults", "vaults_for_tests"]

Result = TypeVar("Result")

_SETTING = "WORKOS_VAULTS"
_CENTURY = timedelta(days=36525)


def _vault(alias: str) -> Any:
    # The module is imported by settings, when there are no models yet.
    return django_workos_vault.vaults[alias]


class VaultForTests(LocalVault):
    """A vault in memory, with objects, that can be told to be unreachable. ``pretend_remote`` as LocalVault.

    Its master key is the same in every process and run, so that what a kept test database holds still opens.
    """

    def __init__(self, *, pretend_remote: bool = True) -> None:
        key = sha256(b"django_workos_vault.testing: this is no secret").digest()
        super().__init__(master_key=key, objects_file=":memory:", pretend_remote=pretend_remote)
        self.is_down = False

    def __repr__(self) -> str:
        return "<VaultForTests>"

    def call(self, operation: Operation[Result], arguments: Arguments) -> Result:
        """Do as LocalVault, or raise VaultUnavailable while :attr:`is_down`."""
        if self.is_down:
            self._count_request()
            raise VaultUnavailable("Vault cannot be reached: the test says so.")
        return super().call(operation, arguments)


def vaults_for_tests(
    given: Mapping[str, Mapping[str, Any]] | None = None, *, pretend_remote: bool = True
) -> dict[str, dict[str, Any]]:
    """Return ``WORKOS_VAULTS`` for tests: ``given``, each vault in memory and otherwise as it is.

    ``given`` is the ``WORKOS_VAULTS`` of the site; without it, there is one, ``"default"``. For settings.py.
    """
    backend = f"{__name__}.{VaultForTests.__name__}"
    local = {"BACKEND": backend, "OPTIONS": {"pretend_remote": pretend_remote}}
    return {
        alias: {"KEY_CONTEXT": {"app": "tests"}, **entry, **local}
        for alias, entry in (given or {"default": {}}).items()
    }


@dataclass(frozen=True)
class VaultUnderTest:
    """One of the vaults in memory, and what may happen to it."""

    alias: str = "default"

    @property
    def backend(self) -> VaultForTests:
        """The backend. Raises TypeError where other settings are in force by now."""
        backend = _vault(self.alias).backend
        if not isinstance(backend, VaultForTests):
            raise TypeError(f"Vault {self.alias!r} is no VaultForTests any more: were the settings changed?")
        return backend

    @property
    def requests_made(self) -> int:
        """Requests since the vault was made."""
        return self.backend.requests_made

    @contextmanager
    def requests(self, expected: int) -> Iterator[None]:
        """Fail with AssertionError unless the block makes just this many requests."""
        before = self.requests_made
        yield
        made = self.requests_made - before
        assert made == expected, f"{made} requests to Vault, not {expected}"  # noqa: S101

    def forget_keys(self) -> None:
        """Drop all keys from memory, as in a process that has just begun."""
        _vault(self.alias).forget_keys()
        _vault(self.alias).backend.forget_outage()

    @contextmanager
    def outage(self) -> Iterator[None]:
        """Have no Vault during the block, and no key in memory when it begins."""
        self.forget_keys()
        self.backend.is_down = True
        try:
            yield
        finally:
            self.backend.is_down = False
            self.forget_keys()

    def withdraw(self, **item: str) -> None:
        """Withdraw the key of a context item, as ``withdraw(organization_id="org_1")``, for this test."""
        for name, value in item.items():
            self.backend.revoke(name, value)
        self.forget_keys()


@contextmanager
def local_vaults(*, pretend_remote: bool = True) -> Iterator[VaultUnderTest]:
    """Put a vault in memory in the place of each configured one. Yields what controls ``"default"``."""
    made = vaults_for_tests(getattr(settings, _SETTING, None), pretend_remote=pretend_remote)
    with override_settings(**{_SETTING: made}):
        yield VaultUnderTest()


@contextmanager
def frozen_rotation() -> Iterator[None]:
    """Let no data key be replaced, however far a test moves the clock."""
    frozen = {
        alias: {**entry, "DATA_KEYS": {**entry.get("DATA_KEYS", {}), "rotate_after": _CENTURY}}
        for alias, entry in getattr(settings, _SETTING).items()
    }
    with override_settings(**{_SETTING: frozen}):
        yield


if "pytest" in sys.modules:
    import pytest

    @pytest.fixture
    def vault_emulator() -> Iterator[RunningEmulator]:
        """A Vault emulator of the test's own, in memory, on a free loopback port."""
        with run_emulator() as emulator:
            yield emulator

    @pytest.fixture
    def local_vault() -> Iterator[VaultUnderTest]:
        """Vaults in memory in the place of the configured ones, which async code meets as remote ones."""
        with local_vaults() as vault:
            yield vault

    @pytest.fixture
    def vault_requests(local_vault: VaultUnderTest) -> Callable[[int], Any]:
        """``with vault_requests(1):`` fails unless the block makes just one request."""
        return local_vault.requests

    @pytest.fixture
    def vault_outage(local_vault: VaultUnderTest) -> Callable[[], Any]:
        """``with vault_outage():`` has no Vault during the block."""
        return local_vault.outage

    @pytest.fixture
    def withdrawn_key(local_vault: VaultUnderTest) -> Callable[..., None]:
        """``withdrawn_key(organization_id="org_1")``: from now on, that key opens nothing."""
        return local_vault.withdraw

    @pytest.fixture
    def frozen_data_keys(local_vault: VaultUnderTest) -> Iterator[None]:
        """No data key is replaced during the test, however far it moves the clock."""
        with frozen_rotation():
            yield
