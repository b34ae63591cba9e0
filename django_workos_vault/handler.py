"""The former place of ``vaults``: write ``from django_workos_vault import vaults``."""

from django_workos_vault.vault import vaults

__all__ = ["vaults"]
