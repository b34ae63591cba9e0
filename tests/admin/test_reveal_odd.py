"""Values, keys and words at the edges: a page and a record of each, and no server error."""

import datetime
from typing import Any
from urllib.parse import quote as percent

import pytest
from django.contrib.admin.utils import quote
from django.test import Client, override_settings

from tests.admin.revealing import address, logged_in, records, staff
from tests.admin.test_reveal import SEES, reveal
from tests.admin.test_reveal_attacks import two_sites  # noqa: F401
from tests.app.everything import TYPES, Everywhere
from tests.app.models import Credential, Organization, Unit

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.filterwarnings("ignore:The default scheme will be changed"),
]

FIRST = datetime.datetime(1, 1, 1, tzinfo=datetime.UTC)
LAST = datetime.datetime(9999, 12, 31, 23, 59, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("field", "value", "shown"),
    [
        ("json", {"k": "half \ud800 of a pair"}, "half \\ud800 of a pair"),
        ("datetime", FIRST, "0001-01-01"),
        ("datetime", LAST, "9999-12-31"),
    ],
)
@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Tokyo"])
def test_values_that_no_page_or_time_zone_can_carry(
    admin_client: Client, field: str, value: Any, shown: str, zone: str
) -> None:
    """JSON may hold half of a surrogate pair; the first day of all has none before it."""
    with override_settings(TIME_ZONE=zone, USE_TZ=True):
        row = Everywhere.objects.create(**{field: value})
        answer = reveal(admin_client, address(row, field))
    assert answer.status_code == 200
    assert shown in answer.content.decode()
    asked = {"rows": f'["{row.pk}"]', "field": field, "reason": "lawful request 12"}
    answer = admin_client.post("/admin/app/everywhere/reveal-to-file/", asked)
    assert answer["Content-Type"].startswith("text/csv")


@pytest.mark.parametrize("name", ["json", "decimal", "integer", "duration", "date"])
@pytest.mark.parametrize("said", ["[" * 100_000, '{"a":' * 100_000, "1e99999999", "9" * 6000, "sNaN"])
def test_words_that_no_parser_likes_are_compared(admin_client: Client, name: str, said: str) -> None:
    """Nested as deep as it goes, or of more digits than a number may have: not the same, and on record."""
    row = Everywhere.objects.create(**{name: TYPES[name].values[-1]})
    assert admin_client.post(address(row, name), {"verb": "match", "said": said}).status_code == 200
    assert records() == [("match", "no")]


def test_words_are_compared_with_an_object_in_vault(admin_client: Client) -> None:
    row = Credential.objects.create(token={"a": 1})
    answer = admin_client.post(address(row, "token"), {"verb": "match", "said": "[" * 100_000})
    assert answer.status_code == 200
    assert records() == [("match", "no")]


@pytest.mark.parametrize("code", ["患者", "Zoë", "a\rb", "a b", "a;b", "\u2028"])
@pytest.mark.usefixtures("two_sites")
def test_the_way_back_of_any_key_is_an_address(code: str) -> None:
    """Without JavaScript the browser leaves the value by it: it has to be able to read it."""
    row = Unit.objects.create(
        code=code, organization=Organization.objects.create(workos_id="org_1"), secret="s3cret"
    )
    where = f"/desk/app/unitproxy/{percent(quote(row.pk))}/reveal/secret/"
    client = logged_in(staff("view_unitproxy", "view_plaintext_unitproxy", name="desk"))
    answer = reveal(client, where)
    assert "s3cret" in answer.content.decode()
    assert answer["Refresh"] == f"30; url={where}"


@pytest.mark.parametrize(
    "rows", ['["\\u0000"]', f'["{"9" * 5000}"]', '[""]', "[" * 100_000, '["\\ud800"]', "[1]", "9" * 5000]
)
def test_rows_that_are_none_are_refused(admin_client: Client, rows: str) -> None:
    asked = {"rows": rows, "field": "ssn", "reason": "lawful request 12"}
    answer = admin_client.post("/admin/app/person/reveal-to-file/", asked)
    assert answer.status_code in (400, 404)
    assert "no-store" in answer["Cache-Control"]
    assert records("action") == [("denied",)]


def test_no_padding_drives_an_address_off_the_record(admin_client: Client) -> None:
    """Who asks writes the beginning of X-Forwarded-For, of any length; a proxy writes its end."""
    row = Everywhere.objects.create(char="a")
    header = {"headers": {"x-forwarded-for": f"{'192.0.2.1, ' * 40}203.0.113.9"}}
    with override_settings(WORKOS_VAULT_ADMIN={"REMOTE_ADDRESS": "HTTP_X_FORWARDED_FOR"}):
        admin_client.post(address(row, "char"), {"verb": "reveal"}, **header)
    ((kept,),) = records("remote_address")
    assert kept.endswith(", 203.0.113.9")


@pytest.mark.usefixtures("two_sites")
def test_the_record_of_a_refusal_has_the_key_and_not_its_address() -> None:
    client = logged_in(staff(*SEES, "view_unitproxy", name="desk"))
    assert reveal(client, "/desk/app/unitproxy/a_2Fb/reveal/secret/").status_code == 404
    assert (
        reveal(logged_in(staff(name="else")), "/desk/app/unitproxy/a_2Fb/reveal/secret/").status_code == 302
    )
    assert records("object_pk", "outcome") == [("a/b", "no such row"), ("a/b", "no access to the admin")]
