"""A masked form shows a mask wherever the value came from, whatever its type and wherever it is rendered."""

import re
import warnings
from typing import Any

import pytest
from django import forms
from django.contrib import admin
from django.contrib.auth.models import User
from django.contrib.messages.storage.cookie import CookieStorage
from django.core.validators import MinValueValidator
from django.forms.models import inlineformset_factory, modelformset_factory
from django.test import Client, RequestFactory

from django_workos_vault.admin import MaskedAdminMixin, MaskedModelForm
from django_workos_vault.masks import FULL
from tests.admin.test_types import POSTED, VALUES, assert_masked
from tests.app.models import Credential, Organization, Patient, Person, Questionnaire

pytestmark = [
    pytest.mark.django_db,
    # What Django 5.2 says of every URLField in a form.
    pytest.mark.filterwarnings("ignore:The default scheme will be changed"),
]
URL = "/admin/app/questionnaire/"
AS_TEXT = {name: str(value) for name, value in VALUES.items()} | {
    "data": "text seven",
    "seen": "1972-08-18 03:28:38",  # in America/Chicago
    "took": "07:37:00",
}


with warnings.catch_warnings(action="ignore"):  # what Django 5.2 says of every URLField in a form

    class Masked(MaskedModelForm):
        class Meta:
            model = Questionnaire
            fields = tuple(VALUES)

    class Declared(MaskedModelForm):
        """With form fields of its own in the place of the model's, some with an initial value."""

        number = forms.IntegerField(initial=VALUES["number"])
        born = forms.DateField(initial=lambda: VALUES["born"], widget=forms.SelectDateWidget)
        text = forms.CharField(widget=forms.Textarea, initial=VALUES["text"])
        choice = forms.ChoiceField(
            choices=[("flu", "Influenza"), ("cold", "A cold")], widget=forms.RadioSelect
        )
        url = forms.CharField(show_hidden_initial=True, initial=VALUES["url"])

        class Meta:
            model = Questionnaire
            fields = tuple(VALUES)

    PlainForm = forms.modelform_factory(Questionnaire, fields=tuple(VALUES))


def stored() -> Questionnaire:
    return Questionnaire.objects.get(pk=Questionnaire.objects.create(**VALUES).pk)


def deferred() -> Questionnaire:
    return Questionnaire.objects.only("pk").get(pk=Questionnaire.objects.create(**VALUES).pk)


def assigned() -> Questionnaire:
    row = stored()
    for name, value in VALUES.items():
        setattr(row, name, value)
    return row


def late(form_class: Any, **kwargs: Any) -> Any:
    """A form whose values are put into ``form.initial`` after it was made."""
    form = form_class(**kwargs)
    form.initial.update(VALUES)
    return form


SOURCES: dict[str, Any] = {
    "stored": lambda form, **kwargs: form(instance=stored(), **kwargs),
    "deferred": lambda form, **kwargs: form(instance=deferred(), **kwargs),
    "assigned": lambda form, **kwargs: form(instance=assigned(), **kwargs),
    "unsaved": lambda form, **kwargs: form(instance=Questionnaire(**VALUES), **kwargs),
    "initial": lambda form, **kwargs: form(initial=VALUES, **kwargs),
    "initial text": lambda form, **kwargs: form(initial=AS_TEXT, **kwargs),
    "initial called": lambda form, **kwargs: form(
        initial={name: lambda value=value: value for name, value in VALUES.items()}, **kwargs
    ),
    "initial over stored": lambda form, **kwargs: form(
        instance=stored(), initial=VALUES | {"big": 7000000007}, **kwargs
    ),
    "late initial": late,
}
PLACES: dict[str, Any] = {
    "as_div": lambda form: form.as_div(),
    "as_p": lambda form: form.as_p(),
    "as_table": lambda form: form.as_table(),
    "inputs": lambda form: "".join(str(field) for field in form),
    "hidden inputs": lambda form: "".join(field.as_hidden() for field in form),
    "text areas": lambda form: "".join(field.as_textarea() for field in form),
    "subwidgets": lambda form: "".join(str(part) for field in form for part in field.subwidgets),
    "values": lambda form: "".join(f"{field.value()} {field.initial}" for field in form),
    "initial": lambda form: "".join(f"{value}{value!r}" for value in form.initial.values()),
}


@pytest.mark.parametrize(
    "data", [None, {}, dict.fromkeys(POSTED, "!forty-two!")], ids=["new", "blank", "wrong"]
)
@pytest.mark.parametrize("form_class", [Masked, Declared])
@pytest.mark.parametrize("source", SOURCES)
def test_no_form_shows_a_value(source: str, form_class: Any, data: Any) -> None:
    """Every type, from every source, in every place of a form, before and after an answer."""
    form = SOURCES[source](form_class, data=data)
    for place, render in PLACES.items():
        if place == "initial" and source in ("late initial", "initial called"):
            continue  # the program's own dictionary, or functions
        html = render(form)
        assert_masked(html)
        assert "forty-two" not in html
        assert place != "as_div" or html.count(FULL) >= len(VALUES) - 1


@pytest.mark.parametrize("source", SOURCES)
def test_a_blank_keeps_what_the_mask_stood_for(source: str) -> None:
    """The form that said "leave blank to keep" keeps, and reports no change."""
    form = SOURCES[source](Masked, data=dict.fromkeys(POSTED, ""))
    assert form.is_valid(), form.errors
    assert form.changed_data == []
    form.save()
    saved = Questionnaire.objects.get()
    expected = VALUES | ({"data": "text seven"} if source == "initial text" else {})
    assert {name: getattr(saved, name) for name in VALUES} == expected


def test_a_kept_value_is_not_tidied_up() -> None:
    """What an instance holds stays as it is: spaces, and microseconds that no input shows."""
    moment = VALUES["seen"].replace(microsecond=123456)
    form = Masked(
        dict.fromkeys(POSTED, ""), instance=Questionnaire(**VALUES | {"text": " a ", "seen": moment})
    )
    form.save()
    saved = Questionnaire.objects.get()
    assert (saved.text, saved.seen) == (" a ", moment)


def test_the_text_of_an_initial_value_is_checked() -> None:
    """An initial value that is none of the type is an error of its field, without the text."""
    form = Masked(
        dict.fromkeys(POSTED, ""), initial=AS_TEXT | {"number": "!forty-two!", "choice": "!forty-two!"}
    )
    assert set(form.errors) == {"number", "choice"}
    assert "forty-two" not in str(form)


@pytest.mark.parametrize("data", [None, {}], ids=["new", "wrong"])
def test_formsets_show_no_value(data: Any) -> None:
    """Nor do the forms of a formset, those for new rows included."""
    row = Questionnaire.objects.create(**VALUES)
    formset_class = modelformset_factory(Questionnaire, form=Masked, extra=2, can_delete=True)
    posted = data
    if data is not None:
        posted = {"form-TOTAL_FORMS": "3", "form-INITIAL_FORMS": "1", "form-0-id": str(row.pk)}
        posted |= {f"form-{n}-{name}": "!forty-two!" for n in range(3) for name in POSTED}
    formset = formset_class(posted, initial=[VALUES, VALUES])
    html = str(formset)
    assert_masked(html)
    assert "forty-two" not in html
    assert html.count(FULL) >= 3 * (len(VALUES) - 1)


@pytest.mark.parametrize("data", [None, {"token": "", "name": ""}], ids=["new", "wrong"])
@pytest.mark.parametrize("value", ["a secret", {"secret": [1]}, 7373.5])
@pytest.mark.parametrize("source", ["stored", "unsaved", "initial"])
def test_objects_in_vault_are_masked_alike(source: str, value: Any, data: Any) -> None:
    """A VaultObjectField is not fetched to be shown, and its value is kept whatever its type."""
    form_class = forms.modelform_factory(Credential, form=MaskedModelForm, fields=("name", "token"))
    kwargs: Any = {
        "stored": lambda: {"instance": Credential.objects.create(token=value)},
        "unsaved": lambda: {"instance": Credential(token=value)},
        "initial": lambda: {"initial": {"token": value}},
    }[source]()
    html = str(form_class(data, **kwargs))
    assert "secret" not in html
    assert "7373" not in html
    assert FULL in html
    form_class({"name": "x", "token": ""}, **kwargs).save()
    assert Credential.objects.get().token == value


@pytest.mark.parametrize("how", ["add", "add with errors", "change"])
def test_what_an_address_gives_to_the_admin_is_masked_and_kept(admin_client: Client, how: str) -> None:
    """Django fills an add form from the address; the page shows masks, and a blank keeps what was given."""
    text = {f"{name}": value for name, value in AS_TEXT.items() if name != "seen"}
    url = f"{URL}{stored().pk}/change/" if how == "change" else f"{URL}add/"
    data = {"seen_0": "2002-02-02", "seen_1": "02:22:22"}
    if how == "add":
        response = admin_client.get(url, text)
    else:
        response = admin_client.post(url, {"seen_0": "!forty-two!"}, query_params=text)
    assert response.status_code == 200
    assert_masked(response.content.decode().replace(response.wsgi_request.get_full_path(), ""))
    if how == "add":
        assert admin_client.post(url, data, query_params=text).status_code == 302
        saved = Questionnaire.objects.get()
        assert {name: getattr(saved, name) for name in text} == {
            name: (VALUES | {"data": "text seven"})[name] for name in text
        }


class Secretive(MaskedAdminMixin, admin.ModelAdmin):
    """Gives every value to its add form by itself."""

    def get_changeform_initial_data(self, request: Any) -> Any:
        return VALUES


def answer(model_admin: Any, view: str, *args: Any, post: Any = None, query: Any = None) -> Any:
    request = RequestFactory().post("/", post) if post is not None else RequestFactory().get("/", query)
    request.user = User.objects.get_or_create(username="root", is_staff=True, is_superuser=True)[0]
    request._dont_enforce_csrf_checks = True
    request._messages = CookieStorage(request)
    response = getattr(model_admin, view)(request, *args)
    response.request = request
    return response.render() if hasattr(response, "render") else response


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"readonly_fields": tuple(VALUES)},
        {"save_as": True},
        {"form": Declared},
        {"fieldsets": [(None, {"fields": [tuple(VALUES)]})]},
        {"form": PlainForm},
    ],
    ids=["plain", "readonly", "save_as", "declared", "fieldsets", "form"],
)
def test_no_page_of_the_admin_shows_a_value(options: Any) -> None:
    """Whatever the admin class does with its fields: pages for adding and changing, wrong answers too."""
    model_admin = type("Admin", (Secretive,), options)(Questionnaire, admin.site)
    row = stored()
    wrong = dict.fromkeys(POSTED, "!forty-two!")
    pages = [
        answer(model_admin, "add_view"),
        answer(model_admin, "change_view", str(row.pk)),
        answer(model_admin, "changelist_view"),
    ]
    if "readonly_fields" not in options:
        pages.append(answer(model_admin, "add_view", post=wrong))
        pages.append(answer(model_admin, "change_view", str(row.pk), post=wrong | {"_saveasnew": "1"}))
    for page in pages:
        assert page.status_code == 200
        assert_masked(page.content.decode())
        assert "forty-two" not in page.content.decode()


def test_a_form_given_to_get_form_is_masked() -> None:
    """An admin that names its form class late gets it masked too."""

    class Late(Secretive):
        def get_form(self, request: Any, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
            kwargs["form"] = PlainForm
            return super().get_form(request, obj, change, **kwargs)

        def get_changelist_form(self, request: Any, **kwargs: Any) -> Any:
            return super().get_changelist_form(request, form=forms.ModelForm, **kwargs)

        list_display = ("pk", "number")
        list_editable = ("number",)

    stored()
    model_admin = Late(Questionnaire, admin.site)
    assert_masked(answer(model_admin, "add_view").content.decode())
    assert_masked(answer(model_admin, "changelist_view").content.decode())
    post = {
        "form-TOTAL_FORMS": "1",
        "form-INITIAL_FORMS": "1",
        "form-0-id": str(Questionnaire.objects.get().pk),
        "form-0-number": "",
        "_save": "1",
    }
    assert answer(model_admin, "changelist_view", post=post).status_code == 302
    assert Questionnaire.objects.get().number == VALUES["number"]


def test_inlines_show_no_initial_value() -> None:
    """Rows that an inline offers to add are masked like those that are there."""
    formset_class = inlineformset_factory(
        Organization, Patient, form=MaskedModelForm, fields=("ssn",), extra=1
    )
    html = str(formset_class(instance=Organization.objects.create(), initial=[{"ssn": "123-45-6789"}]))
    assert "123-45" not in html
    assert html.count(FULL) == 1


def test_partial_masks_are_made_of_any_source() -> None:
    """A mask that shows a part shows it of an initial value too."""
    form_class = forms.modelform_factory(Person, form=MaskedModelForm, fields=("ssn",))
    for kwargs in ({"initial": {"ssn": "123-45-6789"}}, {"instance": Person(ssn="123-45-6789")}):
        html = str(form_class(**kwargs))
        assert re.search('placeholder="•••• 6789"', html)
        assert "123" not in html


@pytest.mark.parametrize("message", ["%(show_value)s is too low", "%(show_value)d is low", "not %(value)s"])
@pytest.mark.parametrize("kept", [True, False])
def test_errors_quote_no_value_by_another_name(message: str, kept: bool) -> None:
    """Django's validators give a message the value as "value" and as "show_value"."""

    class Adult(MaskedModelForm):
        number = forms.IntegerField(validators=[MinValueValidator(800000000, message=message)])

        class Meta:
            model = Questionnaire
            fields = ("number",)

    initial = {"number": str(VALUES["number"])} if kept else {}
    form = Adult({"number": "" if kept else str(VALUES["number"])}, initial=initial)
    assert set(form.errors) == {"number"}
    assert str(VALUES["number"]) not in str(form)
    assert str(VALUES["number"]) not in repr(form.errors)
