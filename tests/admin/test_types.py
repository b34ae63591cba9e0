"""The masked admin over one field of each type."""

import re
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.test import Client

from django_workos_vault import vaults
from tests.app.models import Questionnaire

pytestmark = [
    pytest.mark.django_db,
    # What Django 5.2 says of every URLField in a form.
    pytest.mark.filterwarnings("ignore:The default scheme will be changed"),
]
VALUES: dict[str, Any] = {
    "big": 7000000007,
    "flag": True,
    "maybe": False,
    "choice": "flu",
    "born": date(1971, 7, 17),
    "seen": datetime(1972, 8, 18, 8, 28, 38, tzinfo=UTC),
    "price": Decimal("739.75"),
    "took": timedelta(hours=7, minutes=37),
    "ratio": 0.7375,
    "address": "172.17.77.7",
    "number": 737373737,
    "data": {"seven": [7]},
    "slug": "slug-seven",
    "text": "text seven",
    "hour": time(7, 37, 57),
    "url": "https://seven.example/",
    "token": UUID("77777777-7777-4777-8777-777777777777"),
}
NEW: dict[str, Any] = {
    "big": 9,
    "flag": False,
    "maybe": True,
    "choice": "cold",
    "born": date(2001, 1, 1),
    "seen": datetime(2002, 2, 2, 8, 22, 22, tzinfo=UTC),  # entered in America/Chicago
    "price": Decimal("0.99"),
    "took": timedelta(minutes=9),
    "ratio": 0.0,
    "address": "10.0.0.9",
    "number": 0,
    "data": [9],
    "slug": "nine",
    "text": "nine",
    "hour": time(9, 9),
    "url": "https://nine.example/",
    "token": UUID("99999999-9999-4999-8999-999999999999"),
}
POSTED = {name: str(value) for name, value in NEW.items() if name not in ("seen", "data")} | {
    "seen_0": "2002-02-02",
    "seen_1": "02:22:22",
    "data": "[9]",
}
OPTIONAL = [field.name for field in Questionnaire._meta.fields if field.blank and field.name != "id"]


@pytest.fixture
def row() -> Questionnaire:
    return Questionnaire.objects.create(**VALUES)


def url(row: Questionnaire) -> str:
    return f"/admin/app/questionnaire/{row.pk}/change/"


def cells(row: Questionnaire) -> dict[str, bytes | None]:
    loaded = Questionnaire.objects.get(pk=row.pk)
    return {name: getattr(loaded.__dict__[name], "cell", None) for name in VALUES}


def assert_masked(html: str) -> None:
    for name, value in VALUES.items():
        if name not in ("flag", "maybe", "choice"):
            assert str(value) not in html, name
    assert "seven" not in html
    assert not re.search(r"<option[^>]*selected[^>]*>(Yes|No|Influenza)", html)
    assert not re.search(r'type="checkbox"[^>]*\bchecked\b|value="[^"]+"[^>]*\bchecked\b', html)


def test_list_and_form_show_no_value_of_any_type(admin_client: Client, row: Questionnaire) -> None:
    """Booleans, choices, numbers, dates and structures are masked like text, with opening switched off."""
    with vaults["default"].decryption_forbidden():
        for address in ("/admin/app/questionnaire/", url(row)):
            response = admin_client.get(address)
            assert response.status_code == 200
            assert_masked(response.content.decode())


def test_blank_keeps_every_type(admin_client: Client, row: Questionnaire) -> None:
    """An untouched form changes no cell and opens none."""
    before = cells(row)
    posted = dict.fromkeys(POSTED, "")
    with vaults["default"].decryption_forbidden():
        response = admin_client.post(url(row), posted)
    assert response.status_code == 302, response.context["errors"]
    assert cells(row) == before


def test_every_type_takes_a_new_value(admin_client: Client, row: Questionnaire) -> None:
    """What is entered is saved as the type's value: zero and False too."""
    response = admin_client.post(url(row), POSTED)
    assert response.status_code == 302, response.context["errors"]
    saved = Questionnaire.objects.get()
    assert {name: getattr(saved, name) for name in NEW} == NEW


def test_what_may_be_blank_can_be_cleared(admin_client: Client, row: Questionnaire) -> None:
    """The checkbox stands at each field that allows blank, and at no other."""
    html = admin_client.get(url(row)).content.decode()
    assert sorted(re.findall('name="([a-z]+)-clear"', html)) == sorted(OPTIONAL)
    posted = dict.fromkeys(POSTED, "") | {f"{name}-clear": "on" for name in OPTIONAL}
    response = admin_client.post(url(row), posted)
    assert response.status_code == 302, response.context["errors"]
    saved = Questionnaire.objects.get()
    assert {getattr(saved, name) for name in OPTIONAL} == {None, ""}
    assert saved.big == VALUES["big"]


def test_an_error_echoes_no_type(admin_client: Client, row: Questionnaire) -> None:
    """Invalid input of every type comes back as errors without what was entered."""
    before = cells(row)
    html = admin_client.post(url(row), dict.fromkeys(POSTED, "!forty-two!")).content.decode()
    assert html.count('class="errorlist"') >= 12
    assert "forty-two" not in html
    assert cells(row) == before


def test_adding_every_type(admin_client: Client) -> None:
    """The add form works as usual."""
    response = admin_client.post("/admin/app/questionnaire/add/", {**POSTED, "flag": "on"})
    assert response.status_code == 302, response.context["errors"]
    saved = Questionnaire.objects.get()
    assert {name: getattr(saved, name) for name in NEW} == {**NEW, "flag": True}
