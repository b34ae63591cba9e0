"""On PostgreSQL a batch tells unchanged rows by their version; whatever has none is told by its bytes."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection, models
from django.test.utils import CaptureQueriesContext, isolate_apps

from django_workos_vault.fields import EncryptedCharField, stored_cell
from django_workos_vault.maintenance import row_versions
from django_workos_vault.maintenance.cells import encrypted_fields
from django_workos_vault.maintenance.engine.cell_plan import CellPlanner
from django_workos_vault.maintenance.engine.columns import Columns
from django_workos_vault.maintenance.engine.estimate import estimated_rows
from django_workos_vault.maintenance.engine.transactions import in_transaction
from django_workos_vault.maintenance.operations import Resealing
from tests.app.models import Person

pytestmark = pytest.mark.django_db(transaction=True)
needs_postgresql = pytest.mark.skipif(connection.vendor != "postgresql", reason="others tell no versions")


def reseal(
    meanwhile: Callable[[], Any], verify: bool = False, only: str = ""
) -> tuple[dict[str, tuple[int, int]], list[str]]:
    """Reseal all persons, or their column ``only``, while something happens between reading and writing.

    Return, by column, how many cells were renewed and how many had changed, and the UPDATE statements.
    """
    fields = [field for field in encrypted_fields(Person) if field.name == only or not only]
    columns = Columns(fields, Resealing(), "default", verify=verify)
    batch = columns.prepared(columns.read(columns.rows().order_by("pk")))
    meanwhile()
    with CaptureQueriesContext(connection) as queries:
        counts = in_transaction("default", lambda: columns.store(batch))
    updates = [query["sql"] for query in queries if "UPDATE " in query["sql"]]
    return {each.column: (each.renewed, each.changed_meanwhile) for each in counts}, updates


@pytest.fixture
def persons() -> list[Person]:
    return [Person.objects.create(name=f"n{n}", ssn=f"123-45-{n:04}", notes=f"notes {n}") for n in range(4)]


def cells(person: Person) -> dict[str, bytes]:
    stored = Person.objects.get(pk=person.pk)
    return {field.attname: stored_cell(stored, field.attname) for field in encrypted_fields(Person)}


@pytest.mark.parametrize("verify", [False, True])
def test_nothing_happens(persons: list[Person], verify: bool) -> None:
    """One statement, which holds no old cell on PostgreSQL."""
    before = [cells(person) for person in persons]
    counts, updates = reseal(lambda: None, verify)
    assert set(counts.values()) == {(4, 0)}
    assert len(updates) == 1
    assert ("xmin" in updates[0]) is (connection.vendor == "postgresql")
    for person, old in zip(persons, before, strict=True):
        assert not set(old.values()) & set(cells(person).values())
        stored = Person.objects.get(pk=person.pk)
        assert (stored.name, stored.ssn, stored.notes) == (person.name, person.ssn, person.notes)


@pytest.mark.parametrize("only", ["", "ssn"])
def test_another_column_changed_meanwhile(persons: list[Person], only: str) -> None:
    """The row has another version and the same cells, which are swapped."""
    counts, _ = reseal(lambda: Person.objects.filter(pk=persons[1].pk).update(name="other"), only=only)
    assert set(counts.values()) == {(4, 0)}
    assert Person.objects.get(pk=persons[1].pk).name == "other"


def test_a_cell_changed_meanwhile(persons: list[Person]) -> None:
    """It stays as the other writer left it, and its neighbours in the row are swapped."""

    def write() -> None:
        Person.objects.filter(pk=persons[1].pk).update(ssn="999-99-9999")

    counts, _ = reseal(write)
    assert {column: outcome for column, outcome in counts.items() if outcome != (4, 0)} == {
        "app.Person.ssn": (3, 1)
    }
    assert Person.objects.get(pk=persons[1].pk).ssn == "999-99-9999"
    assert Person.objects.get(pk=persons[1].pk).notes == "notes 1"


def test_a_row_gone_meanwhile(persons: list[Person]) -> None:
    counts, _ = reseal(lambda: Person.objects.filter(pk=persons[1].pk).delete())
    assert set(counts.values()) == {(3, 1)}
    assert Person.objects.count() == 3


def test_a_row_written_back_as_it_was(persons: list[Person]) -> None:
    """Deleted, and inserted again with the same key and another value: not the row that was read."""

    def replace() -> None:
        pk = persons[1].pk
        Person.objects.filter(pk=pk).delete()
        Person.objects.create(pk=pk, name="other", ssn="999-99-9999", notes="other")

    counts, _ = reseal(replace)
    assert set(counts.values()) == {(3, 1)}
    assert Person.objects.get(pk=persons[1].pk).notes == "other"


@pytest.fixture
def tables() -> Iterator[Callable[[str], Any]]:
    """What makes a model of a table that a statement makes."""
    made = []
    with isolate_apps("tests.app"), connection.cursor() as cursor:

        def make(statement: str) -> Any:
            class Odd(models.Model):
                text = EncryptedCharField(max_length=9)

                class Meta:
                    app_label = "app"
                    db_table = "odd_table"

            cursor.execute(statement)
            made.append(statement)
            return Odd

        yield make
        cursor.execute(
            "DROP VIEW IF EXISTS odd_table" if "VIEW" in made[-1] else "DROP TABLE IF EXISTS odd_table"
        )


@needs_postgresql
@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("CREATE TABLE odd_table (id bigserial PRIMARY KEY, text bytea)", True),
        ("CREATE TABLE odd_table (id bigserial PRIMARY KEY, text bytea) PARTITION BY RANGE (id)", False),
        ("CREATE VIEW odd_table AS SELECT id, ssn AS text FROM app_person", False),
    ],
)
def test_which_tables_tell(statement: str, told: bool, tables: Callable[[str], Any]) -> None:
    """Only a table of PostgreSQL's own kind is trusted with it."""
    assert row_versions.are_told(tables(statement), "default") is told


@needs_postgresql
def test_a_partitioned_table(tables: Callable[[str], Any]) -> None:
    """Its rows are told by their bytes."""
    model = tables("CREATE TABLE odd_table (id bigserial PRIMARY KEY, text bytea) PARTITION BY RANGE (id)")
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE odd_part PARTITION OF odd_table DEFAULT")
    rows = [model.objects.create(text=f"t{n}") for n in range(3)]
    columns = Columns(encrypted_fields(model), Resealing(), "default")
    batch = columns.prepared(columns.read(columns.rows().order_by("pk")))
    with CaptureQueriesContext(connection) as queries:
        (counts,) = in_transaction("default", lambda: columns.store(batch))
    assert (counts.renewed, counts.changed_meanwhile) == (3, 0)
    assert not any("xmin" in query["sql"] for query in queries)
    assert [row.text for row in model.objects.order_by("pk")] == [row.text for row in rows]


@needs_postgresql
def test_the_size_of_a_partitioned_table(
    tables: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of its partitions: the table itself has no rows, and takes no disk."""
    model = tables("CREATE TABLE odd_table (id bigserial PRIMARY KEY, text bytea) PARTITION BY RANGE (id)")
    with connection.cursor() as cursor:
        for bounds in ("FROM (0) TO (3)", "FROM (3) TO (99)"):
            cursor.execute(f"CREATE TABLE odd_part{bounds[-2]} PARTITION OF odd_table FOR VALUES {bounds}")
        for n in range(5):
            model.objects.create(text=f"t{n}")
        cursor.execute("ANALYZE odd_table")
    monkeypatch.setattr("django_workos_vault.maintenance.engine.estimate._COUNTED", 1)
    with CaptureQueriesContext(connection) as queries:
        assert estimated_rows(model, "default") == 5
    assert len(queries) == 1
    planner = CellPlanner(
        [Columns(encrypted_fields(model), Resealing(), "default")], Resealing(), "reseal", "default"
    )
    assert planner.plan().disk >= 2 * 8192
