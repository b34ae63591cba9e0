"""The checklist behind ``vault_check``: look at everything, change nothing."""

from django_workos_vault.maintenance.inspection.checklist import Inspection
from django_workos_vault.maintenance.inspection.columns import ColumnReport
from django_workos_vault.maintenance.inspection.findings import Finding

__all__ = ["ColumnReport", "Finding", "Inspection"]
