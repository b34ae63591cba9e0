"""Customers to be forgotten, what they keep, and runs of ``vault_forget``."""

import json
from io import StringIO
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.management import CommandError, call_command
from django.test import override_settings

from django_workos_vault import vaults
from django_workos_vault.exceptions import EnvelopeError, VaultError
from tests.app.models import Contract, Device, Organization, Patient, Resident
from tests.files.models import Report

#: how vault_forget is told of the first customer
CONTEXT = "organization_id=org_1"
LOCAL = {
    "BACKEND": "django_workos_vault.backends.local.LocalVault",
    "OPTIONS": {"master_key": bytes(32), "objects_file": ":memory:"},
}


def vault_of(envelope: str, **settings: Any) -> Any:
    """Settings in which cells carry their wrapped key, or refer to the registry for it."""
    vault = {**LOCAL, "KEY_CONTEXT": {"app": "tests"}, "DATA_KEYS": {"envelope": envelope}, **settings}
    return override_settings(WORKOS_VAULTS={"default": vault})


def customer(workos_id: str) -> Organization:
    return Organization.objects.create(name=workos_id, workos_id=workos_id)


def seal_everything(organization: Organization) -> list[tuple[Any, str]]:
    """Make one row of each kind for a customer; return each with the attribute that is sealed for them."""
    device = Device(organization=organization, pin="1234")
    device.save()
    return [
        (Patient.objects.create(organization=organization, ssn="123-45-6789"), "ssn"),
        (device, "pin"),
        (Resident.objects.create(organization=organization, town="Lyon"), "town"),
        (report_of(organization.workos_id), "file"),
    ]


def opens(row: Any, attribute: str) -> bool:
    """Whether a process that begins now, with Vault and this database, reads the value."""
    vaults.reset()
    fresh = type(row).objects.get(pk=row.pk)
    try:
        value = getattr(fresh, attribute)
        if attribute != "file":
            return bool(value)
        with value.open() as file:
            return bool(file.read())
    except (EnvelopeError, VaultError):
        return False


def forget(*items: str, **options: Any) -> dict[str, Any]:
    """Run the command without asking, and return its document."""
    out = StringIO()
    call_command("vault_forget", *items, format="json", stdout=out, **{"yes": True, **options})
    report: dict[str, Any] = json.loads(out.getvalue())
    return report


def failing(*items: str, **options: Any) -> tuple[CommandError, str]:
    out = StringIO()
    with pytest.raises(CommandError) as caught:
        call_command("vault_forget", *items, stdout=out, **{"yes": True, **options})
    return caught.value, out.getvalue()


def reasons(report: dict[str, Any]) -> str:
    return "\n".join(f"{what}: {why}" for what, why in report["stays"]["reasons"].items())


def contract(organization: Organization, terms: str = "forever") -> Contract:
    return Contract.objects.create(organization=organization, terms=terms)


def report_of(clinic: str) -> Report:
    report = Report(clinic=clinic)
    report.file.save("scan.txt", ContentFile(b"an x-ray"))
    return report


def handed_over(report: Report, clinic: str = "org_2") -> Report:
    """Give the row to another customer, past Django: its file stays as it is."""
    Report.objects.filter(pk=report.pk).update(clinic=clinic)
    return report
