"""Inputs whose text a browser interprets: in a masked form it arrives as typed, to be taken or refused."""

import warnings
from typing import Any

import pytest
from django import forms
from django.test import Client

from django_workos_vault import vaults
from django_workos_vault.admin import MaskedModelForm
from django_workos_vault.fields.forms import Given, keep_cells
from tests.admin.test_types import POSTED, VALUES, cells, url
from tests.app.models import Person, Questionnaire

pytestmark = [
    pytest.mark.django_db,
    # What Django 5.2 says of every URLField in a form.
    pytest.mark.filterwarnings("ignore:The default scheme will be changed"),
]
NUMBERS = ("big", "price", "ratio", "number")
#: What a browser shows as typed, and what it would post of it from the input type it is meant for.
UNREADABLE = {
    "big": "12e",
    "price": "1,5 or so",
    "ratio": "1e",
    "number": "--4",
    "born": "yesterday",
    "seen_0": "soon",
    "took": "an hour",
    "address": "10.0.0",
    "data": "{",
    "slug": "no slug",
    "hour": "noon",
    "url": "no address",
    "token": "77",
    "maybe": "perhaps",
    "choice": "measles",
}
INTERPRETED = ("number", "range", "color", "date", "time", "datetime-local", "month", "week")


@pytest.fixture
def row() -> Questionnaire:
    return Questionnaire.objects.create(**VALUES)


@pytest.mark.parametrize("page", ["add", "change"])
def test_no_input_of_the_admin_is_interpreted_by_the_browser(
    admin_client: Client, row: Questionnaire, page: str
) -> None:
    """Numbers have text inputs, for the add form too: a blank would be taken for no answer."""
    html = admin_client.get(
        url(row) if page == "change" else "/admin/app/questionnaire/add/"
    ).content.decode()
    for kind in INTERPRETED:
        assert f'type="{kind}"' not in html
    assert html.count('inputmode="text"') == len(NUMBERS)


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_cannot_be_read_is_an_error(admin_client: Client, row: Questionnaire, name: str) -> None:
    """Of every type; nothing is saved, and the answer is not sent back."""
    before = cells(row)
    response = admin_client.post(url(row), dict.fromkeys(POSTED, "") | {name: UNREADABLE[name]})
    assert response.status_code == 200
    assert response.context["errors"]
    if len(UNREADABLE[name]) > 4:
        assert f'"{UNREADABLE[name]}"' not in response.content.decode()
    assert cells(row) == before


@pytest.mark.parametrize("input_type", INTERPRETED)
@pytest.mark.parametrize("masked", [True, False], ids=["masked", "unopenable"])
def test_every_interpreted_type_becomes_text(input_type: str, masked: bool) -> None:
    """Also those a project chose itself, where blank means keep; nothing of the type is left."""
    field: Any = Questionnaire._meta.get_field("born")
    widget = forms.DateInput(attrs={"type": input_type, "min": "1", "max": "2", "step": "3", "list": "dates"})

    class Form(forms.Form):
        born = keep_cells(forms.CharField(widget=widget), field)

    Form.base_fields["born"].masks_values = masked
    with vaults["default"].decryption_forbidden():
        html = str(Form(initial={"born": Given("2001", field)}))
    assert 'type="text"' in html
    assert 'inputmode="text"' in html
    for gone in (f'type="{input_type}"', "min=", "max=", "step=", "list="):
        assert gone not in html


@pytest.mark.parametrize(
    ("form_field", "inputmode"),
    [
        (forms.IntegerField(), "text"),
        (forms.IntegerField(min_value=0), "numeric"),
        (forms.DecimalField(min_value=0), "decimal"),
        (forms.FloatField(min_value=0), "decimal"),
        (forms.FloatField(min_value=-1), "text"),
        (forms.IntegerField(min_value=lambda: 0), "text"),
        (forms.SplitDateTimeField(widget=forms.SplitDateTimeWidget(date_attrs={"type": "date"})), "text"),
    ],
)
def test_a_keypad_is_offered_where_it_has_every_key(form_field: Any, inputmode: str) -> None:
    """Those of telephones may lack a minus sign."""
    field: Any = Questionnaire._meta.get_field("number")

    class Form(forms.Form):
        number = keep_cells(form_field, field)

    Form.base_fields["number"].masks_values = True
    html = str(Form())
    assert f'inputmode="{inputmode}"' in html
    assert 'type="number"' not in html
    assert 'type="date"' not in html


def test_other_types_stay() -> None:
    """An address is posted as it was typed, so its input keeps its type."""

    class Form(MaskedModelForm):
        class Meta:
            model = Person
            fields = ("email",)

    assert 'type="email"' in str(Form())


def test_a_plain_form_keeps_its_inputs_where_values_are_shown(row: Questionnaire) -> None:
    """There a blank means a blank, and the value is in the input."""
    form_class = forms.modelform_factory(Questionnaire, fields=("number",))
    html = str(form_class(instance=row))
    assert 'type="number"' in html
    assert str(VALUES["number"]) in html


EMPTY = {
    "data": ("{}", {}),
    "maybe": ("False", False),
    "number": ("0", 0),
    "ratio": ("0", 0.0),
    "price": ("0", 0),
}


@pytest.mark.parametrize("name", EMPTY)
def test_an_empty_value_is_a_value(row: Questionnaire, name: str) -> None:
    """What looks like no answer to Django's forms, but was entered, replaces the cell."""
    posted, value = EMPTY[name]
    with warnings.catch_warnings(action="ignore"):
        form_class = forms.modelform_factory(Questionnaire, form=MaskedModelForm, fields=(name,))
    form = form_class({name: posted}, instance=Questionnaire.objects.get())
    form.fields[name].required = False
    assert form.is_valid(), form.errors
    assert form.changed_data == [name]
    form.save()
    assert getattr(Questionnaire.objects.get(), name) == value


def test_null_in_json_is_an_error_where_null_is(row: Questionnaire) -> None:
    """It is neither kept in silence nor a server error."""
    form_class = forms.modelform_factory(Questionnaire, form=MaskedModelForm, fields=("data",))
    form = form_class({"data": "null"}, instance=Questionnaire.objects.get())
    form.fields["data"].required = False
    assert set(form.errors) == {"data"}


@pytest.mark.parametrize("typed", [" ", "\t \n"])
def test_spaces_alone_are_no_answer_where_they_are_stripped(row: Questionnaire, typed: str) -> None:
    """They keep the cell, and no change is reported."""
    form_class = forms.modelform_factory(Questionnaire, form=MaskedModelForm, fields=("slug", "text"))
    form = form_class({"slug": typed, "text": typed}, instance=Questionnaire.objects.get())
    assert form.is_valid()
    assert form.changed_data == []
    unstripped = form_class({"slug": "", "text": typed}, instance=Questionnaire.objects.get())
    unstripped.fields["text"].strip = False
    assert unstripped.is_valid()
    unstripped.save()
    assert Questionnaire.objects.get().text == typed
