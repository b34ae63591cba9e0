"""Encrypted Django model fields whose keys live in WorkOS Vault."""

from typing import TYPE_CHECKING, Any

from django_workos_vault.version import __version__ as __version__

if TYPE_CHECKING:
    from django_workos_vault.handler import vaults as vaults

__all__ = ["vaults"]


def __getattr__(name: str) -> Any:
    # Not imported above: settings modules import this package, before there are settings.
    if name == "vaults":
        from django_workos_vault.handler import vaults

        return vaults
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
