"""``vaults["default"]``: alias to configured vault, one per process.

Vaults are kept as Django keeps file storages: shared by all threads and tasks, so that key caches and
connection pools are. (``BaseConnectionHandler`` keeps one object per thread and task.)
"""

from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from threading import Lock
from typing import Any

from django.core.signals import setting_changed

from django_workos_vault import conf
from django_workos_vault.access import AccessRecords
from django_workos_vault.admin_settings import admin_settings
from django_workos_vault.exceptions import InvalidVaultConfiguration
from django_workos_vault.vault import Vault

__all__ = ["VaultHandler", "vaults"]


class VaultHandler:
    """The configured vaults, made when first asked for."""

    def __init__(self) -> None:
        self._vaults: dict[str, Vault] = {}
        self._lock = Lock()

    def __getitem__(self, alias: str) -> Vault:
        """Return the vault ``alias``. Raises InvalidVaultConfiguration when it is unknown or wrong."""
        try:
            return self._vaults[alias]
        except KeyError:
            with self._lock:
                if alias not in self._vaults:
                    settings = conf.vault_settings(alias)
                    # The others are made when they are asked for: two vaults may name each other.
                    others = partial(self._each, settings.also_reads)
                    self._vaults[alias] = Vault(settings, self.access_records, others)
                return self._vaults[alias]

    def _each(self, aliases: tuple[str, ...]) -> list[Vault]:
        return [self[alias] for alias in aliases]

    def __iter__(self) -> Iterator[str]:
        return iter(conf.vault_aliases())

    def usable(self) -> Iterator[Vault]:
        """Yield the vaults whose settings are right; the system checks tell of the others."""
        with suppress(InvalidVaultConfiguration):
            for alias in self:
                with suppress(InvalidVaultConfiguration):
                    yield self[alias]

    def access_records(self) -> AccessRecords:
        """Return the record of who saw what, of all vaults. Its key is one of ``RECORD_VAULT``'s."""
        return self[admin_settings().record_vault].access_records()

    def reset(self) -> None:
        """Drop every vault with its keys and connections. The next use reads the settings again."""
        with self._lock:
            for vault in self._vaults.values():
                vault.keyring.close()
                vault.close()
            self._vaults.clear()


vaults = VaultHandler()


def _reset_on_setting_change(*, setting: str, **kwargs: Any) -> None:
    if setting == conf.SETTING:
        conf.hide_secrets()
        vaults.reset()


setting_changed.connect(_reset_on_setting_change)
