"""The inputs of a masked form: what clears them, what is tied to them, and who must not fill them in."""

from html.parser import HTMLParser
from itertools import count
from typing import Any

import pytest
from django import forms
from django.db import models
from django.test import Client
from django.test.utils import isolate_apps

from django_workos_vault.admin import MaskedModelForm
from django_workos_vault.fields import encrypted
from tests.app.everything import EACH_TYPE, TYPES
from tests.app.models import Everywhere, Questionnaire

pytestmark = [
    pytest.mark.django_db,
    # What Django 5.2 says of every URLField in a form.
    pytest.mark.filterwarnings("ignore:The default scheme will be changed"),
]
NUMBERS = count()
EMPTY_TEXT = ("char", "text", "email", "url", "slug", "colour", "fraction")


class Elements(HTMLParser):
    """Every element of a page that has an id or is an input, with its attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.inputs: list[dict[str, str]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        found = {name: value or "" for name, value in attrs}
        if "id" in found:
            self.ids.append(found["id"])
        if tag in ("input", "textarea", "select") and found.get("type") != "hidden":
            self.inputs.append({"tag": tag, **found})


def form_with(name: str, value: Any, posted: Any = None, **options: Any) -> Any:
    """A masked form over one field of a type, with a value that is there."""
    field = encrypted(TYPES[name].plain(**TYPES[name].kwargs, blank=True, **options))
    meta = type("Meta", (), {"app_label": "app"})
    model: Any = type(
        f"Model{next(NUMBERS)}", (models.Model,), {"it": field, "__module__": __name__, "Meta": meta}
    )
    form_class = forms.modelform_factory(model, form=MaskedModelForm, fields=("it",))
    return form_class(posted, instance=model(it=value))


@isolate_apps("tests.app")
@pytest.mark.parametrize("name", EACH_TYPE)
@pytest.mark.parametrize("kind", ["null", "default", "neither"])
def test_whatever_may_be_blank_can_be_cleared(name: str, kind: str) -> None:
    """To NULL, the type's empty value or the default; where a row cannot be without, nothing is offered."""
    value, default = TYPES[name].values[-1], TYPES[name].values[0]
    options: dict[str, Any] = {"null": {"null": True}, "default": {"default": default}, "neither": {}}[kind]
    empty: Any = {"binary": b"", "json": {}, "range": ""} | dict.fromkeys(EMPTY_TEXT, "")
    offered = 'name="it-clear"' in str(form_with(name, value, **options))
    if kind == "neither" and name not in empty:
        assert not offered
        return
    assert offered
    form = form_with(name, value, {"it": "", "it-clear": "on"}, **options)
    if name == "range" and kind != "null":
        return  # the third party's own field takes no empty text
    assert form.is_valid(), form.errors
    assert form.changed_data == ["it"]
    expected = None if kind == "null" else empty[name] if name in (*EMPTY_TEXT, "binary") else default
    if kind == "neither":
        expected = empty[name]
    assert form.instance.it == expected


@isolate_apps("tests.app")
@pytest.mark.parametrize("name", EACH_TYPE)
def test_a_value_and_the_checkbox_contradict_each_other(name: str) -> None:
    """Nobody has to guess which was meant."""
    posted = {**dict.fromkeys(("it", "it_0", "it_1"), "1"), "it-clear": "on"}
    form = form_with(name, TYPES[name].values[-1], posted, null=True)
    assert [error.code for error in form.errors.as_data()["it"]] == ["contradiction"]


def pages(client: Client) -> list[str]:
    row = Everywhere.objects.create(**{name: TYPES[name].values[-1] for name in EACH_TYPE})
    wrong = dict.fromkeys(set(EACH_TYPE) - {"fraction", "range"}, "!")  # which raise, as plain ones
    return [
        client.get("/admin/app/everywhere/add/").content.decode(),
        client.get(f"/admin/app/everywhere/{row.pk}/change/").content.decode(),
        client.post(f"/admin/app/everywhere/{row.pk}/change/", wrong).content.decode(),
    ]


def is_encrypted(name: str) -> bool:
    return name in EACH_TYPE or name in ("datetime_0", "datetime_1")


def test_hints_are_tied_to_their_inputs(admin_client: Client) -> None:
    """Every id in aria-describedby is on the page, once, and each input that has a hint names it."""
    for html in pages(admin_client):
        page = Elements(html)
        assert len(page.ids) == len(set(page.ids))
        told = [one for one in page.inputs if "aria-describedby" in one]
        named = {each for one in told for each in one["aria-describedby"].split()}
        by_scripts = {each for each in named if each.endswith("_timezone_warning_helptext")}  # Django 6.1
        assert named - by_scripts <= set(page.ids)
        hints = {each for each in page.ids if each.endswith("-hint_id")}
        assert hints <= {each for one in told for each in one["aria-describedby"].split()}
    assert len(hints) == len(EACH_TYPE)


def test_help_texts_stay_tied() -> None:
    """The hint comes after what Django ties to the input."""

    class Form(MaskedModelForm):
        class Meta:
            model = Questionnaire
            fields = ("number",)
            help_texts = {"number": "In full."}

    (found,) = (
        one for one in Elements(str(Form(instance=Questionnaire(number=1)))).inputs if one["name"] == "number"
    )
    assert found["aria-describedby"] == "id_number_helptext number-hint_id"


def test_autofill_and_password_managers_are_kept_out(admin_client: Client) -> None:
    """Every input of an encrypted field, of several for one value too, and those of new rows."""
    for html in pages(admin_client):
        inputs = [
            one for one in Elements(html).inputs if is_encrypted(one.get("name", "").removesuffix("-clear"))
        ]
        inputs = [one for one in inputs if not one["name"].endswith("-clear")]
        assert len(inputs) >= len(EACH_TYPE)
        for one in inputs:
            assert one["autocomplete"] == "off", one
            assert one["spellcheck"] == "false"
            assert {"data-1p-ignore", "data-bwignore", "data-lpignore", "data-form-type"} <= set(one)


def test_the_checkbox_says_what_it_clears(admin_client: Client) -> None:
    """Where there are many, a reader of labels can tell them apart."""
    row = Everywhere.objects.create(char="x", json=[1])
    html = admin_client.get(f"/admin/app/everywhere/{row.pk}/change/").content.decode()
    labels = [one["aria-label"] for one in Elements(html).inputs if one.get("name", "").endswith("-clear")]
    assert labels == ["Clear: Char", "Clear: Json"]
