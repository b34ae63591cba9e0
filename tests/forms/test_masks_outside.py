"""Masks outside the admin: in templates, on instances, in APIs, tables and exports, all by one function."""

import logging
from collections.abc import Callable
from typing import Any

import django_tables2
import pytest
from django.core.exceptions import FieldDoesNotExist
from django.db import connection, models
from django.template import Context, Template
from django.test import Client
from django.test.utils import CaptureQueriesContext, isolate_apps
from import_export import resources
from rest_framework import serializers

from django_workos_vault import drf, exports, tables, vaults
from django_workos_vault.fields import EncryptedCharField
from django_workos_vault.masks import FULL
from django_workos_vault.reading import masked
from tests.app.models import Device, Organization, Person, Session, Visit

pytestmark = pytest.mark.django_db
SSN = "123-45-6789"


class PersonSerializer(serializers.ModelSerializer):
    ssn = drf.MaskedField()
    notes = drf.MaskedField()

    class Meta:
        model = Person
        fields = ("name", "ssn", "notes")


class VisitSerializer(serializers.ModelSerializer):
    ssn = drf.MaskedField(source="person.ssn")

    class Meta:
        model = Visit
        fields = ("ssn",)


class PersonTable(django_tables2.Table):
    ssn = tables.MaskedColumn("ssn")
    notes = tables.MaskedColumn("notes", verbose_name="Remarks")

    class Meta:
        model = Person
        fields = ("name", "ssn", "notes")


class PersonResource(resources.ModelResource):
    ssn = exports.MaskedField("ssn")
    notes = exports.MaskedField("notes")

    class Meta:
        model = Person
        fields = ("name", "ssn", "notes")


def by_template(person: Person, name: str) -> Any:
    template = Template("{% load workos_vault %}{{ person|masked:name|default_if_none:'-' }}")
    return template.render(Context({"person": person, "name": name}))


WAYS: dict[str, Callable[[Person, str], Any]] = {
    "function": masked,
    "method": lambda person, name: getattr(person, f"get_{name}_masked")(),
    "template": by_template,
    "serializer": lambda person, name: PersonSerializer(person).data[name],
    "table": lambda person, name: PersonTable([person]).rows[0].get_cell(name),
    "table's export": lambda person, name: dict(
        zip(("name", "ssn", "notes"), list(PersonTable([person]).as_values())[1], strict=True)
    )[name],
    "export": lambda person, name: PersonResource().export([person]).dict[0][name],
}
NULL = dict.fromkeys(WAYS) | {"template": "-", "table": "—", "export": ""}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("saved", [True, False])
def test_every_way_shows_the_same(way: str, saved: bool) -> None:
    """Of stored values and of assigned ones; the whole mask opens nothing."""
    person: Any = Person(ssn=SSN, notes="a note")
    if saved:
        person.save()
        person = Person.objects.get()
    assert WAYS[way](person, "ssn") == "•••• 6789"
    with vaults["default"].decryption_forbidden():
        assert WAYS[way](person, "notes") == FULL


@pytest.mark.parametrize("way", WAYS)
def test_null_and_what_cannot_be_opened(way: str) -> None:
    """NULL is what the place shows for it; a mask that needs a value says that it cannot be had."""
    Person.objects.create(ssn=SSN)
    with vaults["default"].decryption_forbidden():
        assert WAYS[way](Person.objects.get(), "ssn") == "cannot be opened"
    assert WAYS[way](Person(ssn=None), "ssn") == NULL[way]


def test_paths_lead_over_relations() -> None:
    """As lookups spell them; where there is no such row, there is nothing."""
    person = Person.objects.create(ssn=SSN)
    visit = Visit.objects.create(person=person)
    assert masked(visit, "person__ssn") == "•••• 6789"
    assert VisitSerializer(visit).data == {"ssn": "•••• 6789"}
    assert masked(Session(), "account__login") is None


def test_what_is_no_encrypted_field() -> None:
    """Code is told; a template shows the whole mask, and the log says why."""
    for name in ("name", "pk", "nothing"):
        with pytest.raises(FieldDoesNotExist):
            masked(Person(name="Ada"), name)


def test_a_template_that_masks_another_field(caplog: pytest.LogCaptureFixture) -> None:
    """No value is shown, no page fails, and the log names the field."""
    with caplog.at_level(logging.ERROR):
        assert by_template(Person(name="Ada"), "name") == FULL
    assert "'name' of Person is no encrypted field" in caplog.text
    assert by_template("no row", "name") == "-"  # type: ignore[arg-type]


def test_a_serializer_does_not_take_a_mask() -> None:
    """The field is read-only, whatever it was given."""
    serializer = PersonSerializer(Person(ssn=SSN), data={"name": "Ada", "ssn": "•••• 6789"})
    assert serializer.is_valid()
    assert "ssn" not in serializer.validated_data
    assert drf.MaskedField(read_only=True).read_only


def test_a_table_is_not_ordered_by_masks() -> None:
    """And takes the heading that it is given."""
    table = PersonTable(Person.objects.all())
    assert [column.name for column in table.columns if column.orderable] == ["name"]
    assert [str(column.header) for column in table.columns] == ["Name", "Ssn", "Remarks"]


@isolate_apps("tests.app")
def test_a_method_of_the_models_own_stays() -> None:
    """As with Django's get_..._display()."""

    class Card(models.Model):
        number = EncryptedCharField(max_length=20, mask="card")

        class Meta:
            app_label = "app"

        def get_number_masked(self) -> str:
            return "mine"

    assert Card(number="4242424242424242").get_number_masked() == "mine"


class TestImports:
    """Exports of an admin that masks, imported again."""

    def import_rows(self, rows: str) -> Any:
        resource_class = exports.masked_resource(resources.modelresource_factory(Person))
        data = resource_class().export()
        return resource_class().import_data(data.load(rows, format="csv"))

    def test_masks_keep_what_is_stored(self) -> None:
        """The file as it was exported changes nothing that is masked."""
        person = Person.objects.create(ssn=SSN, notes="a note")
        resource_class = exports.masked_resource(resources.modelresource_factory(Person))
        exported = resource_class().export().csv
        assert SSN not in exported
        assert not self.import_rows(exported.replace("Ada", "Grace")).has_errors()
        person.refresh_from_db()
        assert (person.name, person.ssn, person.notes) == ("Grace", SSN, "a note")

    def test_a_value_is_taken(self) -> None:
        """The preview shows masks of both."""
        person = Person.objects.create(ssn=SSN)
        result = self.import_rows(f"id,ssn\n{person.pk},987-65-4321\n")
        assert not result.has_errors()
        assert not [part for part in result.rows[0].diff if "123" in part or "987" in part]
        assert Person.objects.get().ssn == "987-65-4321"

    def test_a_resource_of_no_model_stays(self) -> None:
        """There is nothing to mask in it."""

        class Other(resources.Resource):
            pass

        assert exports.masked_resource(Other) is Other

    @pytest.mark.parametrize("mask", ["•••• 4321", FULL])
    def test_another_mask_is_no_value(self, mask: str) -> None:
        """Neither for a row that is there, nor for a new one."""
        person = Person.objects.create(ssn=SSN)
        result = self.import_rows(f"id,ssn\n{person.pk},{mask}\n,{mask}\n")
        assert len(result.invalid_rows) == 2
        assert Person.objects.get().ssn == SSN


def make_devices(organizations: int, rows: int) -> None:
    owners = [Organization.objects.create(name=f"{n}", workos_id=f"org_{n}") for n in range(organizations)]
    Device.objects.bulk_create(
        Device(organization=owners[n % organizations], pin="123456") for n in range(rows)
    )
    vaults.reset()


@pytest.fixture
def partial_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Device._meta.get_field("pin"), "mask", "first_last")


LISTS: dict[str, Callable[[Client], Any]] = {
    "admin": lambda client: client.get("/admin/app/device/?all=").content.decode(),
    "template": lambda client: Template(
        "{% load workos_vault %}{% for row in rows %}{{ row|masked:'pin' }}{% endfor %}"
    ).render(Context({"rows": Device.objects.all()})),
}


@pytest.mark.parametrize("way", LISTS)
def test_a_list_with_full_masks_asks_nothing(admin_client: Client, way: str) -> None:
    """Hundreds of rows: no cell is opened, and Vault gets no request."""
    make_devices(30, 300)
    with vaults["default"].decryption_forbidden():
        assert LISTS[way](admin_client).count(FULL) >= (100 if way == "admin" else 300)
    assert vaults["default"].backend.requests_made == 0


@pytest.mark.usefixtures("partial_masks")
@pytest.mark.parametrize("way", LISTS)
def test_a_list_with_other_masks_asks_once_for_each_key(admin_client: Client, way: str) -> None:
    """Not once for each row, and the database is asked no more often than for one row."""
    make_devices(30, 100)
    with CaptureQueriesContext(connection) as queries:
        assert LISTS[way](admin_client).count("1••••••6") == 100
    assert vaults["default"].backend.requests_made == 30
    assert len(queries) < 20


@pytest.mark.usefixtures("partial_masks")
def test_the_keys_of_a_page_are_unwrapped_together() -> None:
    """The first mask asks for all of them, eight at a time, and the others find theirs."""
    make_devices(30, 100)
    rows = list(Device.objects.all())
    assert masked(rows[0], "pin") == "1••••••6"
    assert vaults["default"].backend.requests_made == 30
    assert {masked(row, "pin") for row in rows} == {"1••••••6"}
    assert vaults["default"].backend.requests_made == 30
