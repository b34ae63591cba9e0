"""Rows by whatever key: a run goes through all, names those it left, and tells behind which to begin."""

import json
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.apps import apps
from django.db import connection, models

from django_workos_vault.fields import EncryptedCharField, FromRow
from django_workos_vault.maintenance import cells
from django_workos_vault.maintenance.engine import runs
from django_workos_vault.management.run_reports import way_on
from tests.app.everything import UTC
from tests.maintenance.noting import stop_at
from tests.maintenance.reencrypting import failing, reencrypt
from tests.tables import tables

pytestmark = pytest.mark.django_db(transaction=True)

KEYS: dict[str, tuple[Any, list[Any]]] = {
    "binary": (models.BinaryField(primary_key=True), [b"\x00\x01", b"abc", b"\xff\xfe"]),
    "bool": (models.BooleanField(primary_key=True), [False, True]),
    "char": (
        models.CharField(max_length=40, primary_key=True),
        ["", "'; x", 'a\n"\\', "ä%s", "\u2028x"],
    ),
    "date": (models.DateField(primary_key=True), [date(1, 1, 1), date(2024, 2, 29), date(9999, 12, 31)]),
    "datetime": (
        models.DateTimeField(primary_key=True),
        [datetime(2024, 1, 1, 0, 0, 0, n, tzinfo=UTC) for n in range(3)],
    ),
    "decimal": (
        models.DecimalField(max_digits=10, decimal_places=3, primary_key=True),
        [Decimal("-1.5"), Decimal(0), Decimal("1.005")],
    ),
    "duration": (
        models.DurationField(primary_key=True),
        [timedelta(days=-1, seconds=5), timedelta(0), timedelta(days=400, microseconds=3)],
    ),
    "float": (models.FloatField(primary_key=True), [-0.1, 0.1 + 0.2, 1e300]),
    "integer": (models.BigIntegerField(primary_key=True), [-(2**63), -1, 2**63 - 1]),
    "ip": (models.GenericIPAddressField(primary_key=True), ["10.0.0.1", "9.0.0.1", "::1"]),
    "time": (models.TimeField(primary_key=True), [time(0), time(1, 2, 3, 4), time(1, 2, 3, 5)]),
    "uuid": (models.UUIDField(primary_key=True), [UUID(int=0), UUID(int=5), UUID(int=2**128 - 1)]),
}


@contextmanager
def table(**columns: Any) -> Iterator[Any]:
    columns.setdefault("s", EncryptedCharField(max_length=9))
    columns["t"] = EncryptedCharField(max_length=9, key_context={"organization_id": FromRow("who")})
    columns["who"] = models.CharField(max_length=9, default="org_1")
    meta = type("Meta", (), {"app_label": "app"})
    body = {**columns, "Meta": meta, "__module__": __name__, "__str__": lambda self: "odd"}
    model: Any = type("Odd", (models.Model,), body)
    try:
        with tables(model):
            yield model
    finally:
        del apps.all_models["app"]["odd"]
        apps.clear_cache()


def goes_through(model: Any, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    run = runs.begin([model._meta.get_field("s")], "reseal", using="default", options={"batch_size": 1})
    stop_at(run, 1)
    runs.pause(run)
    match = re.search(r"--start-after (.*)", way_on(run), re.DOTALL)
    assert match
    [behind] = shlex.split(match[1])
    assert f"Run {run.pk} is finished: {rows} rows" in reencrypt(resume=run.pk)
    document = json.loads(reencrypt("app.Odd", format="json", verify=True, start_after=behind))
    assert [each["renewed"] for each in document["columns"]] == [rows - 1] * 2
    with connection.cursor() as cursor:
        cursor.execute("UPDATE app_odd SET s = %s", [b"junk"])
    monkeypatch.setattr("django_workos_vault.maintenance.engine.chunks.CHUNK_SIZE", 1)
    left = [str(each["pk"]) for each in json.loads(failing("app.Odd", format="json")[1])["left"]]
    assert len(set(left)) == rows
    assert f"app.Odd.s, MalformedEnvelope: {rows}." in failing("app.Odd", dry_run=True)[1]
    assert f"app.Odd.s, MalformedEnvelope: {rows}." in failing("app.Odd")[1]


@pytest.mark.parametrize("kind", KEYS)
def test_one_column(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if kind == "binary" and connection.vendor == "mysql":
        pytest.skip("no key of such a type")
    key, values = KEYS[kind]
    with table(id=key.clone()) as model:
        for value in values:
            model(pk=value, s="x", t="y").save(force_insert=True)
        goes_through(model, len(values), monkeypatch)


def test_two_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = {"code": models.CharField(max_length=9), "number": models.IntegerField()}
    with table(pk=models.CompositePrimaryKey("code", "number"), **columns) as model:
        for code, number in (("a b", 1), ("a b", 2), ("c'", -1)):
            model(code=code, number=number, s="x", t="y").save(force_insert=True)
        goes_through(model, 3, monkeypatch)


def test_documents() -> None:
    """A text does not tell a JSON text from a number: such rows would be gone through for ever."""
    if connection.vendor == "mysql":
        pytest.skip("no key of such a type")
    with table(id=models.JSONField(primary_key=True)) as model:
        for value in ("1", 1):
            model(pk=value, s="x", t="y").save(force_insert=True)
        for how in ({}, {"dry_run": True}, {"plan": True}):
            assert "no order of its primary keys" in str(failing("app.Odd", **how)[0])


def test_a_key_that_is_held_otherwise_than_it_is_read() -> None:
    """Its row comes again behind itself: a run says so, and nothing goes on for ever."""
    column: Any = models.FloatField(primary_key=True)
    values: list[Any] = [0.0, 0.1, 0.3]
    if connection.vendor == "sqlite":
        column, values = models.DateTimeField(primary_key=True), KEYS["datetime"][1]
    with table(id=column) as model:
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                cursor.execute("ALTER TABLE app_odd ALTER COLUMN id TYPE real")
            elif connection.vendor == "mysql":
                cursor.execute("ALTER TABLE app_odd MODIFY id float NOT NULL")
        for value in values:
            model(pk=value, s="x", t="y").save(force_insert=True)
        if connection.vendor == "sqlite":
            with connection.cursor() as cursor:
                other = "2024-01-01T00:00:00.000002"
                cursor.execute("UPDATE app_odd SET id = %s WHERE id LIKE %s", [other, "%000002"])
        error, _ = failing("app.Odd", batch_size=1)
        assert "comes again behind its own primary key" in str(error)
        assert runs.newest()[0].state == "failed"
        for how in ({"dry_run": True}, {"plan": True}):
            reencrypt("app.Odd", **how)
        rows = cells.rows([model._meta.get_field("s")], "default")
        seen = {row.pk for batch in cells.batches(rows, 2) for row in batch}
        assert seen == set(model.objects.values_list("pk", flat=True))


@pytest.mark.skipif(connection.vendor != "mysql", reason="the others name no index")
@pytest.mark.parametrize("of", ["TABLE", "VIEW"])
def test_no_primary_key(of: str) -> None:
    """A table whose key is a unique column, and a view, have none by this name."""
    with table(id=models.IntegerField(primary_key=True)) as model, connection.cursor() as cursor:
        if of == "TABLE":
            cursor.execute("ALTER TABLE app_odd ADD UNIQUE KEY only_key (id), DROP PRIMARY KEY")
        else:
            cursor.execute("RENAME TABLE app_odd TO app_odd_rows")
            cursor.execute("CREATE VIEW app_odd AS SELECT * FROM app_odd_rows")
        try:
            for number in range(3):
                model(pk=number, s="x", t="y").save(force_insert=True)
            document = json.loads(reencrypt("app.Odd", format="json", verify=True))
            assert [each["renewed"] for each in document["columns"]] == [3, 3]
        finally:
            if of == "VIEW":
                cursor.execute("DROP VIEW app_odd")
                cursor.execute("RENAME TABLE app_odd_rows TO app_odd")
