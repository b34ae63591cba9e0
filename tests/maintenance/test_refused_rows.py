"""A row that the database refuses, or keeps as it is, is left and told; it holds back no other."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.core.files.base import ContentFile
from django.db import connection, models
from django.test import Client

from django_workos_vault.envelope import DIGEST_BYTES
from django_workos_vault.fields import EncryptedCharField
from django_workos_vault.indexes import Exact
from django_workos_vault.maintenance.engine import transactions
from django_workos_vault.models import MaintenanceRun
from tests.admin.test_reveal_actions import act
from tests.app.models import Person
from tests.files.models import Scan
from tests.maintenance.reencrypting import cell_of, failing, people, reencrypt
from tests.maintenance.test_odd_keys import table

pytestmark = pytest.mark.django_db(transaction=True)

#: what a trigger does with the rows of a condition, by database
BODIES = {
    ("raise", "sqlite"): "SELECT RAISE(ABORT, 'no') WHERE {};",
    ("raise", "postgresql"): "IF {} THEN RAISE EXCEPTION 'no'; END IF; RETURN NEW;",
    ("raise", "mysql"): "IF {} THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no'; END IF;",
    ("skip", "sqlite"): "SELECT RAISE(IGNORE) WHERE {};",
    ("skip", "postgresql"): "IF {} THEN RETURN NULL; END IF; RETURN NEW;",
    ("deny", "postgresql"): "IF {} THEN RAISE EXCEPTION 'no' USING ERRCODE = '42501'; END IF; RETURN NEW;",
}


@contextmanager
def trigger(does: str, of: str, condition: str) -> Iterator[None]:
    body = BODIES[does, connection.vendor].format(condition)
    begin = f"CREATE TRIGGER odd_rows BEFORE UPDATE ON {of} FOR EACH ROW"
    statements = [f"{begin} BEGIN {body} END"]
    drop = "DROP TRIGGER odd_rows"
    if connection.vendor == "postgresql":
        function = "CREATE OR REPLACE FUNCTION odd_rows() RETURNS trigger LANGUAGE plpgsql AS"
        statements = [f"{function} $$ BEGIN {body} END $$", f"{begin} EXECUTE FUNCTION odd_rows()"]
        drop += f" ON {of}"
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(drop)


def reasons(document: Any) -> list[tuple[Any, str]]:
    return [(each["pk"], each["reason"]) for each in document["left"]]


def told(**options: Any) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(failing("app.Person.ssn", format="json", **options)[1])
    return document


@pytest.mark.parametrize(
    "options", [{}, {"batch_size": 3}, {"rekey": True}], ids=["steered", "fixed", "rekey"]
)
def test_a_trigger_that_raises(options: dict[str, Any]) -> None:
    """Its rows keep their cells, all others get new ones, and what the database says is not quoted."""
    rows = people(12)
    bad = [rows[4], rows[5], rows[11]]
    before = [cell_of(row) for row in rows]
    with trigger("raise", "app_person", f"OLD.id IN ({', '.join(str(row.pk) for row in bad)})"):
        document = told(**options)
    assert (document["state"], document["rows"], document["columns"][0]["left"]) == ("finished", 12, 3)
    assert reasons(document) == [(row.pk, "RefusedByDatabase") for row in bad]
    assert all("'no'" not in each["message"] for each in document["left"])
    assert [row for row, cell in zip(rows, before, strict=True) if cell_of(row) == cell] == bad
    assert f"Run {document['run'] + 1} is finished: 12 rows" in reencrypt("app.Person.ssn")
    assert all(cell_of(row) != cell for row, cell in zip(rows, before, strict=True))
    assert [Person.objects.get(pk=row.pk).ssn for row in rows] == [f"123-45-{n:04}" for n in range(12)]


@pytest.mark.skipif(connection.vendor == "mysql", reason="no trigger of MariaDB passes over a row")
@pytest.mark.parametrize("options", [{}, {"verify": True}, {"rekey": True}], ids=["sample", "all", "rekey"])
def test_a_trigger_that_passes_over_a_row(options: dict[str, Any]) -> None:
    """The database says nothing of it, and the row is not taken for one that another writer changed."""
    rows = people(6)
    before = cell_of(rows[2])
    with trigger("skip", "app_person", f"OLD.id = {rows[2].pk}"):
        document = told(**options)
    [column] = document["columns"]
    assert (column["renewed"], column["left"], column["changed_meanwhile"]) == (5, 1, 0)
    assert reasons(document) == [(rows[2].pk, "NotWritten")]
    assert cell_of(rows[2]) == before


@pytest.mark.skipif(connection.vendor != "postgresql", reason="triggers raise no such error elsewhere")
def test_an_error_of_all_rows() -> None:
    """That of a role without the right to write is no row's fault: the run is paused, and nothing is left."""
    people(3)
    with trigger("deny", "app_person", "TRUE"):
        error, _ = failing("app.Person.ssn")
    assert "Stopped by the database: ProgrammingError." in str(error)
    assert MaintenanceRun.objects.get().state == "paused"


@pytest.mark.skipif(connection.vendor == "mysql", reason="it has no unique index over an expression")
def test_a_unique_index_over_digests() -> None:
    """Of two rows with the same value, the second is left without its digest."""
    with table() as former:
        rows = [former.objects.create(s=value, t="y") for value in ("a", "b", "a", "c")]
        del apps.all_models["app"]["odd"]
        sealed = EncryptedCharField(max_length=9, blind_indexes=[Exact()])
        meta = type("Meta", (), {"app_label": "app"})
        model: Any = type("Odd", (models.Model,), {"s": sealed, "__module__": __name__, "Meta": meta})
        without = len(cell_of(rows[0], "s"))
        with connection.cursor() as cursor:
            over = f"SUBSTR(s, 2, {DIGEST_BYTES})) WHERE LENGTH(s) > {without}"
            cursor.execute(f"CREATE UNIQUE INDEX odd_digests ON app_odd ({over}")
        document = json.loads(failing("app.Odd.s", operation="reindex", format="json")[1])
        assert [(each["pk"], each["reason"]) for each in document["left"]] == [
            (rows[2].pk, "RefusedByDatabase")
        ]
        assert [len(cell_of(row, "s")) > without for row in rows] == [True, True, False, True]
        model.objects.filter(pk=rows[0].pk).delete()
        reencrypt("app.Odd.s", operation="reindex")
        assert {model.objects.get(s=value).pk for value in "abc"} == {rows[n].pk for n in (1, 2, 3)}


def test_a_copied_value() -> None:
    """One row that refuses its cell does not stop the adoption of the others."""
    sealed = EncryptedCharField(max_length=9, null=True)
    with table(s=sealed, plain=models.CharField(max_length=9)) as model:
        rows = [model.objects.create(t="y", plain=f"name {n}") for n in range(4)]
        with trigger("raise", "app_odd", f"OLD.id = {rows[1].pk}"):
            error, _ = failing("app.Odd.s", operation="encrypt", plain="plain")
        assert "1 cells were left" in str(error)
        assert [row.s for row in model.objects.order_by("pk")] == ["name 0", None, "name 2", "name 3"]


@pytest.mark.skipif(connection.vendor == "mysql", reason="no trigger of MariaDB passes over a row")
def test_a_value_that_is_not_copied() -> None:
    """A trigger passes over its row: that is told, and does not end as if another writer had been faster."""
    sealed = EncryptedCharField(max_length=9, null=True)
    with table(s=sealed, plain=models.CharField(max_length=9, null=True)) as model:
        rows = [model.objects.create(t="y", plain=f"name {n}") for n in range(3)]
        for operation in ("encrypt", "decrypt"):
            with trigger("skip", "app_odd", f"OLD.id = {rows[1].pk}"):
                error, out = failing("app.Odd.s", operation=operation, plain="plain", format="json")
            assert "1 cells were left" in str(error)
            assert reasons(json.loads(out)) == [(rows[1].pk, "NotWritten")]
            reencrypt("app.Odd.s", operation=operation, plain="plain")
            assert [row.s for row in model.objects.order_by("pk")] == ["name 0", "name 1", "name 2"]
            model.objects.update(plain=None)


def test_rows_that_are_selected_in_the_admin(admin_client: Client) -> None:
    """The page says how many were left."""
    rows = [Person.objects.create(ssn=f"{n}") for n in range(5)]
    before = [cell_of(row) for row in rows]
    with trigger("raise", "app_person", f"OLD.id IN ({rows[0].pk}, {rows[3].pk})"):
        html = act(admin_client, "reencrypt_rows", rows).content.decode()
    changed = [row for row, cell in zip(rows, before, strict=True) if cell_of(row) != cell]
    assert changed == [rows[1], rows[2], rows[4]]
    assert re.search(r"\b[0-9]+ values were re-encrypted\.", html)
    assert re.search(r"were changed meanwhile: [0-9]+", html)


@pytest.mark.django_db(transaction=True, databases="__all__")
def test_a_file(settings: Any, tmp_path: Path) -> None:
    """Its new copy is deleted, and the row has the old one."""
    settings.MEDIA_ROOT = tmp_path
    rows = [Scan.objects.create(file=ContentFile(b"text", name=f"{n}.png")) for n in range(3)]
    with trigger("raise", "files_scan", f"OLD.id = {rows[1].pk}"):
        document = json.loads(failing("files.Scan.file", format="json")[1])
    assert reasons(document) == [(rows[1].pk, "RefusedByDatabase")]
    kept = [Scan.objects.get(pk=row.pk).file for row in rows]
    assert [file.name == row.file.name for file, row in zip(kept, rows, strict=True)] == [False, True, False]
    assert [file.read() for file in kept] == [b"text"] * 3
    assert sum(path.is_file() for path in tmp_path.rglob("*")) == 3


@contextmanager
def locked(row: Person, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have another session keep the row, as a transaction does that was left open."""
    monkeypatch.setattr(transactions, "LOCK_TIMEOUT", 1)
    other = connection.copy()
    with other.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT id FROM app_person WHERE id = %s FOR UPDATE", [row.pk])
        try:
            yield
        finally:
            cursor.execute("ROLLBACK")
    other.close()


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite locks all rows at once")
def test_a_row_that_stays_locked(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is left, all others get new cells, and the next run has it."""
    rows = people(6)
    before = [cell_of(row) for row in rows]
    with locked(rows[2], monkeypatch):
        document = told(batch_size=3)
    assert (document["state"], document["rows"]) == ("finished", 6)
    assert reasons(document) == [(rows[2].pk, "RowLocked")]
    assert [cell_of(row) == cell for row, cell in zip(rows, before, strict=True)] == [
        row is rows[2] for row in rows
    ]
    assert "6 rows" in reencrypt("app.Person.ssn")
    assert cell_of(rows[2]) != before[2]


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite locks all rows at once")
def test_a_locked_row_that_is_selected_in_the_admin(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = people(3)
    before = [cell_of(row) for row in rows]
    with locked(rows[1], monkeypatch):
        html = act(admin_client, "reencrypt_rows", rows).content.decode()
    assert [cell_of(row) == cell for row, cell in zip(rows, before, strict=True)] == [False, True, False]
    assert re.search(r"were changed meanwhile: [0-9]+", html)
