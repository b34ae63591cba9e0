"""A vault without a network, for development and tests: keys derived from one local master key."""

from django_workos_vault.backends.local.vault import LocalVault

__all__ = ["LocalVault"]
