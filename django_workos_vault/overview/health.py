"""How each vault does, as this process has seen it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from django.utils.translation import gettext as _

from django_workos_vault import conf
from django_workos_vault.backends.health import Health
from django_workos_vault.exceptions import InvalidVaultConfiguration
from django_workos_vault.handler import vaults
from django_workos_vault.keyring.policy import KeyRingStats


@dataclass(frozen=True, slots=True)
class VaultHealth:
    """One vault: its backend's own report, and what its key ring did. ``problem`` is why there is none."""

    alias: str
    backend: str = ""
    health: Health = field(default_factory=Health)
    stats: KeyRingStats | None = None
    problem: str = ""

    @property
    def state(self) -> str:
        """What is to be told first."""
        if self.problem:
            return _("not usable")
        if self.health.asks_again_in:
            return _("not asked: Vault failed a moment ago")
        return _("in order")

    @property
    def failed_at(self) -> datetime | None:
        """When Vault itself failed last."""
        return self.health.failed_at


def vaults_health() -> Iterator[VaultHealth]:
    """Yield the health of every configured vault. Nothing is asked."""
    for alias in conf.vault_aliases():
        try:
            vault = vaults[alias]
        except InvalidVaultConfiguration as exc:
            yield VaultHealth(alias, problem=str(exc))
            continue
        yield VaultHealth(alias, type(vault.backend).__name__, vault.backend.health(), vault.stats())
