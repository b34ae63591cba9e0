"""Two runs over the same rows, or one beside ten writers: no update is lost, and every cell is renewed."""

import pytest
from django.db import connection

from django_workos_vault.maintenance.engine import runs
from django_workos_vault.maintenance.engine.rehearsal import Pass
from django_workos_vault.maintenance.engine.work import Worker
from django_workos_vault.maintenance.operations import Rekeying, Resealing
from tests.app.models import Person
from tests.maintenance.noting import keys
from tests.maintenance.reencrypting import at_once
from tests.maintenance.test_killed_workers import Writers

pytestmark = pytest.mark.django_db(transaction=True)

#: SQLite has one writer: a few threads show as much as many
ROWS, WRITERS = (60, 2) if connection.vendor == "sqlite" else (300, 10)


def test_a_run_and_ten_writers() -> None:
    """Rows rewritten all the time end with their writers' last values, whoever was faster."""
    rows = Person.objects.bulk_create([Person(ssn=f"{n}") for n in range(ROWS)])
    old = keys()
    fields = [Person._meta.get_field("ssn")]
    with Writers(rows, WRITERS) as writers:
        run = runs.begin(fields, "reseal", using="default", options={"batch_size": 50, "chunk_size": 100})
        Worker(run).work()
    counts = runs.progress(run).counts["app.Person.ssn"]
    assert writers.writes
    assert counts.renewed + counts.changed_meanwhile == runs.progress(run).rows == ROWS
    assert {row.pk: row.ssn for row in Person.objects.all()} == writers.expected
    assert len(keys() - old) == 1


def test_two_runs_over_the_same_rows() -> None:
    """What two passes of different operations do at once leaves every value, each cell swapped whole."""
    Person.objects.bulk_create([Person(ssn=f"{n}", notes=f"note {n}") for n in range(ROWS)])
    fields = [Person._meta.get_field(name) for name in ("ssn", "notes")]
    passes = [
        Pass(fields, operation, using="default", batch_size=10) for operation in (Resealing(), Rekeying())
    ]
    at_once(*(lambda each=each: list(each.batches()) for each in passes))
    for row in Person.objects.all():
        assert f"note {row.ssn}" == row.notes
    for each in passes:
        for counts in each.counts.values():
            assert counts.renewed + counts.changed_meanwhile == ROWS
        assert not each.left


def test_two_workers_of_one_run() -> None:
    """Every row is done by one of them, and they share one new key."""
    Person.objects.bulk_create([Person(ssn=f"{n}") for n in range(ROWS)])
    old = keys()
    options = {"batch_size": 10, "chunk_size": 20}
    run = runs.begin([Person._meta.get_field("ssn")], "reseal", using="default", options=options)
    at_once(*(lambda: Worker(runs.find(run.pk)).work() for _ in range(2)))
    run.refresh_from_db()
    told = runs.progress(run)
    assert (run.state, told.rows, told.counts["app.Person.ssn"].renewed) == ("finished", ROWS, ROWS)
    assert len(keys() - old) == 1
