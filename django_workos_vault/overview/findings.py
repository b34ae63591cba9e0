"""What ``vault_check`` found last, kept for the Vault page, and where it says what to do."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from django.db import DatabaseError, transaction

from django_workos_vault.maintenance.inspection import Finding
from django_workos_vault.models import VaultCheck
from django_workos_vault.registry.rows import as_stored

DOCS = "https://github.com/django-workos-vault/django-workos-vault/blob/main/docs/"
#: findings that are kept, problems first
KEPT = 200
_ID = re.compile(r"\((django_workos_vault\.[EW]\d{3})\)$")
_PAGES = {"access records": "access-records.md", "files": "files.md", "objects": "objects.md"}


@dataclass(frozen=True, slots=True)
class KeptFinding:
    """A finding, and the address of the page that says what to do."""

    step: str
    subject: str
    status: str
    message: str
    advice: str
    address: str


def keep_findings(findings: Sequence[Finding]) -> None:
    """Write down ``findings`` in the place of the last ones. Where there is no table to, nothing is kept."""
    problems_first = sorted(findings, key=lambda finding: finding.status != "problem")
    kept = [asdict(finding) for finding in problems_first[:KEPT]]
    try:
        with transaction.atomic():
            VaultCheck.objects.update_or_create(
                pk=1,
                defaults={
                    "at": as_stored(datetime.now(UTC)),
                    "problems": sum(finding.status == "problem" for finding in findings),
                    "findings": kept,
                },
            )
    except DatabaseError:
        pass  # a look at everything needs no table of its own


def last_check() -> tuple[VaultCheck | None, list[KeptFinding]]:
    """Return the last check, and its findings that are not in order."""
    check = VaultCheck.objects.first()
    found = [_kept(each) for each in check.findings] if check else []
    return check, [each for each in found if each.status != "ok"]


def _kept(told: dict[str, Any]) -> KeptFinding:
    message = str(told.get("message", ""))
    step = str(told.get("step", ""))
    check_id = _ID.search(message)
    page = (
        f"checks.md#{check_id[1].replace('.', '').lower()}" if check_id else _PAGES.get(step, "commands.md")
    )
    names = ("subject", "status", "advice")
    return KeptFinding(
        step=step, message=message, address=DOCS + page, **{name: str(told.get(name, "")) for name in names}
    )
