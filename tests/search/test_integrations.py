"""Blind indexes where lookups are built by others: the admin, django-filter, DRF, migrations."""

import json
from datetime import date
from typing import Any

import django_filters
import pytest
from django.contrib import admin
from django.contrib.admin.views.autocomplete import AutocompleteJsonView
from django.contrib.auth.models import User
from django.db import models
from django.db.migrations.autodetector import MigrationAutodetector
from django.db.migrations.state import ProjectState
from django.db.migrations.writer import MigrationWriter
from django.test import RequestFactory
from django.test.utils import isolate_apps
from rest_framework.filters import SearchFilter
from rest_framework.request import Request

from django_workos_vault.admin import MaskedAdminMixin
from django_workos_vault.fields import EncryptedCharField, EncryptedDateField, EncryptedIntegerField
from django_workos_vault.indexes import BlindIndex, Digits, Exact, Normalised
from tests.app.models import Account, Session
from tests.tables import tables

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada() -> Account:
    Account.objects.create(email="grace@example.com", login="Grace", ssn="987-65-4321")
    return Account.objects.create(email="ada@example.com", login="Ada", ssn="123-45-6789")


class AccountAdmin(MaskedAdminMixin, admin.ModelAdmin):
    search_fields = ["ssn__exact", "=email", "ssn__last4"]
    ordering = ["pk"]


class SessionAdmin(MaskedAdminMixin, admin.ModelAdmin):
    search_fields = ["account__ssn__exact"]
    autocomplete_fields = ["account"]


@pytest.mark.parametrize("typed", ["123-45-6789", "ADA@example.com", "6789"])
def test_admin_search(ada: Account, rf: RequestFactory, typed: str) -> None:
    """The search box finds a row by what was typed, whole."""
    site = admin.AdminSite()
    found, _ = AccountAdmin(Account, site).get_search_results(rf.get("/"), Account.objects.all(), typed)
    assert list(found) == [ada]
    assert typed not in str(found.query)


def test_admin_search_across_a_relation(ada: Account, rf: RequestFactory) -> None:
    """So does that of a related model."""
    session = Session.objects.create(account=ada)
    model_admin = SessionAdmin(Session, admin.AdminSite())
    found, _ = model_admin.get_search_results(rf.get("/"), Session.objects.all(), "123-45-6789")
    assert list(found) == [session]


def test_admin_autocomplete(ada: Account, rf: RequestFactory) -> None:
    """And the autocomplete of a foreign key."""
    site = admin.AdminSite()
    site.register(Account, AccountAdmin)
    site.register(Session, SessionAdmin)
    query = {"app_label": "app", "model_name": "session", "field_name": "account", "term": "123-45-6789"}
    request = rf.get("/", query)
    request.user = User.objects.create_superuser("root")
    response = AutocompleteJsonView.as_view(admin_site=site)(request)
    assert [row["id"] for row in json.loads(response.content)["results"]] == [str(ada.pk)]


def test_django_filter(ada: Account) -> None:
    """A FilterSet makes its filters from the fields, lookups named by an index included."""

    class AccountFilter(django_filters.FilterSet):
        class Meta:
            model = Account
            fields = {"email": ["exact", "in"], "login": ["iexact"]}

    assert list(AccountFilter({"email": "ADA@example.com"}, Account.objects.all()).qs) == [ada]
    assert list(AccountFilter({"email__in": "ADA@example.com,x"}, Account.objects.all()).qs) == [ada]
    assert list(AccountFilter({"login__iexact": "ADA"}, Account.objects.all()).qs) == [ada]
    last4 = django_filters.CharFilter(field_name="ssn", lookup_expr="last4")
    assert list(last4.filter(Account.objects.all(), "6789")) == [ada]


def test_drf_search_filter(ada: Account, rf: RequestFactory) -> None:
    """DRF's SearchFilter searches by iexact."""

    class View:
        search_fields = ["=email"]

    request: Any = Request(rf.get("/", {"search": "ADA@example.com"}))
    assert list(SearchFilter().filter_queryset(request, Account.objects.all(), View())) == [ada]


@pytest.mark.django_db(transaction=True)
@isolate_apps("tests.app")
def test_other_types() -> None:
    """Numbers and dates are found by equality too, and typed text means the same as the value."""

    class Reading(models.Model):
        count = EncryptedIntegerField(blind_indexes=[Exact()])
        day = EncryptedDateField(blind_indexes=[Exact()])

        class Meta:
            app_label = "app"

    with tables(Reading):
        made = Reading.objects.create(count=7, day=date(2026, 11, 22))
        Reading.objects.create(count=8, day=date(2026, 11, 23))
        assert Reading.objects.get(count="7") == made
        assert Reading.objects.get(day="2026-11-22") == made
        assert Reading.objects.get(day__in=[date(2026, 11, 22)]) == made
        with pytest.raises(ValueError, match="does not take") as caught:
            list(Reading.objects.filter(count="Secret"))
        assert "Secret" not in str(caught.value)


def shout(text: str) -> str:
    """A normaliser as a project writes it."""
    return text.upper()


@pytest.mark.django_db(transaction=True)
@isolate_apps("tests.app")
def test_migrations_are_stable_and_usable() -> None:
    """A migration names the indexes by their arguments, reads back the same, and alters no table for them."""

    class Row(models.Model):
        code = EncryptedCharField(
            max_length=9, blind_indexes=[Digits(), None, Normalised(name="shout", by=shout, exact=True)]
        )

        class Meta:
            app_label = "app"
            constraints = [models.UniqueConstraint(BlindIndex("code", "shout"), name="unique_code")]

    declared = ProjectState.from_apps(Row._meta.apps)
    changes = MigrationAutodetector(ProjectState(), declared)._detect_changes()
    source = "\n".join(MigrationWriter(m).as_string() for m in changes["app"])
    assert "django_workos_vault.indexes.Digits()" in source
    assert "shout" in source
    namespace: dict[str, Any] = {}
    exec(source, namespace)
    replayed = ProjectState()
    for operation in namespace["Migration"].operations:
        operation.state_forwards("app", replayed)
    declared = ProjectState.from_apps(Row._meta.apps)
    assert MigrationAutodetector(replayed, declared)._detect_changes() == {}
    historical: Any = replayed.apps.get_model("app", "Row")
    with tables(historical):
        historical.objects.create(code="ab")
        assert Row.objects.get(code="AB").code == "ab"
