"""Seal, or wrap the keys of, whole columns again while others read and write them."""

from django_workos_vault.maintenance.reencryption.renewals import Rekeying, Renewal, Resealing
from django_workos_vault.maintenance.reencryption.run import ColumnCounts, Run
from django_workos_vault.maintenance.reencryption.target import UnknownTarget, fields_of

__all__ = ["ColumnCounts", "Rekeying", "Renewal", "Resealing", "Run", "UnknownTarget", "fields_of"]
