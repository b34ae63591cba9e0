"""Model forms outside the admin, and the masked form over every kind of form field."""

import re
from typing import Any

import pytest
from django import forms
from django.db import connection, models

from django_workos_vault import vaults
from django_workos_vault.admin import MaskedModelForm
from django_workos_vault.fields import EncryptedCharField, stored_cell
from django_workos_vault.fields.cell import Sealed
from django_workos_vault.fields.field import EncryptedField
from tests.app.models import Person

pytestmark = pytest.mark.django_db
FIELDS = ("name", "ssn", "notes", "email")
PersonForm = forms.modelform_factory(Person, fields=FIELDS)


@pytest.fixture
def person() -> Person:
    """A person whose SSN cannot be opened, as it comes from the database."""
    person = Person.objects.create(ssn="123-45-6789", notes="hello", email="a@b.example")
    cell = stored_cell(person, "ssn")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE app_person SET ssn = %s", [cell[:-1] + bytes([cell[-1] ^ 1])])
    return Person.objects.get()


def held(person: Person) -> Any:
    return Person.objects.get(pk=person.pk).__dict__["ssn"]


def test_form_shows_what_can_be_opened(person: Person) -> None:
    """A form edits plaintext, as Django's do; a cell that cannot be opened is a blank input."""
    html = str(PersonForm(instance=person))
    assert "hello" in html
    assert 'placeholder="cannot be opened"' in html
    assert 'name="ssn-clear"' in html
    assert "Sealed" not in html


@pytest.mark.parametrize("ssn", ["", "  "])
def test_blank_keeps_a_cell_that_cannot_be_opened(person: Person, ssn: str) -> None:
    """Blank is what was shown, so blank changes nothing, and is not reported as a change."""
    before = held(person).cell
    form = PersonForm({"name": "Grace", "ssn": ssn, "notes": "hello", "email": ""}, instance=person)
    assert form.changed_data == ["name", "email"]
    form.save()
    assert held(person).cell == before
    assert (person.name, Person.objects.get().email) == ("Grace", "")


def test_a_value_or_the_checkbox_replaces_a_cell_that_cannot_be_opened(person: Person) -> None:
    """The way out of a broken cell is to enter the value again, or to clear it."""
    posted = {"name": "Ada", "notes": "hello", "email": ""}
    PersonForm({**posted, "ssn": "987"}, instance=person).save()
    assert Person.objects.get().ssn == "987"
    with vaults["default"].decryption_forbidden():
        MaskedPersonForm({**posted, "ssn": "", "ssn-clear": "on"}, instance=Person.objects.get()).save()
    assert Person.objects.get().ssn is None


def test_an_openable_value_is_cleared_by_a_blank(person: Person) -> None:
    """What was shown and is blank now was deleted, as in any Django form."""
    Person.objects.update(ssn="1")
    PersonForm({"name": "Ada", "notes": "hello", "ssn": ""}, instance=Person.objects.get()).save()
    assert Person.objects.get().ssn is None


def test_a_form_with_fields_of_its_own_keeps_the_cell(person: Person) -> None:
    """A declared form field knows nothing of cells: it shows a blank, and the blank replaces nothing."""

    class Declared(forms.ModelForm):
        ssn = forms.CharField(required=False)

        class Meta:
            model = Person
            fields = FIELDS

    before = held(person).cell
    assert "Sealed" not in str(Declared(instance=person))
    Declared({"name": "Ada", "ssn": "", "notes": "hello"}, instance=person).save()
    assert held(person).cell == before


def test_a_forms_own_clean_method_never_meets_a_cell(person: Person) -> None:
    """clean_ssn() is called with what was entered, and not when nothing was."""

    class Cleaning(MaskedModelForm):
        class Meta:
            model = Person
            fields = FIELDS

        def clean_ssn(self) -> str:
            return self.cleaned_data["ssn"].replace("-", "")

    before = held(person).cell
    Cleaning({"name": "Ada", "ssn": "", "notes": ""}, instance=person).save()
    assert held(person).cell == before
    Cleaning({"name": "Ada", "ssn": "1-2", "notes": ""}, instance=person).save()
    assert Person.objects.get().ssn == "12"


class MaskedPersonForm(MaskedModelForm):
    class Meta:
        model = Person
        fields = FIELDS


def test_a_deferred_value_is_masked_too(person: Person) -> None:
    """A form over a row loaded with only() loads the cell and shows no plaintext."""
    html = str(MaskedPersonForm(instance=Person.objects.only("name").get(pk=person.pk)))
    assert "hello" not in html


def choices_field() -> models.Field:
    return EncryptedCharField(choices=[("flu", "Flu"), ("cold", "Cold")], default="cold")


class EncryptedBoolean(EncryptedField, models.BooleanField):
    def encode(self, value: Any) -> bytes:
        return b"1" if value else b"0"

    def decode(self, plaintext: bytes) -> Any:
        return plaintext == b"1"


class EncryptedMoment(EncryptedField, models.DateTimeField):
    def encode(self, value: Any) -> bytes:
        return value.isoformat().encode()


KINDS = {
    "choices": (choices_field(), {}, "flu", "flu", '<option value="" selected>'),
    "radio": (choices_field(), {"widget": forms.RadioSelect}, "flu", "flu", "(keep)"),
    "checkbox": (EncryptedBoolean(), {}, True, "False", '<option value="" selected>'),
    "three ways": (EncryptedBoolean(null=True), {}, True, "True", '<option value="" selected>'),
    "textarea": (EncryptedCharField(), {"widget": forms.Textarea}, "flu", "new", 'placeholder="'),
    "callable default": (EncryptedCharField(default=lambda: "flu"), {}, "flu", "new", 'placeholder="'),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_input_offers_to_keep(kind: str) -> None:
    """Whatever the widget, the page shows the mask instead of the value, and no answer keeps the cell."""
    field, options, value, entered, shown = KINDS[kind]
    field.set_attributes_from_name("illness")
    field.model = Person

    class Form(forms.Form):
        illness = field.formfield(**options)

    Form.base_fields["illness"].masks_values = True
    cell = Sealed(field.seal_value(value), field)
    with vaults["default"].decryption_forbidden():
        html = str(Form(initial={"illness": cell}))
        assert shown in html
        assert 'type="hidden"' not in html
        assert not re.search('value="(flu|True)"[^>]*(checked|selected)', html)
        assert 'value="flu"' not in html or field.choices
        kept = Form({"illness": ""}, initial={"illness": cell})
        assert kept.is_valid(), kept.errors
        assert kept.cleaned_data["illness"] is cell
        assert not kept.has_changed()
    changed = Form({"illness": entered}, initial={"illness": cell})
    assert changed.is_valid(), changed.errors
    assert str(changed.cleaned_data["illness"]) == entered
    assert changed.has_changed()


def test_several_inputs_for_one_value_are_blank_together() -> None:
    """A split date and time is kept when both its inputs are blank."""
    field: Any = EncryptedMoment()
    field.set_attributes_from_name("seen")
    field.model = Person

    class Form(forms.Form):
        seen = field.formfield(form_class=forms.SplitDateTimeField)

    cell = Sealed(b"", field)
    form = Form({"seen_0": "", "seen_1": ""}, initial={"seen": cell})
    assert form.is_valid()
    assert form.cleaned_data["seen"] is cell
    assert not Form({"seen_0": "2026-01-01", "seen_1": ""}, initial={"seen": cell}).is_valid()
