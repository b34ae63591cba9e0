"""Uniqueness of encrypted columns: enforced by the database, explained at the field."""

import threading
from typing import Any

import pytest
from django import forms
from django.contrib import admin
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db import IntegrityError, connection, transaction
from django.test import RequestFactory
from rest_framework import serializers
from rest_framework.validators import UniqueTogetherValidator

from django_workos_vault import vaults
from django_workos_vault.indexes import BlindIndex
from tests.app.models import Account, Organization

pytestmark = pytest.mark.django_db

enforced = pytest.mark.skipif(
    connection.vendor == "mysql",
    reason="MariaDB has no unique indexes on expressions or with conditions",
)


class AccountForm(forms.ModelForm):
    class Meta:
        model = Account
        fields = ["email", "login", "organization"]


class AccountSerializer(serializers.ModelSerializer):
    class Meta:
        model = Account
        fields = ["email", "login", "organization", "phone"]


@pytest.fixture
def ada() -> Account:
    return Account.objects.create(email="ada@example.com", login="Ada")


@enforced
@pytest.mark.parametrize("typed", ["ada@example.com", "ADA@Example.com"])
def test_database_refuses_a_second_row(ada: Account, typed: str) -> None:
    """No second row gets in, however it is written."""
    with pytest.raises(IntegrityError), transaction.atomic():
        Account.objects.create(email=typed)
    with pytest.raises(IntegrityError), transaction.atomic():
        Account.objects.bulk_create([Account(email=typed)])
    other = Account.objects.create(email="other@example.com")
    with pytest.raises(IntegrityError), transaction.atomic():
        Account.objects.filter(pk=other.pk).update(email=typed)
    assert Account.objects.filter(email=typed).count() == 1


def test_null_is_not_a_value() -> None:
    """Any number of rows may have none, as Django has it."""
    for _ in range(2):
        account = Account(email=None)
        account.full_clean(exclude=["organization", "phone", "ssn", "city"])
        account.save()
    assert Account.objects.filter(email=None).count() == 2


def test_full_clean_blames_the_field(ada: Account) -> None:
    """The error is the field's own, without the value, and a row does not collide with itself."""
    with pytest.raises(ValidationError) as caught:
        Account(email="ADA@example.com").full_clean()
    assert caught.value.message_dict["email"] == ["Account with this Email already exists."]
    assert NON_FIELD_ERRORS not in caught.value.message_dict
    loaded = Account.objects.get(pk=ada.pk)
    skipped = ["organization", "phone", "ssn", "city"]
    loaded.full_clean(exclude=skipped)
    loaded.email = "ADA@EXAMPLE.com"
    loaded.full_clean(exclude=skipped)


def test_untouched_rows_are_cleaned_without_opening(ada: Account) -> None:
    """Checking constraints takes the digest out of the cell."""
    loaded = Account.objects.get(pk=ada.pk)
    with vaults["default"].decryption_forbidden():
        loaded.validate_constraints()


def test_model_form(ada: Account) -> None:
    """A form shows the error at the field."""
    form = AccountForm({"email": "ADA@example.com", "login": "x"})
    assert list(form.errors) == ["email"]
    assert AccountForm({"email": "ADA@example.com"}, instance=ada).is_valid()
    assert AccountForm({"email": "", "login": "x"}).is_valid()


def test_admin(ada: Account, rf: RequestFactory) -> None:
    """So does the admin's."""

    class AccountAdmin(admin.ModelAdmin):
        fields = ["email", "login"]

    form_class: Any = AccountAdmin(Account, admin.AdminSite()).get_form(rf.get("/"))
    form = form_class({"email": "ADA@example.com", "login": "x"})
    assert form.errors == {"email": ["Account with this Email already exists."]}


def test_serializer(ada: Account) -> None:
    """DRF reports the field, and lets a row keep its own value."""
    serializer = AccountSerializer(data={"email": "ADA@example.com", "login": "x"})
    assert not serializer.is_valid()
    assert list(serializer.errors) == ["email"]
    assert serializer.errors["email"][0].code == "unique"
    assert AccountSerializer(ada, data={"email": "ADA@example.com"}, partial=True).is_valid()
    assert AccountSerializer(data={"email": "new@example.com"}).is_valid()


class TestTogether:
    """A constraint over an organization and a phone number, for accounts that are open."""

    @pytest.fixture
    def organization(self) -> Organization:
        organization = Organization.objects.create(name="o")
        Account.objects.create(organization=organization, phone="555-123")
        return organization

    @enforced
    def test_database(self, organization: Organization) -> None:
        """Columns and condition count together."""
        with pytest.raises(IntegrityError), transaction.atomic():
            Account.objects.create(organization=organization, phone="555123")
        Account.objects.create(organization=organization, phone="555123", closed=True)
        Account.objects.create(organization=Organization.objects.create(name="p"), phone="555123")

    @pytest.mark.skipif(connection.vendor == "mysql", reason="Django skips conditional constraints there")
    def test_validation(self, organization: Organization) -> None:
        """The error is at the encrypted field; a closed account is none that counts."""
        with pytest.raises(ValidationError) as caught:
            Account(organization=organization, phone="555 123").validate_constraints()
        assert list(caught.value.message_dict) == ["phone"]
        Account(organization=organization, phone="555 123", closed=True).validate_constraints()

    @pytest.mark.parametrize("names", [["organization", "phone", "closed"], ["phone"]])
    def test_form(self, organization: Organization, names: list[str]) -> None:
        """So it is in a form, also in one that lacks the other columns."""
        form_class: Any = forms.modelform_factory(Account, fields=names)
        data = {"organization": organization.pk, "phone": "555 123"}
        form = form_class(data, instance=Account(organization=organization))
        assert form.errors == {"phone": ["Account with this Organization and Phone already exists."]}
        closed = Account(organization=organization, closed=True)
        assert form_class({**data, "closed": True}, instance=closed).is_valid()

    def test_serializer(self, organization: Organization) -> None:
        """DRF's own validator for several fields works, as lookups do."""

        class Serializer(AccountSerializer):
            class Meta(AccountSerializer.Meta):
                validators = [UniqueTogetherValidator(Account.objects.all(), ["organization", "phone"])]

        data = {"organization": organization.pk, "phone": "555.123", "email": None, "login": None}
        serializer = Serializer(data=data)
        assert not serializer.is_valid()
        assert serializer.errors["non_field_errors"][0].code == "unique"
        assert Serializer(data={**data, "phone": "1"}).is_valid()


def sealed_without_digests(account: Account) -> None:
    field: Any = Account._meta.get_field("email")
    bare = field.cipher.seal(b"old@example.com", field.context_for(None))
    with connection.cursor() as cursor:
        cursor.execute("UPDATE app_account SET email = %s WHERE id = %s", [bare, account.pk])


def test_older_cells_are_compared_by_value(ada: Account) -> None:
    """A row sealed before the index was declared is no duplicate of others like it."""
    sealed_without_digests(ada)
    loaded = Account.objects.get(pk=ada.pk)
    loaded.validate_constraints()
    Account.objects.create(email="OLD@example.com")
    with pytest.raises(ValidationError):
        loaded.validate_constraints()


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "postgresql", reason="needs writers that really run at once")
def test_races_lose_with_an_integrity_error() -> None:
    """Of eight writers that register one email at once, one wins."""
    vaults["default"].digest("warm", Account._meta.get_field("email").digests.slots[0][1], b"")
    start = threading.Barrier(8)
    outcomes: list[str] = []

    def register() -> None:
        start.wait()
        try:
            Account.objects.create(email="race@example.com")
            outcomes.append("won")
        except IntegrityError:
            outcomes.append("lost")
        finally:
            connection.close()

    threads = [threading.Thread(target=register) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["lost"] * 7 + ["won"]
    assert Account.objects.filter(email="race@example.com").count() == 1


def test_index_names_its_slot_or_says_what_there_is() -> None:
    """A BlindIndex that names none of the field's indexes lists those that there are."""
    with pytest.raises(Exception, match=r"exact \(version 1\), folded \(version 1\)"):
        list(Account.objects.annotate(d=BlindIndex("login", "other")))
