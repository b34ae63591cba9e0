"""What Vault refuses while a page of the admin is posted: an error there, nothing saved, nothing shown."""

from typing import Any

import django
import pytest
from django import forms
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.messages import get_messages
from django.test import Client
from reversion.models import Version

from django_workos_vault import vaults
from django_workos_vault.admin import MaskedAdminMixin, MaskedModelForm
from django_workos_vault.emulator import RunningEmulator
from tests.app.models import Account, Contract, Credential, Device, Organization, Patient, Person
from tests.companions.models import Letter, Memo
from tests.forms.test_masked_everywhere import answer

pytestmark = [
    pytest.mark.django_db,
    # What Django 6.1 says of django-simple-history 3.13.
    pytest.mark.filterwarnings(r"ignore:Calling select_related\(\) with no arguments"),
]
TYPED = "987-65-43"
FAILURES = {
    503: "cannot be reached",
    429: "too much to do",
    401: "does not accept the API key",
    403: "cannot be used",
    418: "the key for a value of this row",
}


def fail(emulator: RunningEmulator, status: int = 503) -> None:
    vaults.reset()
    emulator.faults.fail, emulator.faults.fail_status = 1, status
    emulator.faults.retry_after = "3600"  # so that nobody waits for a retry


def recover(emulator: RunningEmulator) -> None:
    vaults.reset()
    emulator.faults.fail = 0


def organizations() -> tuple[Organization, Organization]:
    here, there = (Organization.objects.create(name=name, workos_id=name) for name in ("org_1", "org_2"))
    return here, there


def inline_form(**fields: str) -> dict[str, str]:
    return {
        "name": "typed name",
        "workos_id": "org_9",
        "patient_set-TOTAL_FORMS": "1",
        "patient_set-INITIAL_FORMS": "0",
        "patient_set-0-ssn": TYPED,
        **fields,
    }


def add_person() -> tuple[str, dict[str, str], Any]:
    posted = {"name": "typed name", "ssn": TYPED, "notes": "", "email": ""}
    return "/admin/app/person/add/", posted, lambda: Person.objects.filter(ssn__isnull=False)


def change_person() -> tuple[str, dict[str, str], Any]:
    row = Person.objects.create()
    posted = {"name": "typed name", "ssn": TYPED, "notes": "", "email": ""}
    return f"/admin/app/person/{row.pk}/change/", posted, lambda: Person.objects.filter(ssn__isnull=False)


def move_device() -> tuple[str, dict[str, str], Any]:
    here, there = organizations()
    row = Device.objects.create(organization=here, pin="1234")
    posted = {"id": str(row.pk), "name": "typed name", "organization": str(there.pk), "pin": ""}
    url = f"/admin/app/device/{row.pk}/change/"
    return url, posted, lambda: Device.objects.filter(organization=there)


def add_inline() -> tuple[str, dict[str, str], Any]:
    return "/admin/app/organization/add/", inline_form(), Patient.objects.all


def change_inline() -> tuple[str, dict[str, str], Any]:
    here, _ = organizations()
    posted = inline_form(**{"patient_set-0-organization": str(here.pk)})
    return f"/admin/app/organization/{here.pk}/change/", posted, Patient.objects.all


def add_object() -> tuple[str, dict[str, str], Any]:
    return "/admin/app/credential/add/", {"name": "typed name", "token": TYPED}, Credential.objects.all


def change_object() -> tuple[str, dict[str, str], Any]:
    row = Credential.objects.create(token="old")
    before = Credential.objects.values_list("token").get()
    posted = {"name": "typed name", "token": TYPED}
    url = f"/admin/app/credential/{row.pk}/change/"
    return url, posted, lambda: [row for row in Credential.objects.values_list("token") if row != before]


def add_memo() -> tuple[str, dict[str, str], Any]:
    return "/admin/companions/memo/add/", {"title": "typed name", "ssn": TYPED}, Version.objects.all


def add_letter() -> tuple[str, dict[str, str], Any]:
    return "/admin/companions/letter/add/", {"title": "typed name", "ssn": TYPED}, Letter.history.all


PAGES = {
    page.__name__: page
    for page in (
        add_person,
        change_person,
        move_device,
        add_inline,
        change_inline,
        add_object,
        change_object,
        add_memo,
        add_letter,
    )
}


@pytest.mark.parametrize("status", FAILURES)
@pytest.mark.parametrize("page", PAGES)
def test_a_failure_is_an_error_on_the_page(
    admin_client: Client, remote_vault: RunningEmulator, page: str, status: int
) -> None:
    """Nothing is saved, in part neither; what was typed is not sent back; the same request works later."""
    url, posted, saved = PAGES[page]()
    counts = [model.objects.count() for model in (Organization, Person, Device, Credential, Memo, Letter)]
    fail(remote_vault, status)
    response = admin_client.post(url, posted)
    html = response.content.decode()
    assert response.status_code == 200
    assert FAILURES[status].lower() in html.lower() or (
        page == "move_device" and "cannot move with the row" in html
    )
    assert TYPED not in html
    assert 'value="typed name"' in html
    assert "no-store" in response["Cache-Control"]
    recover(remote_vault)
    assert not list(saved())
    assert not LogEntry.objects.exists()
    models: tuple[Any, ...] = (Organization, Person, Device, Credential, Memo, Letter)
    assert [model.objects.count() for model in models] == counts
    response = admin_client.post(url, posted)
    assert response.status_code == 302, response.context["errors"]
    assert len(list(saved())) == 1


class ContractInline(MaskedAdminMixin, admin.TabularInline):
    model = Contract


class ContractsAdmin(MaskedAdminMixin, admin.ModelAdmin):
    inlines = (ContractInline,)


def test_a_failure_between_two_rows_leaves_neither(remote_vault: RunningEmulator) -> None:
    """Where the first row was stored and the second was refused, both are rolled back, and their parent."""
    posted = {
        "name": "typed name",
        "workos_id": "org_9",
        "contract_set-TOTAL_FORMS": "2",
        "contract_set-INITIAL_FORMS": "0",
        "contract_set-0-terms": TYPED,
        "contract_set-1-terms": "555-55-555",
    }
    remote_vault.faults.fail, remote_vault.faults.fail_status = 0.5, 403
    model_admin = ContractsAdmin(Organization, admin.site)
    response = answer(model_admin, "add_view", post=posted)
    html = response.content.decode()
    assert response.status_code == 200
    assert TYPED not in html
    assert "555-55-555" not in html
    assert 'value="typed name"' in html
    assert not Organization.objects.exists()
    assert not Contract.objects.exists()
    recover(remote_vault)
    assert answer(model_admin, "add_view", post=posted).status_code == 302
    assert {row.terms for row in Contract.objects.all()} == {TYPED, "555-55-555"}


def test_a_masked_form_says_so_outside_the_admin(remote_vault: RunningEmulator) -> None:
    """The key is asked for when the form is validated, not only when it is saved."""
    form_class = forms.modelform_factory(Person, form=MaskedModelForm, fields=("name", "ssn"))
    row = Person.objects.create(ssn="1")
    fail(remote_vault)
    form = form_class({"name": "Ada", "ssn": TYPED})
    assert not form.is_valid()
    assert form.non_field_errors().as_data()[0].code == "vault"
    assert TYPED not in str(form)
    untouched = form_class({"name": "Grace", "ssn": ""}, instance=Person.objects.get())
    assert untouched.is_valid()
    assert untouched.save() == row
    recover(remote_vault)
    assert form_class({"name": "Ada", "ssn": TYPED}).is_valid()


def test_a_search_for_a_duplicate_says_so(remote_vault: RunningEmulator) -> None:
    """Uniqueness needs a key too."""
    form_class = forms.modelform_factory(Account, form=MaskedModelForm, fields=("email",))
    fail(remote_vault)
    form = form_class({"email": "ada@example.com"})
    assert form.non_field_errors().as_data()[0].code == "vault"


def test_rows_edited_in_the_list(
    admin_client: Client, remote_vault: RunningEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error stands at the rows that were changed, what was typed stays, and no row is saved."""
    model_admin = admin.site._registry[Device]
    monkeypatch.setattr(model_admin, "list_editable", ("name", "organization"))
    monkeypatch.setattr(model_admin, "list_display", ("pk", "name", "organization", "pin"))
    here, there = organizations()
    moved, renamed, left = (Device.objects.create(organization=here, pin="1234") for _ in range(3))
    posted: dict[str, str] = {"form-TOTAL_FORMS": "3", "form-INITIAL_FORMS": "3", "_save": "Save"}
    changes = {moved.pk: ("pump", there.pk), renamed.pk: ("typed name", here.pk), left.pk: ("pump", here.pk)}
    for number, row in enumerate(sorted(Device.objects.all(), key=lambda row: row.pk, reverse=True)):
        name, organization = changes[row.pk]
        posted |= {
            f"form-{number}-id": str(row.pk),
            f"form-{number}-name": name,
            f"form-{number}-organization": str(organization),
        }
    fail(remote_vault)
    response = admin_client.post("/admin/app/device/", posted)
    html = response.content.decode()
    assert response.status_code == 200
    assert html.count("cannot be reached") == 1
    assert 'value="typed name"' in html
    recover(remote_vault)
    assert {row.name for row in Device.objects.all()} == {"pump"}
    assert admin_client.post("/admin/app/device/", posted).status_code == 302
    assert Device.objects.get(pk=moved.pk).pin == "1234"
    assert Device.objects.get(pk=moved.pk).organization == there


class Curious(MaskedAdminMixin, admin.ModelAdmin):
    """Reads what it deletes, and in an action."""

    actions = ("read",)
    search_fields = ("login__exact",)

    @admin.action
    def read(self, request: Any, rows: Any) -> None:
        for row in rows:
            assert row.login

    def delete_model(self, request: Any, obj: Any) -> None:
        assert obj.login
        super().delete_model(request, obj)

    def delete_queryset(self, request: Any, queryset: Any) -> None:
        for row in queryset:
            self.delete_model(request, row)


@pytest.mark.parametrize("how", ["delete", "action", "delete_selected", "search"])
def test_deleting_actions_and_searching(remote_vault: RunningEmulator, how: str, rf: Any) -> None:
    """There is no form to put an error in: the page that was left comes back with a message."""
    rows = [Account.objects.create(login=f"ada{number}", email=f"{number}@a.example") for number in (1, 2)]
    model_admin = Curious(Account, admin.site)
    fail(remote_vault)
    selected = {"_selected_action": [str(row.pk) for row in rows]}
    if how == "delete":
        response = answer(model_admin, "delete_view", str(rows[0].pk), post={"post": "yes"})
    elif how == "search":
        response = answer(model_admin, "changelist_view", query={"q": "ada1"})
    elif how == "action":
        response = answer(model_admin, "changelist_view", post={"action": "read", "index": "0", **selected})
    else:
        post = {"action": "delete_selected", "post": "yes", **selected}
        response = answer(model_admin, "changelist_view", post=post)
    assert response.status_code == 302
    assert response["Location"] == "/"
    assert "cannot be reached" in str(next(iter(get_messages(response.request))))
    assert Account.objects.count() == 2


@pytest.mark.parametrize("how", ["inline", "main"])
def test_a_row_that_names_no_key_is_an_error_on_the_page(admin_client: Client, how: str) -> None:
    """Whoever picks an organization without an id is told, and nothing is saved."""
    nobody = Organization.objects.create(name="Nobody", workos_id="")
    if how == "inline":
        url = f"/admin/app/organization/{nobody.pk}/change/"
        posted = inline_form(workos_id="", **{"patient_set-0-organization": str(nobody.pk)})
    else:
        url = "/admin/app/device/add/"
        device = "7f1c1c1e-0000-4000-8000-000000000000"
        posted = {"id": device, "name": "typed name", "organization": str(nobody.pk), "pin": TYPED[:8]}
    response = admin_client.post(url, posted)
    html = response.content.decode()
    assert response.status_code == 200
    assert "What chooses the key for a value of this row is missing" in html
    assert TYPED[:8] not in html
    assert 'value="typed name"' in html
    assert not Patient.objects.exists()
    assert not Device.objects.exists()


@pytest.mark.skipif(django.VERSION < (6, 1), reason="Django 6.1 has actions on the form")
def test_an_action_of_the_form_is_run_once(remote_vault: RunningEmulator) -> None:
    """It is not taken for a form that can be shown again."""
    runs = []

    @admin.action(description="Read")
    def read(model_admin: Any, request: Any, rows: Any) -> None:
        runs.append(request)
        assert [row.login for row in rows]

    read.locations = [admin.options.ActionLocation.CHANGE_FORM]
    row = Account.objects.create(login="ada")
    model_admin = type("Acting", (Curious,), {"actions": (read,)})(Account, admin.site)
    fail(remote_vault)
    post = {"CHANGE_FORM-action": "read", "_selected_action": str(row.pk)}
    response = answer(model_admin, "change_view", str(row.pk), post=post)
    assert response.status_code == 302
    assert len(runs) == 1
    assert "cannot be reached" in str(next(iter(get_messages(response.request))))
