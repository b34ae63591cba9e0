"""Other ways to a value: other sites, proxies, error pages, transactions; and what is on record of them."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.db import connections
from django.test import Client, override_settings
from django.urls import clear_url_caches, path

from django_workos_vault import vaults
from django_workos_vault.admin import AccessRecordAdmin, MaskedAdminMixin
from django_workos_vault.models import AccessRecord
from tests.admin.revealing import EMAIL, NOTES, SSN, address, logged_in, person, records, staff
from tests.admin.test_reveal import SEES, holds, reveal
from tests.app.models import Organization, Person, Unit, UnitProxy


class Sealed(MaskedAdminMixin, admin.ModelAdmin):  # type: ignore[type-arg]
    pass


class DeskSite(admin.AdminSite):
    """A site of its own, for those of one group name."""

    def has_permission(self, request: Any) -> bool:
        return bool(request.user.is_active and request.user.username.startswith("desk"))


desk = DeskSite(name="desk")
desk.register(Person, Sealed)
desk.register(UnitProxy, Sealed)
desk.register(AccessRecord, AccessRecordAdmin)
urlpatterns = [path("admin/", admin.site.urls), path("desk/", desk.urls)]


@pytest.fixture
def two_sites() -> Iterator[None]:
    with override_settings(ROOT_URLCONF=__name__):
        clear_url_caches()
        yield
    clear_url_caches()


@pytest.mark.django_db
@pytest.mark.usefixtures("two_sites")
def test_another_site_keeps_to_itself() -> None:
    """Its buttons lead to its own addresses, and its own permission is asked for."""
    row = person()
    at_the_desk = logged_in(staff(*SEES, name="desk 1"))
    html = at_the_desk.get(f"/desk/app/person/{row.pk}/change/").content.decode()
    assert f'href="/desk/app/person/{row.pk}/reveal/ssn/"' in html
    assert '="/admin/' not in html
    where = f"/desk/app/person/{row.pk}/reveal/ssn/"
    answer = reveal(at_the_desk, where)
    assert holds(answer, SSN)
    assert f'href="/desk/app/person/{row.pk}/change/"' in answer.content.decode()
    assert records("view")[-1] == ("desk:app_person_reveal",) or records("view")[-1] == (
        "admin:app_person_reveal",
    )
    assert reveal(logged_in(staff(*SEES, name="elsewhere")), where).status_code == 302
    assert records("action", "username")[-1] == ("denied", "elsewhere")


@pytest.mark.django_db
@pytest.mark.usefixtures("two_sites")
def test_a_proxy_has_permissions_of_its_own() -> None:
    """As Django's own permissions are: those of the model behind it do not count."""
    organization = Organization.objects.create(name="Clinic", workos_id="org_1")
    row = Unit.objects.create(code="a/b", organization=organization, secret="s3cret")
    where = "/desk/app/unitproxy/a_2Fb/reveal/secret/"
    of_the_model = logged_in(staff("view_unitproxy", "view_plaintext_unit", name="desk 1"))
    assert reveal(of_the_model, where).status_code == 403
    of_the_proxy = logged_in(staff("view_unitproxy", "view_plaintext_unitproxy", name="desk 2"))
    assert "s3cret" in reveal(of_the_proxy, where).content.decode()
    assert f'href="{where}"' in of_the_proxy.get("/desk/app/unitproxy/a_2Fb/change/").content.decode()
    assert records("object_pk")[-1] == (row.pk,)


@pytest.mark.django_db
def test_the_records_can_be_read_and_nothing_else(admin_client: Client) -> None:
    """Not even by a superuser: no page adds, changes or deletes one."""
    row = person()
    reveal(admin_client, address(row))
    pk = AccessRecord.objects.get().pk
    where = "/admin/django_workos_vault/accessrecord/"
    html = admin_client.get(where).content.decode()
    assert "app.Person" in html
    assert "delete_selected" not in html
    assert admin_client.get(f"{where}{pk}/change/").status_code == 200
    for path_ in ("add/", f"{pk}/delete/"):
        assert admin_client.get(where + path_).status_code == 403
        assert admin_client.post(where + path_, {"post": "yes"}).status_code == 403
    assert admin_client.post(f"{where}{pk}/change/", {"reason": "other"}).status_code == 403
    admin_client.post(where, {"action": "delete_selected", "_selected_action": [pk], "post": "yes"})
    assert AccessRecord.objects.count() == 1
    assert logged_in(staff("view_person")).get(where).status_code == 403


@pytest.mark.django_db
@pytest.mark.parametrize("debug", [True, False])
def test_an_error_page_has_no_value(debug: bool) -> None:
    """A template of the project that fails: the value was at hand, and is not in the report."""
    broken = {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "OPTIONS": {
            "loaders": [
                (
                    "django.template.loaders.locmem.Loader",
                    {"django_workos_vault/reveal.html": "{{ value }}{% include 'not/there.html' %}"},
                ),
                "django.template.loaders.app_directories.Loader",
            ]
        },
    }
    row = person()
    client = Client(raise_request_exception=False)
    client.force_login(staff(*SEES))
    with override_settings(DEBUG=debug, TEMPLATES=[broken]):
        answer = reveal(client, address(row))
    assert answer.status_code == 500
    assert not holds(answer)


@pytest.mark.django_db(transaction=True)
def test_atomic_requests_do_not_hold_the_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """The views are outside of them: the record is committed before anything is shown, on SQLite too."""
    monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", True)
    row = person()
    client = logged_in(staff(*SEES))
    assert holds(reveal(client, address(row)), SSN)
    assert records() == [("reveal", "")]


@pytest.mark.django_db
def test_what_else_a_page_is_asked_for_changes_nothing() -> None:
    """Parameters of the address that Django's own pages know of."""
    row, other = person(), Person.objects.create(name="3", ssn="999-99-9999")
    client = logged_in(staff(*SEES))
    for query in (f"_to_field=name&id={other.pk}", "_popup=1", "verb=match", f"object_id={other.pk}"):
        answer = client.post(f"{address(row)}?{query}", {"verb": "reveal"})
        assert holds(answer, SSN)
        assert not holds(answer, NOTES, EMAIL, "999-99")


@pytest.mark.django_db
def test_who_sees_nothing_finds_nothing_anywhere_else() -> None:
    """A view-only user walks through the pages of the row: masks alone, and no button."""
    row = person()
    client = logged_in(staff("view_person"))
    base = f"/admin/app/person/{row.pk}/"
    for where in (
        "/admin/app/person/",
        f"{base}change/",
        f"{base}history/",
        f"{base}reveal/ssn/",
        f"{base}delete/",
    ):
        for method in (client.get, client.post, client.head, client.options):
            answer = method(where, follow=True)
            assert not holds(answer), where
            assert "vault-reveal" not in answer.content.decode()
    for posted in ({"action": "reveal_to_file"}, {"action": "reencrypt_rows"}):
        answer = client.post("/admin/app/person/", {**posted, "_selected_action": [row.pk]}, follow=True)
        assert not holds(answer)
    with vaults["default"].decryption_forbidden():
        assert reveal(client, address(row)).status_code == 403
