"""A value is revealed by POST, to those who may, and on the record; all else is a page that says why."""

import re
from datetime import date
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core.management import call_command
from django.db import OperationalError, connection
from django.test import Client

from django_workos_vault import vaults
from django_workos_vault.emulator import RunningEmulator
from django_workos_vault.models import AccessRecord
from tests.admin.revealing import EMAIL, NOTES, SSN, address, logged_in, person, records, staff
from tests.admin.test_outage import fail, recover
from tests.admin.test_pages import break_cell
from tests.admin.test_types import VALUES
from tests.app.models import Credential, Organization, Patient, Person, Questionnaire

pytestmark = pytest.mark.django_db

SEES = ("view_person", "view_plaintext_person")


@pytest.fixture
def row() -> Person:
    row = person()
    vaults.reset()
    return row


@pytest.fixture
def support() -> Client:
    return logged_in(staff(*SEES))


def reveal(client: Client, url: str, **posted: str) -> Any:
    return client.post(url, {"verb": "reveal", **posted})


def holds(response: Any, *secrets: str) -> bool:
    return any(secret in response.content.decode() for secret in secrets or (SSN, NOTES, EMAIL))


def test_migrate_makes_the_permissions() -> None:
    """Three for each model with encrypted fields, proxies and inherited fields included, and for no other."""
    made = set(Permission.objects.filter(codename__contains="_plaintext_").values_list("codename", flat=True))
    for name in ("person", "patient", "unitproxy", "manager", "credential"):
        assert {f"{verb}_plaintext_{name}" for verb in ("view", "match", "export")} <= made
    assert not {name for name in made if name.endswith("_organization")}
    assert (
        Permission.objects.get(codename="view_plaintext_person").name == "Can view encrypted values of person"
    )
    call_command("migrate", verbosity=0)
    assert Permission.objects.filter(codename="view_plaintext_person").count() == 1


def test_no_migration_of_a_project_changes() -> None:
    """The permissions are rows, and no part of a model's Meta."""
    call_command("makemigrations", "--check", "--dry-run", "clinic", "django_workos_vault", verbosity=0)


def test_the_page_has_a_button_for_those_who_may(row: Person) -> None:
    """Beside the mask, on the page that may only be read and on the form."""
    page = f"/admin/app/person/{row.pk}/change/"
    for permissions, words in {
        ("view_person",): set(),
        SEES: {"Reveal"},
        ("view_person", "match_plaintext_person"): {"Compare"},
        (*SEES, "change_person"): {"Reveal"},
    }.items():
        html = logged_in(staff(*permissions, name="+".join(permissions))).get(page).content.decode()
        found = re.findall(r'<a class="vault-reveal" href="([^"]+)" aria-label="([^"]+)">(\w+)</a>', html)
        assert {word for _, _, word in found} == words
        assert [href for href, _, _ in found] == [address(row, f) for f in ("ssn", "notes", "email") if words]
        assert not [secret for secret in (SSN, NOTES, EMAIL) if secret in html]
        assert "reveal.js" in html


def test_a_value_is_revealed_and_recorded(row: Person, support: Client) -> None:
    """The answer is for no cache; the record says who, what, why, from where, by which view, and no value."""
    answer = reveal(support, address(row), reason=" ticket 4711 ")
    assert answer.status_code == 200
    assert SSN in answer.content.decode()
    assert not holds(answer, NOTES, EMAIL)
    assert "no-store" in answer.headers["Cache-Control"]
    assert answer.headers["Refresh"] == f"30; url={address(row)}"
    record = AccessRecord.objects.get()
    user = User.objects.get(username="support")
    assert (record.action, record.user_pk, record.username) == ("reveal", str(user.pk), "support")
    assert (record.model, record.object_pk, record.field) == ("app.Person", str(row.pk), "ssn")
    assert (record.vault, record.reason, record.outcome) == ("default", "ticket 4711", "")
    assert (record.remote_address, record.view) == ("127.0.0.1", "admin:app_person_reveal")
    assert SSN not in " ".join(map(str, record.__dict__.values()))


@pytest.mark.parametrize("method", ["get", "head"])
def test_asking_by_get_shows_a_form_and_no_value(row: Person, support: Client, method: str) -> None:
    """A link, a prefetch or a crawler reveals nothing, opens nothing and is no access."""
    with vaults["default"].decryption_forbidden():
        answer = getattr(support, method)(f"{address(row)}?verb=reveal&reason=x")
    assert answer.status_code == 200
    assert not holds(answer)
    assert "no-store" in answer.headers["Cache-Control"]
    assert vaults["default"].backend.requests_made == 0
    assert records() == []


@pytest.mark.parametrize("method", ["options", "put", "patch", "delete", "trace"])
def test_other_methods_are_not_allowed(row: Person, support: Client, method: str) -> None:
    """And do nothing."""
    answer = getattr(support, method)(address(row))
    assert answer.status_code == 405
    assert not holds(answer)


def test_a_post_from_elsewhere_is_refused(row: Person) -> None:
    """Without the token of a page of ours Django refuses it, before anything is looked at."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(staff(*SEES))
    answer = reveal(client, address(row))
    assert answer.status_code == 403
    assert not holds(answer)
    token = client.get(address(row)).cookies["csrftoken"].value
    assert holds(reveal(client, address(row), csrfmiddlewaretoken=token), SSN)


DENIED: dict[str, tuple[tuple[str, ...], str, int, str]] = {
    "may view only": (("view_person",), "{pk}/reveal/ssn/", 403, "no permission"),
    "may change only": (("change_person",), "{pk}/reveal/ssn/", 403, "no permission"),
    "may not even view": (("view_plaintext_person",), "{pk}/reveal/ssn/", 404, "no such row"),
    "may see other models": (
        ("view_person", "view_plaintext_patient"),
        "{pk}/reveal/ssn/",
        403,
        "no permission",
    ),
    "a field that is not encrypted": (SEES, "{pk}/reveal/name/", 404, "no encrypted field of this page"),
    "no field": (SEES, "{pk}/reveal/nothing/", 404, "no encrypted field of this page"),
    "a path": (SEES, "{pk}/reveal/visits__reason/", 404, "no encrypted field of this page"),
    "an attribute": (SEES, "{pk}/reveal/__class__/", 404, "no encrypted field of this page"),
    "the key": (SEES, "{pk}/reveal/pk/", 404, "no encrypted field of this page"),
    "a row that is gone": (SEES, "99999/reveal/ssn/", 404, "no such row"),
    "no key": (SEES, "abc/reveal/ssn/", 404, "no such row"),
    "a huge key": (SEES, "9" * 400 + "/reveal/ssn/", 404, "no such row"),
    "a negative key": (SEES, "-1/reveal/ssn/", 404, "no such row"),
    "a key of zeros": (SEES, "_00/reveal/ssn/", 404, "no such row"),
    "an inline that is none": (SEES, "{pk}/reveal/app.visit/1/reason/", 404, "no such row"),
}


@pytest.mark.parametrize("what", DENIED)
def test_what_is_denied_is_a_page_and_a_record(row: Person, what: str) -> None:
    """One clear message, no value, no fault, whatever the address says."""
    permissions, path, status, outcome = DENIED[what]
    client = logged_in(staff(*permissions))
    answer = reveal(client, "/admin/app/person/" + path.format(pk=row.pk), reason="because")
    assert answer.status_code == status
    assert not holds(answer)
    assert answer.content.decode().count('role="alert"') == 1
    assert records("action", "outcome", "reason") == [("denied", outcome, "because")]


def test_who_may_not_enter_the_admin_is_recorded(row: Person) -> None:
    """Django sends them to log in; the attempt of somebody who is known is on record."""
    user = User.objects.create_user("customer", password="x")
    answer = reveal(logged_in(user), address(row))
    assert answer.status_code == 302
    assert records("action", "username", "outcome") == [("denied", "customer", "no access to the admin")]
    assert reveal(Client(), address(row)).status_code == 302
    assert len(records()) == 1


def test_a_row_that_was_deleted_meanwhile(row: Person, support: Client) -> None:
    """The page that asked is stale; the answer says so."""
    support.get(address(row))
    where = address(row)
    row.delete()
    answer = reveal(support, where)
    assert answer.status_code == 404
    assert "no such row" in answer.content.decode()


def test_a_cell_that_cannot_be_opened(row: Person, support: Client) -> None:
    """A message and a record, and the neighbours can be revealed."""
    break_cell(row, "ssn")
    answer = reveal(support, address(row))
    assert answer.status_code == 409
    assert "A stored value of this row cannot be opened." in answer.content.decode()
    assert records() == [("denied", "not opened: TamperedEnvelope")]
    assert holds(reveal(support, address(row, "email")), EMAIL)


def test_null_and_the_empty_text(support: Client) -> None:
    """NULL is no value; an empty text is one, and the page says so."""
    row = Person.objects.create(ssn=None, email="")
    assert reveal(support, address(row)).status_code == 404
    assert "The value is an empty text." in reveal(support, address(row, "email")).content.decode()
    assert records() == [("denied", "no value"), ("reveal", "")]
    assert 'reveal/ssn/"' not in support.get(f"/admin/app/person/{row.pk}/change/").content.decode()


def test_an_outage_is_told(support: Client, remote_vault: RunningEmulator) -> None:
    """Vault is down: nothing is shown, for want of the value or of the record, and later it works."""
    row = person()
    vaults.reset()
    fail(remote_vault)
    answer = reveal(support, address(row))
    assert answer.status_code == 503
    assert not holds(answer)
    recover(remote_vault)
    vaults.reset()
    assert holds(reveal(support, address(row)), SSN)
    assert records() == [("reveal", "")]


def test_without_a_record_nothing_is_revealed(row: Person, support: Client) -> None:
    """The table cannot be written: the page says so, and has no value."""

    def down(execute: Any, sql: str, *args: Any) -> Any:
        if "accesschain" in sql or "accessrecord" in sql:
            raise OperationalError("the server is gone")
        return execute(sql, *args)

    with connection.execute_wrapper(down):
        for posted in ({"verb": "reveal"}, {"verb": "match", "said": SSN}):
            answer = support.post(address(row), posted)
            assert answer.status_code == 503
            assert not holds(answer)
            assert "could not be recorded" in answer.content.decode()
            assert "it is the same" not in answer.content.decode()


def test_a_hook_decides_for_each_row_and_field(row: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """``has_reveal_permission`` gets the row and the field's name; the button follows it too."""
    from tests.app.admin import PersonAdmin

    asked = []

    def hook(self: Any, request: Any, obj: Any = None, field: Any = None) -> bool:
        asked.append((obj, field))
        return field == "email"

    monkeypatch.setattr(PersonAdmin, "has_reveal_permission", hook, raising=False)
    client = logged_in(staff("view_person"))
    assert holds(reveal(client, address(row, "email")), EMAIL)
    assert reveal(client, address(row, "ssn")).status_code == 403
    assert asked[-1] == (row, "ssn")
    html = client.get(f"/admin/app/person/{row.pk}/change/").content.decode()
    assert re.findall(r"reveal/(\w+)/", html) == ["email"]


def test_what_the_queryset_hides_is_hidden(
    row: Person, support: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Permissions on objects that ``get_queryset`` keeps are kept."""
    from tests.app.admin import PersonAdmin

    monkeypatch.setattr(
        PersonAdmin, "get_queryset", lambda self, request: Person.objects.filter(name="nobody"), raising=False
    )
    assert reveal(support, address(row)).status_code == 404


def test_a_field_that_the_page_leaves_out_is_not_revealed(
    row: Person, support: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``exclude`` and ``fields`` hold for the address too."""
    from tests.app.admin import PersonAdmin

    monkeypatch.setattr(PersonAdmin, "exclude", ("ssn",))
    assert reveal(support, address(row)).status_code == 404
    assert holds(reveal(support, address(row, "email")), EMAIL)


def test_rows_of_inlines(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row on the page of its own parent, for those who may see the inline's model; of no other parent."""
    here, there = (Organization.objects.create(name=n, workos_id=n) for n in ("org_1", "org_2"))
    patient = Patient.objects.create(organization=here, ssn=SSN)
    sees = ("view_organization", "view_patient", "view_plaintext_patient")
    client = logged_in(staff(*sees))
    where = f"/admin/app/organization/{here.pk}/reveal/app.patient/{patient.pk}/ssn/"
    assert f'href="{where}"' in client.get(f"/admin/app/organization/{here.pk}/change/").content.decode()
    assert holds(reveal(client, where), SSN)
    assert records("model", "object_pk", "view")[-1] == (
        "app.Patient",
        str(patient.pk),
        "admin:app_organization_reveal_inline",
    )
    assert reveal(client, where.replace(f"/{here.pk}/", f"/{there.pk}/", 1)).status_code == 404
    assert reveal(client, where.replace("/ssn/", "/organization/")).status_code == 404
    for without in sees:
        other = logged_in(staff(*(set(sees) - {without}), name=f"without {without}"))
        assert not holds(reveal(other, where))


@pytest.mark.filterwarnings("ignore:The default scheme will be changed")
def test_every_type_is_shown_as_text(admin_client: Client) -> None:
    """Numbers, dates, JSON and choices too."""
    row = Questionnaire.objects.create(**VALUES)
    for name, value in VALUES.items():
        html = reveal(admin_client, address(row, name)).content.decode()
        shown = re.search(r"data-vault-value[^>]*>\n(.*?)</pre>", html, re.DOTALL)
        assert shown, name
        if isinstance(value, date | dict | list):
            continue
        assert shown[1], name
    assert "&quot;" in reveal(admin_client, address(row, "data")).content.decode()


def test_markup_in_a_value_is_text(support: Client) -> None:
    """Nothing that somebody stored runs in the admin."""
    row = Person.objects.create(notes="</pre><script>alert(1)</script>\n\x00")
    html = reveal(support, address(row, "notes")).content.decode()
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert(1)" in html


def test_objects_in_vault(admin_client: Client) -> None:
    """A VaultObjectField's value is fetched and shown, text or JSON; one that is gone is a message."""
    row = Credential.objects.create(token={"user": "ada"})
    assert "&quot;user&quot;: &quot;ada&quot;" in reveal(admin_client, address(row, "token")).content.decode()
    (found,) = vaults["default"].backend.list_objects().items
    vaults["default"].backend.delete_object(found.id)
    assert reveal(admin_client, address(row, "token")).status_code == 409


def test_an_unknown_request_is_refused(row: Person, support: Client) -> None:
    """A POST says which of the two it wants."""
    for verb in ("", "delete", "__class__"):
        assert support.post(address(row), {"verb": verb}).status_code == 400
