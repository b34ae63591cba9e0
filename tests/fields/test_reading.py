"""Reading a value, or else: in code, in templates, in serializers."""

from typing import Any

import pytest
from django.db import connection
from django.template import Context, Template
from rest_framework.generics import ListAPIView
from rest_framework.renderers import JSONRenderer
from rest_framework.serializers import CharField, ModelSerializer, Serializer

from django_workos_vault import vaults
from django_workos_vault.drf import ValueOrField
from django_workos_vault.emulator import RunningEmulator
from django_workos_vault.exceptions import (
    DecryptionForbidden,
    VaultAuthenticationError,
    VaultRateLimited,
    VaultUnavailable,
)
from django_workos_vault.fields import stored_cell
from django_workos_vault.reading import value_or
from tests.admin.test_outage import fail
from tests.app.everything import EACH_TYPE, TYPES, Everything, FractionField, RangeField
from tests.app.models import Credential, Organization, Patient, Person

pytestmark = pytest.mark.django_db
SSN = "123-45-6789"
MARK = "(sealed)"


def damaged() -> Person:
    person = Person.objects.create(ssn=SSN)
    cell = stored_cell(person, "ssn")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE app_person SET ssn = %s", [cell[:-1] + bytes([cell[-1] ^ 1])])
    return Person.objects.get()


def swapped() -> Person:
    person = Person.objects.create(notes=SSN)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE app_person SET ssn = notes")
    return Person.objects.get(pk=person.pk)


def tenants() -> list[Patient]:
    """Patients of three organizations, the second of which has withdrawn its key."""
    for number in (1, 2, 3):
        organization = Organization.objects.create(name=f"Clinic {number}", workos_id=f"org_{number}")
        Patient.objects.create(organization=organization, ssn=f"{number}23-45-6789")
    vaults["default"].backend.revoke("organization_id", "org_2")
    vaults["default"].keyring.forget()
    return list(Patient.objects.order_by("pk"))


@pytest.mark.parametrize("make", [damaged, swapped])
def test_what_cannot_be_opened_gives_the_default(make: Any) -> None:
    """A changed cell and one from another column; the other attributes are read as ever."""
    person = make()
    assert value_or(person, "ssn") is None
    assert value_or(person, "ssn", MARK) == MARK
    assert value_or(person, "name", MARK) == "Ada"
    assert value_or(Person(ssn=None), "ssn", MARK) is None


def test_a_withdrawn_key_is_its_own_tenants_matter() -> None:
    """The others' values are read."""
    read = [value_or(patient, "ssn", MARK) for patient in tenants()]
    assert read == ["123-45-6789", MARK, "323-45-6789"]


def test_an_object_that_is_gone_gives_the_default() -> None:
    """So does a value that lives in Vault, and is there no more."""
    row = Credential.objects.create(token="secret")
    vaults["default"].backend.delete_object(row.__dict__["token"].reference.id)
    assert value_or(Credential.objects.get(), "token", MARK) == MARK


@pytest.mark.parametrize(
    ("status", "error"),
    [(503, VaultUnavailable), (429, VaultRateLimited), (401, VaultAuthenticationError)],
)
def test_an_outage_is_raised_unless_told_otherwise(
    remote_vault: RunningEmulator, status: int, error: type[Exception]
) -> None:
    """It says nothing about the value."""
    Person.objects.create(ssn=SSN)
    fail(remote_vault, status)
    with pytest.raises(error):
        value_or(Person.objects.get(), "ssn")
    assert value_or(Person.objects.get(), "ssn", MARK, outage=True) == MARK


def test_other_errors_are_raised() -> None:
    """A guard of the program's own, and a misspelt name."""
    Person.objects.create(ssn=SSN)
    person = Person.objects.get()
    with vaults["default"].decryption_forbidden(), pytest.raises(DecryptionForbidden):
        value_or(person, "ssn")
    with pytest.raises(AttributeError):
        value_or(person, "sns")


def test_templates() -> None:
    """The tag and the filter give what the function gives, and values are escaped."""
    template = Template(
        "{% load workos_vault %}{% for row in rows %}"
        '{% value_or row "ssn" "<none>" %}|{{ row|value_or_none:"ssn"|default_if_none:"-" }};'
        '{% value_or row "ssn" outage=True as ssn %}{{ ssn }} {% endfor %}'
    )
    rows = [Person(ssn="<b>"), damaged()]
    assert template.render(Context({"rows": rows})) == "&lt;b&gt;|&lt;b&gt;;&lt;b&gt; <none>|-; "


class PatientSerializer(ModelSerializer):
    ssn = ValueOrField()

    class Meta:
        model = Patient
        fields = ("id", "ssn")


class PatientList(ListAPIView):
    queryset = Patient.objects.order_by("pk")
    serializer_class = PatientSerializer
    renderer_classes = (JSONRenderer,)


def test_a_list_of_all_tenants_is_answered(rf: Any) -> None:
    """One withdrawn key is a null in its own row, not a server error."""
    tenants()
    response = PatientList.as_view()(rf.get("/"))
    assert response.status_code == 200
    assert [row["ssn"] for row in response.data] == ["123-45-6789", None, "323-45-6789"]


class PersonSerializer(ModelSerializer):
    ssn = ValueOrField(unreadable=MARK)

    class Meta:
        model = Person
        fields = ("name", "ssn")


def test_the_mark_sent_back_leaves_the_value() -> None:
    """What a client read and sends back changes nothing; a value, and null, do."""
    person = damaged()
    before = stored_cell(person, "ssn")
    data = dict(PersonSerializer(person).data)
    assert data == {"name": "Ada", "ssn": MARK}
    serializer = PersonSerializer(person, data={**data, "name": "Grace"})
    assert serializer.is_valid(), serializer.errors
    serializer.save()
    person = Person.objects.get()
    assert (person.name, stored_cell(person, "ssn")) == ("Grace", before)
    for value in ("987", None):
        serializer = PersonSerializer(Person.objects.get(), data={"name": "Ada", "ssn": value})
        assert serializer.is_valid(), serializer.errors
        serializer.save()
        assert Person.objects.get().ssn == value


def test_the_mark_is_no_value() -> None:
    """A new row cannot have it, and what the model refuses is refused."""
    for data, code in (({"ssn": MARK}, "mark"), ({"ssn": "x" * 12}, "max_length"), ({"ssn": [1]}, "invalid")):
        serializer = PersonSerializer(data=data)
        assert not serializer.is_valid()
        assert serializer.errors["ssn"][0].code == code
    assert PersonSerializer(data={}).is_valid()  # null=True: not required, as the model's own field


def test_a_field_without_a_mark_cannot_be_written() -> None:
    """Null, sent back, would clear a value that could not be read."""
    with pytest.raises(TypeError, match="needs a mark"):
        ValueOrField(read_only=False)
    serializer = PatientSerializer(data={"ssn": "1"})
    assert serializer.is_valid()
    assert "ssn" not in serializer.validated_data


def test_outside_of_model_serializers_the_field_is_given() -> None:
    """Any serializer takes it, with a source of its own."""

    class Plain(Serializer):
        number = ValueOrField(CharField(max_length=3), unreadable=MARK, source="ssn")

    assert Plain(damaged()).data == {"number": MARK}
    assert Plain(Person(ssn=SSN)).data == {"number": SSN}
    assert not Plain(data={"number": "1234"}).is_valid()
    assert Plain(data={"number": "123"}).is_valid()


def serializers_of_everything() -> tuple[type, type]:
    meta = type("Meta", (), {"model": Everything, "fields": EACH_TYPE})
    guarded = {name: ValueOrField(unreadable=MARK) for name in EACH_TYPE}
    return (
        type("Usual", (ModelSerializer,), {"Meta": meta}),
        type("Guarded", (ModelSerializer,), {"Meta": meta, **guarded}),
    )


def test_every_type_is_shown_and_taken_as_usual() -> None:
    """What can be read looks the same, and the same input is taken and refused."""
    usual, guarded = serializers_of_everything()
    Everything.objects.create(**{name: spec.values[-1] for name, spec in TYPES.items()})
    shown = usual(Everything.objects.get()).data
    assert guarded(Everything.objects.get()).data == shown
    strict = [
        name
        for name in EACH_TYPE
        if not isinstance(Everything._meta.get_field(name), RangeField | FractionField)
    ]
    for data in (shown, {}, dict.fromkeys(EACH_TYPE), dict.fromkeys(strict, "!forty-two!")):
        one, other = usual(data=data), guarded(data=data)
        assert one.is_valid() == other.is_valid()
        assert one.errors == other.errors
        assert one.validated_data == other.validated_data


def test_every_type_is_marked_where_it_cannot_be_read() -> None:
    """The mark is shown as it is, whatever the type of the field."""
    _, guarded = serializers_of_everything()
    Everything.objects.create(**{name: spec.values[-1] for name, spec in TYPES.items()})
    table = Everything._meta.db_table
    columns = [Everything._meta.get_field(name).column for name in EACH_TYPE]
    with connection.cursor() as cursor:
        for column in columns:
            cursor.execute(
                f'UPDATE {table} SET "{column}" = %s'.replace('"', connection.ops.quote_name("x")[0]),
                [b"not a cell"],
            )
    assert set(guarded(Everything.objects.get()).data.values()) == {MARK}
