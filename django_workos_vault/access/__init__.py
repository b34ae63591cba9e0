"""The record of who saw what: one chain of access records, each tied to the one before it by an HMAC."""

from django_workos_vault.access.chain import AccessRecords, Limit, LimitReached
from django_workos_vault.access.entries import Entry
from django_workos_vault.access.signals import access_recorded
from django_workos_vault.access.verification import Break, Broken

__all__ = ["AccessRecords", "Break", "Broken", "Entry", "Limit", "LimitReached", "access_recorded"]
