"""A value that is unique in each organization: the error stands at the field, wherever it is typed."""

from collections.abc import Iterator
from typing import Any

import pytest
from django import forms
from django.contrib import admin
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db import models
from django.test import RequestFactory
from django.test.utils import isolate_apps
from rest_framework import serializers

from django_workos_vault.admin import MaskedAdminMixin
from django_workos_vault.fields import EncryptedCharField
from django_workos_vault.indexes import BlindIndex, Digits
from tests.app.models import Organization
from tests.tables import tables

pytestmark = pytest.mark.django_db(transaction=True)

SAID = "Member with this Organization and Number already exists."


@pytest.fixture
def member() -> Iterator[Any]:
    """The model, with one row: number 1-2-3 of the organization "one"."""
    with isolate_apps("tests.app"):

        class Member(models.Model):
            organization = models.ForeignKey(Organization, models.CASCADE, null=True)
            number = EncryptedCharField(max_length=20, null=True, blind_indexes=[Digits(exact=True)])

            class Meta:
                app_label = "app"
                constraints = [
                    models.UniqueConstraint("organization", BlindIndex("number"), name="member_number")
                ]

        with tables(Member):
            one = Organization.objects.create(name="one", workos_id="org_1")
            Member.objects.create(organization=one, number="1-2-3")
            yield Member


@pytest.fixture
def one(member: Any) -> Organization:
    return Organization.objects.get(name="one")


@pytest.fixture
def two() -> Organization:
    return Organization.objects.create(name="two", workos_id="org_2")


def test_full_clean(member: Any, one: Organization, two: Organization) -> None:
    """At the field alone, in Django's words, without the value; other organizations and no value are free."""
    with pytest.raises(ValidationError) as caught:
        member(organization=one, number="12 3").full_clean()
    assert caught.value.message_dict == {"number": [SAID]}
    assert NON_FIELD_ERRORS not in caught.value.message_dict
    member(organization=two, number="123").full_clean()
    member(organization=one, number="124").full_clean()
    member.objects.create(organization=None, number="123")
    member(organization=None, number="123").full_clean(exclude=["organization"])
    stored = member.objects.get(organization=one)
    stored.number = "1.2.3"
    stored.full_clean()


@pytest.mark.parametrize("names", [["organization", "number"], ["number"]])
def test_forms_and_the_admin(
    member: Any, one: Organization, two: Organization, names: list[str], rf: RequestFactory
) -> None:
    """Also where the view gives the organization, and the form has no field for it."""
    form_class: Any = forms.modelform_factory(member, fields=names)
    data = {"organization": one.pk, "number": "123"}
    assert form_class(data, instance=member(organization=one)).errors == {"number": [SAID]}
    assert form_class({**data, "number": "9"}, instance=member(organization=one)).is_valid()
    assert form_class({**data, "organization": two.pk}, instance=member(organization=two)).is_valid()
    site = admin.AdminSite()
    admin_form = admin.ModelAdmin(member, site).get_form(rf.get("/"), fields=names)
    assert admin_form(data, instance=member(organization=one)).errors == {"number": [SAID]}


@pytest.mark.parametrize("masked", [False, True])
def test_a_row_that_moves(
    member: Any, one: Organization, two: Organization, masked: bool, rf: RequestFactory
) -> None:
    """Nobody typed a number, and yet it is taken in the other organization."""
    bases = (MaskedAdminMixin, admin.ModelAdmin) if masked else (admin.ModelAdmin,)
    model_admin: Any = type("MemberAdmin", bases, {"fields": ["organization", "number"]})
    form_class = model_admin(member, admin.AdminSite()).get_form(rf.get("/"))
    row = member.objects.create(organization=two, number="1.2.3")
    number = "" if masked else "1.2.3"  # which a masked form keeps
    form = form_class({"organization": one.pk, "number": number}, instance=member.objects.get(pk=row.pk))
    assert form.errors == {"number": [SAID]}
    assert form_class({"organization": two.pk, "number": number}, instance=row).is_valid()


def test_a_value_that_is_not_one(member: Any) -> None:
    """What is wrong with another column is told there, and hides nothing of what is wrong with this one."""
    with pytest.raises(ValidationError) as caught:
        member(organization_id="x", number="1" * 21).full_clean()
    assert sorted(caught.value.message_dict) == ["number", "organization"]
    with pytest.raises(ValidationError) as caught:
        member(organization_id="x", number="123").full_clean()
    assert list(caught.value.message_dict) == ["organization"]


class TestSerializers:
    @pytest.fixture
    def serializer(self, member: Any) -> Any:
        class Serializer(serializers.ModelSerializer):  # type: ignore[type-arg]
            class Meta:
                model = member
                fields = ["organization", "number"]

        return Serializer

    def test_what_is_sent(self, serializer: Any, one: Organization, two: Organization) -> None:
        """The field of the number has the error; another organization, or number, is fine."""
        sent = serializer(data={"organization": one.pk, "number": "12-3"})
        assert not sent.is_valid()
        assert sent.errors == {"number": [SAID]}
        assert serializer(data={"organization": two.pk, "number": "123"}).is_valid()
        assert serializer(data={"organization": one.pk, "number": "124"}).is_valid()
        assert serializer(data={"organization": None, "number": "123"}).is_valid()
        wrong = serializer(data={"organization": 10**6, "number": "123"})
        assert not wrong.is_valid()
        assert list(wrong.errors) == ["organization"]

    def test_partial_updates(
        self, serializer: Any, member: Any, one: Organization, two: Organization
    ) -> None:
        """What is not sent is the row's; a row does not collide with itself."""
        mine = member.objects.get()
        assert serializer(mine, data={"number": "1 2 3"}, partial=True).is_valid()
        other = member.objects.create(organization=one, number="7")
        assert not serializer(other, data={"number": "123"}, partial=True).is_valid()
        elsewhere = member.objects.create(organization=two, number="123")
        moved = serializer(elsewhere, data={"organization": one.pk, "number": "123"}, partial=True)
        assert not moved.is_valid()

    def test_an_organization_that_the_view_gives(self, member: Any, one: Organization) -> None:
        """As a HiddenField, which is DRF's way to have a default in its validators."""

        class Serializer(serializers.ModelSerializer):  # type: ignore[type-arg]
            organization = serializers.HiddenField(default=one)

            class Meta:
                model = member
                fields = ["organization", "number"]

        sent = Serializer(data={"number": "123"})
        assert not sent.is_valid()
        assert sent.errors == {"number": [SAID]}
        assert Serializer(data={"number": "9"}).is_valid()
