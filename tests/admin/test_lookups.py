"""What the admin's addresses may ask of encrypted fields: nothing that the admin class did not opt in to."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.exceptions import DisallowedModelAdminLookup
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.auth.models import Permission, User
from django.db import models
from django.db.models import F, FilteredRelation, Q
from django.test import Client, RequestFactory
from django.test.utils import isolate_apps
from django.urls import resolve

from django_workos_vault.admin import MaskedAdminMixin
from django_workos_vault.checks.admin import check_options
from django_workos_vault.fields.vault_field import VaultField
from tests.app.models import Account, Credential, Manager, Organization, Patient, Person, Session

pytestmark = pytest.mark.django_db
SSN = "123-45-6789"
LOOKUPS = (
    "",
    "__exact",
    "__iexact",
    "__in",
    "__isnull",
    "__last4",
    "__first3",
    "__contains",
    "__gt",
    "__year",
)
VALUES = (SSN, "6789", "True", "0", "nothing like it", "")


class Masked(MaskedAdminMixin, admin.ModelAdmin):
    pass


@pytest.fixture
def viewer(client: Client) -> Client:
    """A client of somebody who may view everything and change nothing."""
    user = User.objects.create_user("viewer", password="x", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    client.force_login(user)
    return client


@pytest.fixture
def ada() -> Account:
    organization = Organization.objects.create(name="Clinic", workos_id="org_1")
    Patient.objects.create(organization=organization, ssn=SSN)
    return Account.objects.create(organization=organization, ssn=SSN, login="ada", email="ada@example.com")


def listed(admin_class: type, model: Any, **query: str) -> list[Any]:
    """The rows that the change list of such an admin shows at this address."""
    request = RequestFactory().get("/", query)
    request.user = User(username="root", is_staff=True, is_superuser=True)
    return list(admin_class(model, admin.AdminSite()).get_changelist_instance(request).result_list)


def encrypted_names() -> Iterator[tuple[str, str]]:
    for model, model_admin in admin.site._registry.items():
        if isinstance(model_admin, MaskedAdminMixin):
            for field in model._meta.concrete_fields:
                if isinstance(field, VaultField):
                    yield f"/admin/{model._meta.app_label}/{model._meta.model_name}/", field.name


@pytest.mark.parametrize(("url", "name"), list(encrypted_names()))
def test_no_lookup_on_any_encrypted_field_is_taken_from_an_address(
    viewer: Client, rf: RequestFactory, url: str, name: str
) -> None:
    """Every lookup of every field is refused, whatever the value: the answer tells nothing about the row."""
    view, user = resolve(url).func, User.objects.get(username="viewer")
    for lookup in LOOKUPS:
        for query in ({f"{name}{lookup}": value} for value in VALUES):
            for request in (rf.get(url, query), rf.post(url, {"action": "x"}, query_params=query)):
                request.user = user
                request._dont_enforce_csrf_checks = True
                with pytest.raises(DisallowedModelAdminLookup):
                    view(request)
        # Which is status 400, as any suspicious operation is.
        assert viewer.get(url, query).status_code == 400, query
        assert viewer.post(url, {"action": "x"}, query_params=query).status_code == 400


@pytest.mark.parametrize("lookup", LOOKUPS)
@pytest.mark.parametrize(
    ("model", "path"),
    [
        (Account, "ssn"),
        (Account, "email"),
        (Session, "account__ssn"),
        (Session, "account_id__ssn"),
        (Session, "account__organization__patient__ssn"),
        (Organization, "patient__ssn"),
        (Organization, "account__login"),
        (Organization, "account__sessions__account__login"),
        (Manager, "badge"),
        (Manager, "bonus"),
        (Manager, "employee_ptr__badge"),
        (Manager, "pk__badge"),
        (Person, "visits__reason"),
        (Credential, "token"),
    ],
)
def test_no_path_leads_to_an_encrypted_field(model: Any, path: str, lookup: str) -> None:
    """Relations in either direction, parents and "pk" are followed as a query would follow them."""
    for value in VALUES:
        with pytest.raises(DisallowedModelAdminLookup):
            listed(Masked, model, **{f"{path}{lookup}": value})


def test_what_the_rows_are_annotated_with_is_no_way_around(ada: Account) -> None:
    """An encrypted column under another name is refused, and so is a filtered relation to one."""

    class Annotated(Masked):
        def get_queryset(self, request: Any) -> Any:
            rows = super().get_queryset(request)
            return rows.annotate(
                number=F("account__ssn"),
                open_account=FilteredRelation("account", condition=Q(account__closed=False)),
                named=models.Value("yes"),
            )

    for query in ({"number": SSN}, {"number__last4": "6789"}, {"open_account__ssn": SSN}):
        with pytest.raises(DisallowedModelAdminLookup):
            listed(Annotated, Organization, **query)
    assert listed(Annotated, Organization, named="yes") == [ada.organization]


def test_opting_in_is_field_by_field(ada: Account) -> None:
    """The lookups that a field's blind indexes answer, and no other field's."""

    class Opted(Masked):
        encrypted_lookups = ("ssn",)

    other = Account.objects.create(ssn="987-65-4321")
    assert listed(Opted, Account, ssn=SSN) == [ada]
    assert listed(Opted, Account, ssn__last4="4321") == [other]
    assert listed(Opted, Account, ssn__isnull="0") == [other, ada]
    with pytest.raises(IncorrectLookupParameters):
        listed(Opted, Account, ssn__contains="1")
    with pytest.raises(DisallowedModelAdminLookup):
        listed(Opted, Account, login="ada")


def test_opting_in_over_a_relation_needs_djangos_leave_too(ada: Account) -> None:
    """Django wants a list filter over that relation, and the path is opted in to as it is spelt there."""

    class ByAccount(admin.SimpleListFilter):
        title, parameter_name = "account", "account__ssn"

        def lookups(self, request: Any, model_admin: Any) -> Any:
            return [(SSN, "Ada")]

        def queryset(self, request: Any, queryset: Any) -> Any:
            return queryset.filter(account__ssn=self.value()) if self.value() else queryset

    session = Session.objects.create(account=ada)

    class Opted(Masked):
        encrypted_lookups = ("account__ssn",)
        list_filter = (ByAccount,)

    assert listed(Opted, Session, account__ssn=SSN) == [session]
    assert listed(Opted, Session, account__ssn="no") == []
    with pytest.raises(DisallowedModelAdminLookup):
        listed(type("NoFilter", (Opted,), {"list_filter": ()}), Session, account__ssn=SSN)


def test_other_lookups_are_djangos_business(ada: Account) -> None:
    """Plain fields, and names that are no field's, are treated as ever."""
    assert listed(Masked, Account, closed="0") == [ada]
    assert listed(Masked, Account, organization__id__exact=str(ada.organization_id)) == [ada]
    assert listed(Masked, Account, pk=str(ada.pk)) == [ada]
    with pytest.raises(DisallowedModelAdminLookup):
        listed(Masked, Account, organization__name="Clinic")
    with pytest.raises(IncorrectLookupParameters):
        listed(Masked, Account, nothing="1")


@pytest.mark.parametrize("name", ["ssn", "notes", "token"])
def test_other_parameters_tell_nothing(viewer: Client, name: str) -> None:
    """To-fields, popups, orderings and autocompletes do not take an encrypted field's name."""
    Person.objects.create(ssn=SSN)
    url = "/admin/app/credential/" if name == "token" else "/admin/app/person/"
    for query in (f"_to_field={name}", f"_popup=1&_to_field={name}", f"_popup=1&{name}=x"):
        assert viewer.get(f"{url}?{query}").status_code == 400
    for query in (f"o={name}", f"o=-{name}", "o=2.3.4", "q=6789", "e=1", "_facets=True", "all="):
        assert SSN not in viewer.get(f"{url}?{query}", follow=True).content.decode()
    model = url.split("/")[3]
    for field in (name, f"{model}__{name}"):
        query = f"app_label=app&model_name={model}&field_name={field}&term=1"
        assert viewer.get(f"/admin/autocomplete/?{query}").status_code == 403


def ids(model: Any, base: type = Masked, **options: Any) -> list[str]:
    checked = type("CheckedAdmin", (base,), options)(model, admin.site)
    return [str(message.id).removeprefix("django_workos_vault.") for message in check_options(checked)]


def test_what_is_opted_in_to_is_checked() -> None:
    """A misspelt name, a lookup in the place of a field and a plain field are errors."""
    assert ids(Account, encrypted_lookups=("ssn", "login")) == []
    assert ids(Session, encrypted_lookups=("account__ssn",)) == []
    assert ids(Account, encrypted_lookups=("ssn__last4", "sns", "closed")) == ["E100"] * 3


def test_a_column_ordered_by_an_encrypted_field_is_refused() -> None:
    """A click on its header would be a server error."""

    @admin.display(ordering="-ssn")
    def number(account: Account) -> str:
        return "x"

    assert ids(Account, list_display=("pk", number)) == ["E101"]
    assert ids(Account, list_display=("number",), number=number) == ["E101"]
    assert ids(Account, list_display=("number",), number=property(number)) == ["E101"]
    assert ids(Account, list_display=("pk", "login")) == []


@isolate_apps("tests.app")
def test_a_plain_admin_whose_key_is_a_relation_is_warned_of(ada: Account) -> None:
    """Django lets any lookup through that begins with "pk": a plain admin then filters by what is related."""

    class Badge(models.Model):
        account = models.OneToOneField(Account, models.CASCADE, primary_key=True, related_name="+")

        class Meta:
            app_label = "app"

    class Room(models.Model):
        user = models.OneToOneField(User, models.CASCADE, primary_key=True, related_name="+")

        class Meta:
            app_label = "app"

    plain = admin.ModelAdmin(Badge, admin.site)
    assert plain.lookup_allowed("pk__ssn__last4", "6789", RequestFactory().get("/"))
    assert not Masked(Badge, admin.site).lookup_allowed("pk__ssn__last4", "6789", RequestFactory().get("/"))
    assert ids(Badge, admin.ModelAdmin) == ["W100"]
    assert ids(Badge) == ids(Room, admin.ModelAdmin) == ids(Session, admin.ModelAdmin) == []
