"""``vault_index_plan``, and what ``vault_check`` says of cells that lookups do not find."""

import json
from contextlib import suppress
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from tests.app.models import Account, Person

pytestmark = [
    pytest.mark.django_db(databases=["default", "other"]),
    pytest.mark.usefixtures("outside_of_checkouts"),
]


def plan(target: str) -> dict[str, Any]:
    out = StringIO()
    call_command("vault_index_plan", target, format="json", verbosity=0, stdout=out)
    return json.loads(out.getvalue())


def test_counts_what_an_index_would_show() -> None:
    """Rows, different values, the commonest one, and a truncation that lets about four share a digest."""
    Person.objects.bulk_create([Person(ssn=f"{n // 2:03}") for n in range(400)])
    Person.objects.create(ssn=None)
    answer = plan("app.Person.ssn")
    assert answer["null"] == 1
    exact = answer["indexes"][0]
    assert exact == {
        "index": "exact",
        "rows": 400,
        "distinct": 200,
        "most_frequent": 2,
        "bits": 5,
        "rows_opened": 12,
        "reveals": False,
    }


def test_normalised_values_are_counted_as_one() -> None:
    """Each index is counted by its own notion of equality."""
    Account.objects.bulk_create([Account(login=login) for login in ("ada", "ADA", "grace")])
    exact, folded = plan("app.Account.login")["indexes"]
    assert (exact["distinct"], folded["distinct"]) == (3, 2)
    assert exact["reveals"]


def test_report_is_readable_and_holds_no_value() -> None:
    """Without few values it recommends bits, with few it says so; it never prints one."""
    Account.objects.bulk_create([Account(login="Secret"), Account(login="secret")])
    out = StringIO()
    call_command("vault_index_plan", "app.Account.login", verbosity=0, stdout=out)
    assert "better no index" in out.getvalue()
    assert "ecret" not in out.getvalue()


@pytest.mark.parametrize("target", ["app.Account", "app.Account.closed", "nowhere"])
def test_target_is_one_encrypted_column(target: str) -> None:
    """Anything else is an error that says what to name."""
    with pytest.raises(CommandError):
        plan(target)


def check() -> str:
    out = StringIO()
    with suppress(CommandError):
        call_command("vault_check", stdout=out, verbosity=0)
    return next(line for line in out.getvalue().splitlines() if "app.Account.login" in line)


def test_vault_check_tells_of_cells_without_a_digest() -> None:
    """A cell sealed before the index was declared opens but is not found, until it is re-encrypted."""
    account = Account.objects.create(login="Ada")
    assert "every value opens." in check()
    field: Any = Account._meta.get_field("login")
    bare = field.cipher.seal(b"Ada", field.context_for(None))
    with connection.cursor() as cursor:
        cursor.execute("UPDATE app_account SET login = %s WHERE id = %s", [bare, account.pk])
    assert "lookups do not find 1 of them" in check()
    assert not Account.objects.filter(login="Ada").exists()
    call_command("vault_reencrypt", "app.Account.login", verbosity=0, stdout=StringIO())
    assert "every value opens." in check()
    assert Account.objects.get(login="Ada") == account
