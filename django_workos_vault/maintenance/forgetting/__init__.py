"""Forget a customer: destroy the keys of one key context, and say what can be opened all the same."""

from django_workos_vault.maintenance.forgetting.plan import Plan
from django_workos_vault.maintenance.forgetting.run import Forgetting
from django_workos_vault.maintenance.forgetting.subject import Subject

__all__ = ["Forgetting", "Plan", "Subject"]
