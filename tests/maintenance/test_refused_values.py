"""A value that a column's type does not hold is refused in one line, before anything is written."""

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, models

from django_workos_vault.fields import EncryptedCharField, FromRow
from django_workos_vault.models import MaintenanceRun
from tests.app.models import Organization
from tests.maintenance.reencrypting import failing, reencrypt
from tests.maintenance.test_odd_keys import KEYS, table

pytestmark = pytest.mark.django_db(transaction=True)

TOO_LARGE = str(10**19)
#: by type: what Python, a driver or a server refuses, on this database
REFUSED = {
    "date": ["2024-02-30"],
    "datetime": ["x", *(["9999-12-31T23:59:59-10:00"] if connection.vendor == "sqlite" else [])],
    "decimal": ["nan"],
    "duration": ["x", "99999999999 0"],
    "float": ["x", *(["inf", "nan"] if connection.vendor == "mysql" else [])],
    "ip": ["1.2.3.4/x"] if connection.vendor == "postgresql" else [],
    "time": ["25:00"],
    "uuid": ["x"],
}


def refused(said: str, **how: Any) -> None:
    for extra in ({}, {"plan": True}, {"dry_run": True}):
        if "start_after" not in how or "plan" not in extra:
            error, out = failing("app.Odd", **how, **extra)
            assert said in str(error), str(error)
            assert (out, MaintenanceRun.objects.count()) == ("", 0)


@pytest.mark.parametrize("kind", REFUSED)
def test_keys(kind: str) -> None:
    with table(id=KEYS[kind][0].clone()):
        for value in REFUSED[kind]:
            refused("holds no such value", where=f"id={value}")
            refused("--start-after: ", start_after=value)


def test_documents() -> None:
    """A condition on a column of JSON is JSON, and finds the same document."""
    with table(of=models.JSONField()) as model:
        for each in ({"a": [1]}, "a", 7):
            model.objects.create(s="x", t="y", of=each)
        refused("holds no such value", where="of={a")
        for text in ('{"a": [1]}', '"a"', "7"):
            assert json.loads(reencrypt("app.Odd.s", where=f"of={text}", format="json"))["rows"] == 1


def test_keys_of_related_rows() -> None:
    related = models.ForeignKey(Organization, models.CASCADE, related_name="+", null=True)
    with table(of=related):
        for name in ("of", "of_id"):
            refused("holds no such value", where=f"{name}=x")
            if connection.vendor == "sqlite":  # servers compare with a number of another type
                refused("holds no such value", where=f"{name}={TOO_LARGE}")


@pytest.mark.parametrize("kind", ["boolean", *KEYS])
def test_items_of_key_contexts(kind: str) -> None:
    """What a row gives is its text: a row is found by that, whatever its column's type, or none is."""
    value: Any = True
    column: Any = models.BooleanField()
    if kind != "boolean":
        column, value = KEYS[kind][0].clone(), KEYS[kind][1][1]
        column.primary_key = column._unique = False
    sealed = EncryptedCharField(max_length=9, key_context={"item": FromRow("of")})
    with table(of=column, s=sealed) as model:
        model.objects.create(s="x", t="y", of=value)
        text = str(model.objects.get().of)
        for where, rows in ((text, 1), ("nobody", 0), (TOO_LARGE, 0)):
            if (kind, where) in (("integer", "nobody"), ("uuid", "nobody"), ("uuid", TOO_LARGE)):
                refused("holds no such value", where=f"item={where}")
            else:
                document = json.loads(reencrypt("app.Odd.s", where=f"item={where}", format="json"))
                assert sum(each["renewed"] for each in document["columns"]) == rows
                MaintenanceRun.objects.all().delete()
            if not rows:
                call_command("vault_forget", f"item={where}", plan=True, stdout=StringIO())


def test_the_key_of_a_related_row_as_an_item() -> None:
    """It is found by the column's index, without a look at every row."""
    related = models.ForeignKey(Organization, models.CASCADE, related_name="+")
    sealed = EncryptedCharField(max_length=9, key_context={"item": FromRow("of_id")})
    with table(of=related, s=sealed) as model:
        owners = [Organization.objects.create(name="an org", workos_id=f"org_{n}") for n in range(2)]
        for owner in owners:
            model.objects.create(s="x", t="y", of=owner)
        document = json.loads(reencrypt("app.Odd.s", where=f"item={owners[1].pk}", format="json"))
        assert (document["rows"], document["rows_estimate"]) == (1, 1)
        assert json.loads(reencrypt("app.Odd.s", where=f"item={TOO_LARGE}", format="json"))["rows"] == 0
        call_command("vault_forget", f"item={TOO_LARGE}", plan=True, stdout=StringIO())
