"""Worker processes that are killed with -9 lose no row and count none twice, with writers beside them."""

import os
import random
import threading
from typing import Any

import pytest
from django.db import connection, connections

from django_workos_vault import envelope, vaults
from django_workos_vault.fields import stored_cell
from django_workos_vault.maintenance.engine import runs
from tests.app.models import Person
from tests.maintenance.noting import keys
from tests.maintenance.processes import in_databases_of_test, kill_at_random

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

KILLS = int(os.environ.get("VAULT_TEST_KILLS", 5))
ROWS = 600 * KILLS


class Writers:
    """Threads that give rows new values all the time, and know what each must hold in the end."""

    def __init__(self, rows: list[Any], number: int) -> None:
        self.expected = {row.pk: row.ssn for row in rows}
        self.writes = 0
        self._done = threading.Event()
        shares = [list(self.expected)[n::number] for n in range(number)]
        self._threads = [threading.Thread(target=self._write, args=(share,)) for share in shares]

    def __enter__(self) -> "Writers":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *args: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join()

    def _write(self, mine: list[int]) -> None:
        try:
            while not self._done.wait(0.005):
                pk, value = random.choice(mine), f"{random.randrange(10**9)}"
                assert Person.objects.filter(pk=pk).update(ssn=value) == 1
                self.expected[pk] = value
                self.writes += 1
        finally:
            connections.close_all()


def check_killed(kills: int, writers: int, rows_per_second: int) -> str:
    """Go through a table with workers that are killed; return what was measured."""
    rows = Person.objects.bulk_create([Person(ssn=f"{n}", notes="n") for n in range(ROWS)], batch_size=3_000)
    before = keys()
    fields = [Person._meta.get_field(name) for name in ("ssn", "notes")]
    options = {"batch_size": 40, "chunk_size": 200, "max_rows_per_second": rows_per_second}
    run = runs.begin(fields, "reseal", using="default", options=options)
    with Writers(rows, writers) as beside:
        killed = kill_at_random(run, kills)
    run.refresh_from_db()
    told = runs.progress(run)
    assert run.state == "finished"
    assert told.rows == ROWS
    assert run.chunks.filter(state="done").count() == ROWS // 200
    ssn, notes = told.counts["app.Person.ssn"], told.counts["app.Person.notes"]
    assert (notes.renewed, notes.changed_meanwhile, notes.left) == (ROWS, 0, 0)
    assert ssn.renewed + ssn.changed_meanwhile == ROWS
    made = keys() - before
    assert len(made) == 1
    # Counted with a batch, before which its maker may have died; two that begin at once may both make one.
    assert told.keys_made <= 2
    vaults["default"].keyring.forget()
    lost = 0
    for row in Person.objects.all():
        lost += row.ssn != beside.expected[row.pk]
        assert row.notes == "n"
        assert envelope.parse(stored_cell(row, "notes")).commitment.hex() in made
    assert lost == 0
    return f"{killed} kills, {beside.writes} writes beside, {ssn.changed_meanwhile} faster than it, 0 lost"


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one worker, and one writer at a time")
def test_killed_at_random_points(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers die, of two at a time; others take their chunks over where they ended."""
    in_databases_of_test(monkeypatch)
    measured = check_killed(KILLS, writers=3, rows_per_second=400)
    assert measured.startswith(f"{KILLS} kills")
    print(measured)  # noqa: T201 -- with pytest -rP
