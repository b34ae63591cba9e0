"""The masked admin, driven over HTTP with Django's test client."""

from collections.abc import Iterator

import pytest
from django.contrib.admin import ModelAdmin, site
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client, RequestFactory, override_settings

from django_workos_vault import vaults
from django_workos_vault.admin import MaskedAdminMixin
from django_workos_vault.emulator import RunningEmulator
from django_workos_vault.fields import stored_cell
from django_workos_vault.masks import FULL
from tests.app.models import Account, Device, Organization, Patient, Person, Session

pytestmark = pytest.mark.django_db

SSN, NOTES, EMAIL = "123-45-6789", "a note nobody may read", "ada@private.example"
LIST, ADD = "/admin/app/person/", "/admin/app/person/add/"


@pytest.fixture
def person() -> Person:
    person = Person.objects.create(name="Ada", ssn=SSN, notes=NOTES, email=EMAIL)
    vaults.reset()
    return person


@pytest.fixture
def form(person: Person) -> str:
    return f"{LIST}{person.pk}/change/"


@pytest.fixture
def opening_forbidden(person: Person) -> Iterator[None]:
    with vaults["default"].decryption_forbidden():
        yield


def page(client: Client, url: str, **posted: str) -> str:
    """The page at ``url``, after whatever redirect; it holds no plaintext."""
    response = client.post(url, posted, follow=True) if posted else client.get(url, follow=True)
    assert response.status_code == 200
    html = response.content.decode()
    assert not [secret for secret in (SSN, NOTES, EMAIL, "Sealed") if secret in html]
    return html


def cells(person: Person) -> tuple[bytes, ...]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT ssn, notes, email FROM app_person WHERE id = %s", [person.pk])
        return tuple(bytes(cell) if cell is not None else None for cell in cursor.fetchone())


def break_cell(person: Person, column: str) -> None:
    cell = dict(zip(("ssn", "notes", "email"), cells(person), strict=True))[column]
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE app_person SET {column} = %s WHERE id = %s",
            [cell[:-1] + bytes([cell[-1] ^ 1]), person.pk],
        )


@pytest.mark.usefixtures("person")
def test_list_shows_masks(admin_client: Client) -> None:
    """Every encrypted column of the list is masked, without being told field by field."""
    html = page(admin_client, LIST)
    assert "•••• 6789" in html
    assert FULL in html


@pytest.mark.usefixtures("opening_forbidden")
def test_list_survives_cells_that_cannot_be_opened(admin_client: Client) -> None:
    """A mask that needs the value says that it cannot be made; the whole mask needs nothing."""
    html = page(admin_client, LIST)
    assert "cannot be opened" in html
    assert FULL in html
    assert vaults["default"].backend.requests_made == 0


@pytest.mark.usefixtures("person")
@pytest.mark.parametrize("order", ["2", "-2", "2.1", "3"])
def test_list_cannot_be_ordered_by_an_encrypted_column(admin_client: Client, order: str) -> None:
    """There is no link to order by it, and a hand-made one is ignored."""
    html = page(admin_client, f"{LIST}?o={order}")
    assert "column-name" in html
    assert "sortable column-ssn" not in html


def test_link_in_an_encrypted_column_leads_to_the_form(admin_client: Client, form: str) -> None:
    """list_display_links may name a masked column."""
    assert page(admin_client, LIST).count(f'href="{form}"') == 2


@pytest.mark.usefixtures("opening_forbidden")
def test_form_holds_no_plaintext_and_opens_nothing(admin_client: Client, form: str) -> None:
    """The inputs are blank; the mask is the placeholder."""
    html = page(admin_client, form)
    assert f'placeholder="{FULL}"' in html
    assert '<textarea name="notes" cols="40" rows="10" class="vLargeTextField"' in html
    assert vaults["default"].backend.requests_made == 0


def test_form_shows_the_mask_of_each_field(admin_client: Client, form: str) -> None:
    """A partial mask is shown as the field declares it."""
    assert 'placeholder="•••• 6789"' in page(admin_client, form)


@pytest.mark.usefixtures("opening_forbidden")
def test_blank_keeps(admin_client: Client, person: Person, form: str) -> None:
    """Saving the form as it came writes the same bytes and opens nothing."""
    before = cells(person)
    page(admin_client, form, name="Ada L.", ssn="", notes="", email="")
    assert cells(person) == before
    assert Person.objects.get().name == "Ada L."
    assert LogEntry.objects.get().get_change_message() == "Changed Name."


def test_what_is_entered_is_saved(admin_client: Client, person: Person, form: str) -> None:
    """A value replaces the cell; the log names the field only."""
    before = cells(person)
    page(admin_client, form, name="Ada", ssn="987-65-4321", notes="", email="")
    assert Person.objects.get().ssn == "987-65-4321"
    assert cells(person)[1:] == before[1:]
    entry = LogEntry.objects.get()
    assert entry.get_change_message() == "Changed Ssn."
    assert "987" not in entry.change_message
    assert "987" not in page(admin_client, f"{LIST}{person.pk}/history/")


def test_values_are_validated(admin_client: Client, person: Person, form: str) -> None:
    """The plaintext field's own validation applies, and what was entered is not echoed."""
    before = cells(person)
    html = page(admin_client, form, name="Ada", ssn="", notes="", email="no address")
    assert "Enter a valid email address" in html
    assert "no address" not in html
    assert cells(person) == before


def test_an_error_elsewhere_does_not_echo_and_says_so(admin_client: Client, form: str) -> None:
    """After an error in another field the page says that the value has to be entered again."""
    html = page(admin_client, form, name="", ssn="987-65-4321", notes="", email="")
    assert "987-65-4321" not in html
    assert html.count("enter it once more") == 1


def test_clear_empties_a_column_that_may_be_empty(admin_client: Client, person: Person, form: str) -> None:
    """The checkbox is offered where blank is allowed; NULL where NULL is, the empty text elsewhere."""
    html = page(admin_client, form)
    assert 'name="ssn-clear"' in html
    assert 'name="notes-clear"' not in html
    page(
        admin_client, form, name="Ada", ssn="", notes="", email="", **{"ssn-clear": "on", "email-clear": "on"}
    )
    assert (Person.objects.get().ssn, Person.objects.get().email) == (None, "")
    assert Person.objects.get().notes == NOTES
    page(admin_client, form, name="Ada", ssn="", notes="", email="", **{"notes-clear": "on"})
    assert Person.objects.get().notes == NOTES


def test_clear_and_a_value_contradict(admin_client: Client, person: Person, form: str) -> None:
    """Ticking the checkbox and entering a value is an error."""
    before = cells(person)
    html = page(admin_client, form, name="Ada", ssn="9", notes="", email="", **{"ssn-clear": "on"})
    assert "not both" in html
    assert cells(person) == before


def test_a_broken_cell_is_marked_and_kept(admin_client: Client, person: Person, form: str) -> None:
    """The list and the form of a row with a tampered cell work, and saving keeps the stored bytes."""
    break_cell(person, "ssn")
    before = cells(person)
    assert "cannot be opened" in page(admin_client, LIST)
    assert 'placeholder="cannot be opened"' in page(admin_client, form)
    page(admin_client, form, name="Ada L.", ssn="", notes="", email="")
    assert cells(person) == before
    page(admin_client, form, name="Ada L.", ssn="", notes="", email="", **{"ssn-clear": "on"})
    assert cells(person)[0] is None


def test_text_that_looks_like_a_cell_is_text(admin_client: Client, person: Person, form: str) -> None:
    """Input is never opened, whatever it looks like."""
    text = "workos-vault-cell:AQEA"
    page(admin_client, form, name="Ada", ssn="", notes=text, email="")
    assert Person.objects.get().notes == text


def test_adding_works_as_usual(admin_client: Client) -> None:
    """The add form has the usual inputs, but a default is masked: a blank keeps it."""
    html = page(admin_client, ADD)
    assert html.count("Leave blank to keep") == 1
    assert "nothing yet" not in html
    assert "-clear" not in html
    page(admin_client, ADD, name="Grace", ssn="987-65-4321", notes="", email="")
    assert (Person.objects.get().ssn, Person.objects.get().notes) == ("987-65-4321", "nothing yet")


def test_deleting_shows_no_plaintext(admin_client: Client, person: Person) -> None:
    """The confirmation and the history hold nothing of the encrypted fields."""
    page(admin_client, f"{LIST}{person.pk}/delete/")
    page(admin_client, f"{LIST}{person.pk}/history/")
    page(admin_client, f"{LIST}{person.pk}/delete/", post="yes")
    assert not Person.objects.exists()


@pytest.mark.usefixtures("person")
def test_view_only_pages_are_masked(client: Client, form: str) -> None:
    """Who may only view sees masks."""
    viewer = User.objects.create_user("viewer", password="x", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_person", content_type__app_label="app"))
    client.force_login(viewer)
    html = page(client, form)
    assert "•••• 6789" in html
    assert FULL in html


def test_readonly_fields_and_inlines_are_masked_and_saved(admin_client: Client) -> None:
    """Read-only fields show masks; inline rows keep, replace and add cells like the main form."""
    organization = Organization.objects.create(name="Clinic", workos_id="org_1")
    patient = Patient.objects.create(organization=organization, ssn=SSN)
    assert FULL in page(admin_client, f"/admin/app/patient/{patient.pk}/change/")
    url = f"/admin/app/organization/{organization.pk}/change/"
    html = page(admin_client, url)
    assert 'placeholder="••••••••"' in html
    posted = {
        "name": "Clinic",
        "workos_id": "org_1",
        "patient_set-TOTAL_FORMS": "2",
        "patient_set-INITIAL_FORMS": "1",
        "patient_set-0-id": str(patient.pk),
        "patient_set-0-organization": str(organization.pk),
        "patient_set-0-ssn": "",
        "patient_set-1-organization": str(organization.pk),
        "patient_set-1-ssn": "987-65-4321",
    }
    before = stored_cell(patient, "ssn")
    page(admin_client, url, **posted)
    rows = Patient.objects.order_by("pk")
    assert [row.ssn for row in rows] == [SSN, "987-65-4321"]
    assert stored_cell(rows[0], "ssn") == before


def test_a_row_moved_to_another_key_is_sealed_anew(admin_client: Client) -> None:
    """A blank input keeps the value; its cell follows the row to the other organization's key."""
    here, there = (Organization.objects.create(name=name, workos_id=name) for name in ("org_1", "org_2"))
    device = Device.objects.create(organization=here, pin="1234")
    url = f"/admin/app/device/{device.pk}/change/"
    html = page(admin_client, url, id=str(device.pk), organization=str(there.pk), name="pump", pin="")
    moved = Device.objects.get()
    assert (moved.organization, moved.pin) == (there, "1234")
    assert "1234" not in html


def test_a_broken_cell_cannot_move(admin_client: Client) -> None:
    """Moving a row whose cell cannot be opened is an error in the form, and everything stays."""
    here, there = (Organization.objects.create(name=name, workos_id=name) for name in ("org_1", "org_2"))
    device = Device.objects.create(organization=here, pin="1234")
    cell = stored_cell(device, "pin")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE app_device SET pin = %s", [cell[:-1] + bytes([cell[-1] ^ 1])])
    url = f"/admin/app/device/{device.pk}/change/"
    html = page(admin_client, url, id=str(device.pk), organization=str(there.pk), name="pump", pin="")
    assert "cannot move with the row" in html
    assert Device.objects.get().organization == here


def test_a_list_asks_an_unreachable_vault_once_a_column(
    admin_client: Client, vault_emulator: RunningEmulator
) -> None:
    """A page of rows does not wait for Vault once a row when it is down."""
    options = {"api_key": vault_emulator.api_key, "base_url": vault_emulator.url, "timeout": 2.0}
    backend = "django_workos_vault.backends.workos.WorkOSVault"
    vault = {"BACKEND": backend, "KEY_CONTEXT": {"app": "tests"}, "OPTIONS": options}
    with override_settings(WORKOS_VAULTS={"default": vault}):
        for number in range(12):
            Person.objects.create(name=f"Ada {number}", ssn=SSN)
        vaults.reset()
        vault_emulator.faults.fail = 1
        vault_emulator.faults.fail_status = 401
        html = page(admin_client, LIST)
        assert html.count("cannot be opened") == 12
        assert vaults["default"].backend.requests_made <= 2
        vaults.reset()
        vault_emulator.faults.fail = 0
        assert page(admin_client, LIST).count("•••• 6789") == 12


@pytest.mark.parametrize("permissions", [("view",), ("view", "add"), ("view", "change")])
def test_inlines_are_masked_whatever_the_permissions(client: Client, permissions: tuple[str, ...]) -> None:
    """Rows that may only be viewed show masks, next to blank forms for those that may be added."""
    organization = Organization.objects.create(name="Clinic", workos_id="org_1")
    Patient.objects.create(organization=organization, ssn=SSN)
    user = User.objects.create_user("viewer", password="x", is_staff=True)
    names = [f"{permission}_patient" for permission in permissions] + ["view_organization"]
    names += ["change_organization"] if permissions[-1] != "view" else []
    user.user_permissions.set(Permission.objects.filter(codename__in=names, content_type__app_label="app"))
    client.force_login(user)
    html = page(client, f"/admin/app/organization/{organization.pk}/change/")
    assert FULL in html
    assert ('name="patient_set-0-ssn"' in html) == ("change" in permissions)
    assert ('name="patient_set-1-ssn"' in html) == ("add" in permissions)


def test_columns_over_relations_are_masked() -> None:
    """``list_display`` may reach an encrypted field of a related row."""
    account = Account.objects.create(login="ada-lovelace")
    session = Session.objects.create(account=account)
    request = RequestFactory().get("/")

    class SessionAdmin(MaskedAdminMixin, ModelAdmin):
        list_display = ("pk", "account__login")

    _, column = SessionAdmin(Session, site).get_list_display(request)
    assert column(Session.objects.get()) == FULL
    assert column.short_description == "login"
    assert session.account.login == "ada-lovelace"
