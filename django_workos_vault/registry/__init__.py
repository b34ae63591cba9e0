"""The database side of the key ring: which key is current, what it may still seal; and index root keys."""

from django_workos_vault.registry.data_keys import DatabaseRegistry
from django_workos_vault.registry.root_keys import DatabaseRootKeys

__all__ = ["DatabaseRegistry", "DatabaseRootKeys"]
