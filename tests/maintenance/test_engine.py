"""Runs that are stopped or die anywhere end in the same state as runs that were not: nothing lost, nothing
counted twice, whatever the operation and the kind of primary key."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest

from django_workos_vault.maintenance.engine import runs
from django_workos_vault.maintenance.engine.work import Worker
from django_workos_vault.models import DataKeyRecord, MaintenanceRun
from tests.maintenance.noting import (
    MODELS,
    OPERATIONS,
    begin,
    die_at,
    go_on,
    keys,
    notes,
    reference,
    state_of,
    stop_at,
)

pytestmark = pytest.mark.django_db

ROWS = 5
#: with two rows a batch and three a chunk: 2 + 1, then 2, and a look at what is behind
BATCHES = 4


def done(model: Any, operation: str, interrupt: Callable[[MaintenanceRun], None]) -> tuple[Any, ...]:
    """Let a run be interrupted and go on; return what became of rows, counts, keys and left cells."""
    model.objects.all().delete()
    DataKeyRecord.objects.all().delete()
    notes(model, ROWS, operation)
    before = keys()
    with reference() if operation == "envelope" else nullcontext():
        run = begin(model, operation)
        interrupt(run)
        go_on(run)
        run.refresh_from_db()
        told = runs.progress(run)
        counts = [each.numbers() for each in told.counts.values()]
        made = len(keys() - before)
        return state_of(model, before), counts, told.rows, told.left_number, made, run.state


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_interrupted_anywhere(model: Any, operation: str) -> None:
    """Stopped after a batch, or dead in the middle of one, a run ends as one that was never stopped."""
    whole = done(model, operation, lambda run: Worker(run).work())
    rows, counts, number, left, made, state = whole
    assert {row and row[0] for row in rows} == {None, "text 0", "text 1", "text 3", "text 4"}
    assert counts == [{"renewed": 4, "null": 1, "changed_meanwhile": 0, "left": 0, "kept": 0}]
    assert (number, left, state) == (ROWS, 0, "finished")
    assert made == (2 if operation == "reseal" else 0)
    for batches in range(1, BATCHES + 1):
        end = (stop_at, die_at)[(batches + OPERATIONS.index(operation)) % 2]
        assert done(model, operation, lambda run, n=batches, end=end: end(run, n)) == whole


@pytest.mark.parametrize("operation", OPERATIONS[2:])
def test_what_is_as_it_should_be_is_kept(operation: str) -> None:
    """A second run of an operation that changes state touches nothing."""
    model = MODELS[0]
    notes(model, ROWS, operation)
    with reference() if operation == "envelope" else nullcontext():
        for expected in (4, 0):
            run = begin(model, operation)
            Worker(run).work()
            counts = runs.progress(run).counts["app.NumberedNote.text"]
            assert (counts.renewed, counts.kept, counts.null) == (expected, 4 - expected, 1)


def test_reference_cells_go_back_inline() -> None:
    """``envelope`` moves cells as the settings say, either way, and each time the ciphertext stays."""
    model = MODELS[0]
    notes(model, ROWS)
    values = [row.text for row in model.objects.order_by("pk")]
    with reference():
        Worker(begin(model, "envelope")).work()
        assert all(row is None or row[4] for row in state_of(model, set()))
    Worker(begin(model, "envelope")).work()
    DataKeyRecord.objects.all().delete()  # nothing needs it any more
    assert not any(row and row[4] for row in state_of(model, set()))
    assert [row.text for row in model.objects.order_by("pk")] == values
