"""A table needs more keys than the rate limit has turns for: what goes through it waits for the next."""

import json
import time
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.test import override_settings

from django_workos_vault import vaults
from django_workos_vault.fields.scheme import Scheme
from django_workos_vault.maintenance.engine import runs
from django_workos_vault.maintenance.files.labels import seal_files_for_own_label
from django_workos_vault.models import DataKeyRecord, MaintenanceRun
from django_workos_vault.operations import EncryptColumn
from tests.app.models import Citizen, Organization, Patient
from tests.files.models import Report
from tests.maintenance.few_turns import TURNS, WINDOW, FewTurns, NobodySaysWhen, with_turns
from tests.maintenance.reencrypting import failing, reencrypt
from tests.maintenance.test_adoption import run

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

#: each with a key of its own
CUSTOMERS = 2 * TURNS


@pytest.fixture(autouse=True)
def patients() -> Iterator[None]:
    with override_settings(WORKOS_VAULTS=with_turns(FewTurns)):
        for number in range(CUSTOMERS):
            organization = Organization.objects.create(name="o", workos_id=f"org_{number}")
            if number % TURNS == 0:
                time.sleep(2 * WINDOW)  # for the next turns: nobody waits where a user would
            Patient.objects.create(organization=organization, ssn=f"{number}")
        vaults["default"].forget_keys()
        yield


@pytest.mark.parametrize("operation", ["reseal", "rekey"])
def test_a_run(operation: str) -> None:
    """It ends with each row done, and one new key for each customer: resumed, it would need as many turns."""
    reencrypt("app.Patient", operation=operation)
    found = MaintenanceRun.objects.get()
    assert (found.state, runs.progress(found).rows, runs.progress(found).keys_made) == (
        "finished",
        CUSTOMERS,
        CUSTOMERS,
    )
    if operation == "reseal":
        assert DataKeyRecord.objects.count() == 2 * CUSTOMERS
    with override_settings(WORKOS_VAULTS=with_turns(FewTurns)):
        call_command("vault_check", all=True, stdout=StringIO())


@pytest.mark.parametrize("how", ["dry_run", "plan"])
def test_a_look(how: str) -> None:
    """Nothing is called unreadable."""
    document = json.loads(reencrypt("app.Patient", format="json", **{how: True}))
    assert document["columns"][0]["renewed"] == CUSTOMERS


def test_a_plan_of_an_index() -> None:
    """Every row counts."""
    out = StringIO()
    call_command("vault_index_plan", "app.Patient.ssn", format="json", stdout=out)
    assert json.loads(out.getvalue())["indexes"][0]["rows"] == CUSTOMERS


def test_nobody_says_when() -> None:
    """The run is paused, as in an outage."""
    with override_settings(WORKOS_VAULTS=with_turns(NobodySaysWhen)):
        error, _ = failing("app.Patient")
    assert "Stopped: Not now." in str(error)
    found = MaintenanceRun.objects.get()
    assert (found.state, found.reason) == ("paused", "VaultRateLimited: Not now.")


def test_a_migration_that_encrypts_a_column() -> None:
    """Begun again, it opens what is done before it comes to the rest."""
    for number in range(CUSTOMERS):
        if number % TURNS == 0:
            time.sleep(2 * WINDOW)
        vaults["default"].rotate()
        Citizen.objects.create(tax_id=f"{number}")
    Citizen.objects.bulk_create([Citizen(tax_id="the rest")])
    vaults["default"].forget_keys()
    run(EncryptColumn("Citizen", plain="tax_id", encrypted="tax_id_sealed"))
    assert not Citizen.objects.filter(tax_id_sealed=None).exists()


def test_files(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those in clear are sealed, and then for another label."""
    settings.MEDIA_ROOT = tmp_path
    for number in range(CUSTOMERS):
        name = default_storage.save("scan.png", ContentFile(b"x"))
        Report.objects.create(clinic=f"org_{number}", file=name)
    journal = tmp_path / "journal.jsonl"
    call_command("vault_encrypt_files", "files.Report.file", journal=journal, stdout=StringIO())
    field: Any = Report._meta.get_field("file")
    with monkeypatch.context() as patch:
        patch.setattr(field, "previous_labels", (field.label,))
        patch.setattr(field, "explicit_label", "another")
        patch.setattr(field, "scheme", Scheme(field))
        vaults["default"].forget_keys()
        seal_files_for_own_label(field, "default")
        patch.setattr(field, "previous_labels", ())
        patch.setattr(field, "scheme", Scheme(field))
        time.sleep(2 * WINDOW)
        with Report.objects.get(clinic="org_0").file.open() as file:
            assert file.read() == b"x"
