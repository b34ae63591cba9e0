"""Actions on selected rows: to a file, re-encryption; and a filter for rows that cannot be opened."""

import csv
import io
import json
from typing import Any

import pytest
from django.contrib.admin import ModelAdmin, site
from django.contrib.auth.models import User
from django.db import OperationalError, connection
from django.test import Client, RequestFactory, override_settings

from django_workos_vault import vaults
from django_workos_vault.admin import CannotBeOpenedFilter
from django_workos_vault.fields import stored_cell
from django_workos_vault.models import AccessRecord
from django_workos_vault.reveal.export import harmless
from tests.admin.revealing import EMAIL, NOTES, PASSWORD, SSN, logged_in, person, records, staff
from tests.admin.test_pages import break_cell
from tests.app.admin import PersonAdmin
from tests.app.models import Manager, Person

pytestmark = pytest.mark.django_db
LIST, FILE = "/admin/app/person/", "/admin/app/person/reveal-to-file/"


@pytest.fixture
def rows() -> list[Person]:
    return [person(), Person.objects.create(name="Grace", ssn=None, notes="=1+1", email="")]


@pytest.fixture
def officer() -> Client:
    return logged_in(staff("view_person", "export_plaintext_person"))


def act(client: Client, action: str, rows: list[Any], where: str = LIST) -> Any:
    return client.post(where, {"action": action, "_selected_action": [str(r.pk) for r in rows]}, follow=True)


def to_file(client: Client, rows: list[Any], *fields: str, **posted: str) -> Any:
    keys = json.dumps([str(row.pk) for row in rows])
    return client.post(FILE, {"rows": keys, "field": fields, "reason": "court order 12", **posted})


def test_the_actions_are_for_those_who_may(rows: list[Person], admin_client: Client) -> None:
    """Each has its own permission; to reveal one value is not to take them all."""
    sees = logged_in(staff("view_person", "view_plaintext_person", "match_plaintext_person", name="sees"))
    for client, offered in ((sees, False), (admin_client, True)):
        html = client.get(LIST).content.decode()
        assert ("reveal_to_file" in html, "reencrypt_rows" in html) == (offered, offered)
    assert not to_file(sees, rows, "ssn").headers["Content-Type"].startswith("text/csv")
    assert records() == [("denied", "no permission")]


def test_values_go_to_a_file_and_each_is_on_record(rows: list[Person], officer: Client) -> None:
    """The action asks for a reason; the file is for no cache, and NULL is blank in it."""
    page = act(officer, "reveal_to_file", rows)
    assert 'action="/admin/app/person/reveal-to-file/"' in page.content.decode()
    assert not [secret for secret in (SSN, NOTES, EMAIL) if secret in page.content.decode()]
    assert records() == []
    answer = to_file(officer, rows, "ssn", "notes")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="person.csv"'
    assert "no-store" in answer.headers["Cache-Control"]
    assert list(csv.reader(io.StringIO(answer.content.decode()))) == [
        ["pk", "ssn", "notes"],
        [str(rows[0].pk), SSN, NOTES],
        [str(rows[1].pk), "", "'=1+1"],
    ]
    assert records("action", "object_pk", "field", "reason") == [
        ("export", str(row.pk), field, "court order 12") for row in rows for field in ("ssn", "notes")
    ]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1"])
def test_no_cell_is_a_formula(text: str) -> None:
    """What a spreadsheet would run gets an apostrophe before it, and no other text does."""
    assert harmless(text) == f"'{text}"
    assert harmless(f"x{text}") == f"x{text}"


REFUSED: dict[str, tuple[dict[str, Any], int]] = {
    "no reason": ({"reason": " "}, 422),
    "no rows": ({"rows": "[]"}, 400),
    "no JSON": ({"rows": "1,2"}, 400),
    "not a list": ({"rows": '{"a": 1}'}, 400),
    "numbers": ({"rows": "[1]"}, 400),
    "too many": ({"rows": json.dumps(["1"] * 1001)}, 400),
    "gone": ({"rows": '["99999"]'}, 404),
    "no key": ({"rows": '["abc"]'}, 404),
    "huge": ({"rows": json.dumps(["9" * 400])}, 404),
    "no field": ({"field": []}, 404),
    "not encrypted": ({"field": ["name"]}, 404),
    "unknown field": ({"field": ["ssn", "nothing"]}, 404),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_wrong_is_told_and_nothing_revealed(rows: list[Person], officer: Client, what: str) -> None:
    """One message, on the page, and a record where it is more than a blank."""
    posted, status = REFUSED[what]
    keys = json.dumps([str(row.pk) for row in rows])
    answer = officer.post(FILE, {"rows": keys, "field": ["ssn"], "reason": "court order 12", **posted})
    assert answer.status_code == status
    assert SSN not in answer.content.decode()
    assert answer.content.decode().count('role="alert"') == 1
    assert [action for action, _ in records()] == ([] if status == 422 else ["denied"])


def test_the_file_by_get_is_not_allowed(officer: Client) -> None:
    """Nothing is revealed by an address."""
    assert officer.get(FILE).status_code == 405


def test_a_cell_that_cannot_be_opened_is_marked(rows: list[Person], officer: Client) -> None:
    """It takes nobody along, and is on record as what it was."""
    break_cell(rows[0], "ssn")
    answer = to_file(officer, rows, "ssn", "notes").content.decode()
    assert "cannot be opened" in answer
    assert NOTES in answer
    assert ("denied", "not opened: TamperedEnvelope") in records()


def test_a_hook_keeps_rows_and_fields_out(
    rows: list[Person], officer: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``has_reveal_to_file_permission`` is asked for each."""
    monkeypatch.setattr(
        PersonAdmin,
        "has_reveal_to_file_permission",
        lambda self, request, obj=None, field=None: field != "ssn",
        raising=False,
    )
    answer = to_file(officer, rows[:1], "ssn", "notes").content.decode()
    assert SSN not in answer
    assert NOTES in answer
    assert records("action", "field") == [("denied", "ssn"), ("export", "notes")]


def test_no_record_no_file(rows: list[Person], officer: Client) -> None:
    """The table cannot be written: there is a page with a message."""

    def down(execute: Any, sql: str, *args: Any) -> Any:
        if "accesschain" in sql:
            raise OperationalError("the server is gone")
        return execute(sql, *args)

    with connection.execute_wrapper(down):
        answer = to_file(officer, rows, "ssn")
    assert answer.status_code == 503
    assert SSN not in answer.content.decode()


def test_the_password_once_more(rows: list[Person], officer: Client) -> None:
    """As for a single value."""
    from datetime import timedelta

    with override_settings(WORKOS_VAULT_ADMIN={"PASSWORD_FOR": timedelta(minutes=5)}):
        assert to_file(officer, rows, "ssn", password="wrong").status_code == 403
        assert SSN in to_file(officer, rows, "ssn", password=PASSWORD).content.decode()


def test_selected_rows_are_reencrypted(rows: list[Person], admin_client: Client) -> None:
    """Under a new key, opening to the same values, on record; other rows, and what cannot be opened, stay."""
    other = Person.objects.create(ssn="111-11-1111")
    break_cell(rows[1], "notes")
    before = {row.pk: stored_cell(Person.objects.get(pk=row.pk), "notes") for row in (*rows, other)}
    html = act(admin_client, "reencrypt_rows", rows).content.decode()
    assert "4 values were re-encrypted." in html
    assert "were changed meanwhile: 1" in html
    after = {row.pk: stored_cell(Person.objects.get(pk=row.pk), "notes") for row in (*rows, other)}
    assert {pk for pk in before if before[pk] != after[pk]} == {rows[0].pk}
    vaults.reset()
    assert Person.objects.get(pk=rows[0].pk).ssn == SSN
    assert set(records("action", "outcome")) == {("change", "re-encryption")}
    assert AccessRecord.objects.count() == 6


def test_inherited_columns_are_reencrypted_in_their_table() -> None:
    """A model's row may be in two tables."""
    from django.contrib.messages.storage.fallback import FallbackStorage

    from django_workos_vault.admin import MaskedAdminMixin

    row = Manager.objects.create(badge="b-1", bonus="high")
    admin_class: Any = type("ManagerAdmin", (MaskedAdminMixin, ModelAdmin), {})
    admin = admin_class(Manager, site)
    request = RequestFactory().post("/")
    request.user = User.objects.create_superuser("root")
    request.session = {}
    request._messages = FallbackStorage(request)
    before = {name: stored_cell(Manager.objects.get(), name) for name in ("badge", "bonus")}
    admin.reencrypt_rows(request, Manager.objects.all())
    after = {name: stored_cell(Manager.objects.get(), name) for name in ("badge", "bonus")}
    assert not set(before.values()) & set(after.values())
    assert (Manager.objects.get().badge, Manager.objects.get(pk=row.pk).bonus) == ("b-1", "high")


def test_no_record_no_reencryption(rows: list[Person], admin_client: Client) -> None:
    """The cells stay as they are."""
    before = stored_cell(Person.objects.get(pk=rows[0].pk), "ssn")
    with override_settings(WORKOS_VAULT_ADMIN={"REMOTE_ADDRESS": lambda request: 1 / 0}):
        html = act(admin_client, "reencrypt_rows", rows).content.decode()
    assert "could not be recorded" in html
    assert stored_cell(Person.objects.get(pk=rows[0].pk), "ssn") == before


def test_rows_that_cannot_be_opened_are_found(
    rows: list[Person], admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a filter of the list, which shows no value."""
    monkeypatch.setattr(PersonAdmin, "list_filter", (CannotBeOpenedFilter,))
    break_cell(rows[0], "email")
    html = admin_client.get(f"{LIST}?vault_cells=bad").content.decode()
    assert f"/{rows[0].pk}/change/" in html
    assert f"/{rows[1].pk}/change/" not in html
    assert "newest 1000 rows" in html
    assert SSN not in html
    assert f"/{rows[1].pk}/change/" in admin_client.get(LIST).content.decode()


class ReadsFromAReplica:
    """A router: persons are read in one database and written in another."""

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return "other" if model is Person else None

    def db_for_write(self, model: Any, **hints: Any) -> str | None:
        return "default" if model is Person else None


@pytest.mark.django_db(databases=["default", "other"])
def test_a_replica_is_not_written(rows: list[Person], admin_client: Client) -> None:
    for row in rows:
        Person(pk=row.pk, name=row.name, ssn=row.ssn).save(using="other", force_insert=True)

    def stored(alias: str) -> list[bytes | None]:
        return [stored_cell(row, "notes") for row in Person.objects.using(alias).order_by("pk")]

    before, of_replica = stored("default"), stored("other")
    posted = {"action": "reencrypt_rows", "_selected_action": [row.pk for row in rows]}
    with override_settings(DATABASE_ROUTERS=[f"{__name__}.ReadsFromAReplica"]):
        admin_client.post("/admin/app/person/", posted)
    assert stored("other") == of_replica
    assert not set(stored("default")) & set(before)
