"""``manage.py demo``, on the test run's database."""

import re
from io import StringIO

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.test import Client, override_settings

from django_workos_vault import vaults
from example_project.management.commands import demo
from example_project.models import Organization, Patient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])


def run() -> str:
    output = StringIO()
    call_command("demo", stdout=output, stderr=output)
    return output.getvalue()


def shown(output: str) -> list[str]:
    """The address in the database, opened, and masked."""
    return re.findall("^  email .*", output, re.MULTILINE)[:3]


@pytest.fixture(autouse=True)
def _few_patients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "PATIENTS", 12)


def test_it_runs_twice_with_one_vault_request_an_organization() -> None:
    """The second run makes the same patients anew, and off a terminal the text is plain."""
    first, second = run(), run()
    for output in (first, second):
        assert "written      36 values with 4 Vault requests" in output
        assert "read         36 values with 3 Vault requests" in output
        assert re.search("found +" + Patient.objects.latest("pk").name, output)
        assert "New data keys: 3." in output
        assert "\x1b" not in output
    assert (Organization.objects.count(), Patient.objects.count()) == (3, 12)
    assert shown(first)[1:] == shown(second)[1:]
    assert shown(first)[0] != shown(second)[0]


def test_the_admin_opens_with_what_it_prints(client: Client) -> None:
    """User name and password of this run log in, and the list is masked."""
    password = re.search(r"password +(\S+)", run())
    assert password
    assert client.login(username=demo.USERNAME, password=password[1])
    html = client.get("/admin/clinic/patient/").content.decode()
    patient = Patient.objects.earliest("pk")
    assert patient.ssn not in html
    assert f"•••• {patient.ssn[-4:]}" in html


def test_a_support_user_sees_masks_and_reveals_nothing(client: Client) -> None:
    """The other user that it names may view patients, and no more."""
    password = re.search(r"password +(\S+)", run())
    assert password
    assert client.login(username=demo.SUPPORT, password=password[1])
    patient = Patient.objects.earliest("pk")
    html = client.get(f"/admin/clinic/patient/{patient.pk}/change/").content.decode()
    assert f"•••• {patient.ssn[-4:]}" in html
    assert patient.ssn not in html
    assert "Reveal" not in html
    assert 'name="ssn"' not in html
    assert client.get("/admin/django_workos_vault/vaultcheck/").status_code == 403


def test_it_shows_what_becomes_of_a_changed_cell_and_a_withdrawn_key() -> None:
    """One cell and one organization cannot be read, the others can; afterwards everything can."""
    output = run()
    assert "The cell in clinic.Patient.notes was changed after it was sealed." in output
    assert "11 of 12 patients read as before" in output
    assert "0 of 4 patients can be read" in output
    assert "8 of 8 read as before" in output
    assert "12 of 12 can be read" in output
    assert "Everything that was checked is in order." in output
    assert not re.search("[0-9a-f]{8}-[0-9a-f]{4}-", output)


def test_another_organizations_patients_stay() -> None:
    """What somebody added to the example's database is not swept away."""
    other = Organization.objects.create(name="Mine", workos_id="org_mine")
    mine = Patient.objects.create(organization=other, name="Me", ssn="123-45-6789")
    run()
    vaults.reset()
    assert Patient.objects.get(pk=mine.pk).ssn == "123-45-6789"


def test_a_database_of_another_key_file_is_an_error_to_act_on() -> None:
    """Whoever deletes the key file is told to delete the database too."""
    run()
    other_key = settings.WORKOS_VAULTS["default"] | {"OPTIONS": {"master_key": bytes(range(32))}}
    changed = override_settings(WORKOS_VAULTS={"default": other_key})
    with changed, pytest.raises(CommandError, match="delete the database"):
        run()
