"""Wherever the admin shows a row, on any site, no value of any type is on the page, and none is opened."""

import base64
import re
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import Permission, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from django_workos_vault import vaults
from tests.app.everything import EACH_TYPE, UTC, Fraction
from tests.app.models import Everywhere

pytestmark = [
    pytest.mark.django_db,
    # What Django 5.2 says of every URLField in a form.
    pytest.mark.filterwarnings("ignore:The default scheme will be changed"),
]
VALUES: dict[str, Any] = {
    "char": "zyxwv of a char",
    "text": "zyxwv of a text",
    "email": "zyxwv@mail.example",
    "url": "https://zyxwv.example/",
    "slug": "zyxwv-slug",
    "integer": 737373731,
    "big": 7373737373737,
    "small": 27373,
    "positive": 737373733,
    "positive_big": 8373737373737,
    "positive_small": 17373,
    "float": 7373.7373,
    "decimal": Decimal("73737.371"),
    "boolean": True,
    "date": date(1973, 7, 3),
    "datetime": datetime(1974, 8, 14, 17, 37, 37, tzinfo=UTC),
    "time": time(17, 37, 38),
    "duration": timedelta(days=73737, hours=7),
    "uuid": UUID("73737373-7373-4373-8373-737373737373"),
    "ip": "173.73.73.73",
    "json": {"zyxwv": [7373]},
    "binary": b"zyxwv bytes",
    "colour": "ultramarine",
    "fraction": Fraction("7373/7374"),
    "range": (73731, 73732),
}
#: What else a value looks like on a page than its ``str()``.
WRITTEN: dict[str, list[str]] = {
    "json": ["zyxwv"],
    "binary": ["zyxwv", base64.b64encode(VALUES["binary"]).decode(), VALUES["binary"].hex()],
    "float": ["7373.7", "7,373.7"],
    "date": ["July 3, 1973", "3 July 1973", "07/03/1973", "03.07.1973"],
    "datetime": ["1974"],
    "time": ["17:37:38", "5:37:38"],
    "duration": ["73737"],
    "range": ["73731-73732"],
}


def leaks(html: str) -> set[str]:
    """The types whose value can be told from the page."""
    found = {
        name
        for name, value in VALUES.items()
        if name not in ("boolean", "colour")
        and any(text in html for text in (str(value), repr(value), *WRITTEN.get(name, [])))
    }
    if re.search(r'icon-(yes|no)|<option[^>]*(True|False)[^>]*selected|id="id_boolean"[^>]*checked', html):
        found.add("boolean")
    if "ltramarine" in html.replace('<option value="ultramarine">Ultramarine</option>', ""):
        found.add("colour")
    return found


@pytest.fixture(params=["admin", "other"])
def site(request: Any) -> str:
    return f"/{request.param}/app/everywhere/"


@pytest.fixture
def rows() -> Iterator[Any]:
    """A row and one below it, and nothing may be opened."""
    row = Everywhere.objects.create(**VALUES)
    Everywhere.objects.create(**VALUES, parent=row)
    vaults.reset()
    with vaults["default"].decryption_forbidden():
        yield row


def get(path: str = "", **query: str) -> Any:
    return lambda client, site, row: client.get(
        f"{site}{path.format(row.pk)}", {name: value.format(row.pk) for name, value in query.items()}
    )


def post(path: str = "", **posted: Any) -> Any:
    return lambda client, site, row: client.post(
        f"{site}{path.format(row.pk)}",
        {name: row.pk if value is VALUES else value for name, value in posted.items()},
        follow=True,
    )


ANSWERED: dict[str, str] = dict.fromkeys(("datetime_0", "datetime_1", *EACH_TYPE), "") | {
    f"{formset}-{name}": "0"
    for formset in ("children", "children-2")
    for name in ("TOTAL_FORMS", "INITIAL_FORMS")
}
ADDED = {**ANSWERED, "fraction": "1/2", "range": "1-2"}


def history(client: Client, site: str, row: Any) -> Any:
    client.post(f"{site}{row.pk}/change/", {**ANSWERED, "_save": "1"})
    return client.get(f"{site}{row.pk}/history/")


def autocomplete(client: Client, site: str, row: Any) -> Any:
    place = {"app_label": "app", "model_name": "everywhere", "field_name": "parent"}
    return client.get(f"{site.removesuffix('app/everywhere/')}autocomplete/", {**place, "term": ""})


def index(client: Client, site: str, row: Any) -> Any:
    history(client, site, row)
    return client.get(site.removesuffix("app/everywhere/"))


def preview(client: Client, site: str, row: Any) -> Any:
    """The preview of an import shows what is stored beside what the file has."""
    file = SimpleUploadedFile("rows.csv", f"id,char\n{row.pk},other\n".encode(), "text/csv")
    return client.post(f"{site}import/", {"format": "0", "import_file": file})


CHOSEN = {f"everywhereresource_{name}": "on" for name in ("id", *EACH_TYPE)}
PLACES: dict[str, Any] = {
    "list": get(),
    "list in a pop-up": get(_popup="1", _to_field="id"),
    "list, searched": get(q="{}"),
    "list, filtered": get(parent__isnull="False"),
    "add": get("add/"),
    "change": get("{}/change/"),
    "change in a pop-up": get("{}/change/", _popup="1"),
    "change with errors": post("{}/change/", **{**ANSWERED, "integer": "!", "email": "!", "uuid": "!"}),
    "saved": post("{}/change/", **ANSWERED, _save="1"),
    "saved in a pop-up": post("{}/change/?_popup=1", **ANSWERED, _popup="1"),
    "added": post("add/", **ADDED, _save="1"),
    "added in a pop-up": post("add/", **ADDED, _popup="1"),
    "history": history,
    "index": index,
    "delete": get("{}/delete/"),
    "deleted": post("{}/delete/", post="yes"),
    "action delete": post(action="delete_selected", _selected_action=VALUES),
    "action export": post(action="export_admin_action", _selected_action=VALUES),
    "autocomplete": autocomplete,
    "export page": get("export/"),
    "export csv": post("export/", format="0", resource="", **CHOSEN),
    "import page": get("import/"),
    "import preview": preview,
}
MASKED = ("list", "change", "export csv", "import preview")
ADDING = ("add", "added", "added in a pop-up")
SEALING = ("added", "added in a pop-up", "import preview")


@pytest.mark.parametrize("place", PLACES)
def test_no_place_shows_a_value(admin_client: Client, rows: Any, site: str, place: str) -> None:
    """Places and types are crossed: each page has rows with a value of each type."""
    response = PLACES[place](admin_client, site, rows)
    assert response.status_code == 200
    html = response.content.decode()
    assert leaks(html) == set()
    assert not place.startswith(MASKED) or "••••••••" in html
    assert place in SEALING or vaults["default"].backend.requests_made == 0


@pytest.mark.parametrize("place", sorted(set(PLACES) - set(ADDING)))
def test_whoever_may_only_view_sees_masks(client: Client, rows: Any, site: str, place: str) -> None:
    """Or is refused."""
    user = User.objects.create_user("viewer", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_everywhere"))
    client.force_login(user)
    response = PLACES[place](client, site, rows)
    assert response.status_code in (200, 403)
    html = response.content.decode()
    assert leaks(html) == set()
    assert place != "change" or ("••••••••" in html and 'name="char"' not in html)


def test_the_search_for_leaks_finds_them() -> None:
    """A page that has a value is told from one that has not."""
    for name, value in VALUES.items():
        for text in [str(value), *WRITTEN.get(name, [])]:
            assert name == "boolean" or name in leaks(f"<td>{text}</td>"), (name, text)
    assert leaks('<img src="icon-yes.svg" alt="True">') == {"boolean"}
    assert set(VALUES) == set(EACH_TYPE)
    assert leaks("") == set()
