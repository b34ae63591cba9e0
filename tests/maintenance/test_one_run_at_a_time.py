"""Two runs on the same columns never run beside each other, even when both are started in one instant."""

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.db import connection, connections

from django_workos_vault.maintenance.engine import runs
from django_workos_vault.models import MaintenanceRun
from tests.app.models import Person
from tests.maintenance.reencrypting import at_once

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor == "sqlite", reason="threads have no second connection to it"),
]


def begun() -> MaintenanceRun:
    return runs.begin([Person._meta.get_field("ssn")], "reseal", using="default")


def paused() -> MaintenanceRun:
    run = begun()
    runs.pause(run)
    return run


def running() -> int:
    return MaintenanceRun.objects.filter(state="running").count()


def attempted(act: Callable[[], Any], refused: list[str]) -> None:
    try:
        act()
    except runs.RunRefused as exc:
        refused.append(str(exc))


@pytest.mark.parametrize("other", ["resumed", "begun"])
def test_in_the_middle_of_a_resumption(other: str) -> None:
    """Between the look at other runs and the change of state, no other can be resumed or begun."""
    one, two = paused(), paused()
    refused: list[str] = []

    def act() -> None:
        attempted((lambda: runs.resume(runs.find(two.pk))) if other == "resumed" else begun, refused)
        connections.close_all()

    thread = threading.Thread(target=act)

    def wrapper(execute: Any, statement: str, *args: Any) -> Any:
        if statement.startswith("UPDATE") and "maintenancerun" in statement and not thread.ident:
            thread.start()
            thread.join(1)  # it waits for this transaction
        return execute(statement, *args)

    with connection.execute_wrapper(wrapper):
        attempted(lambda: runs.resume(one), refused)
    thread.join()
    assert running() == 1
    assert len(refused) == 1
    assert "is under way on app.Person.ssn" in refused[0]


def test_many_at_once() -> None:
    """Of ten that are resumed in one instant, one runs."""
    start = threading.Barrier(10)
    refused: list[str] = []

    def resumed(number: int) -> None:
        run = runs.find(number)
        start.wait()
        attempted(lambda: runs.resume(run), refused)

    at_once(*[partial(resumed, paused().pk) for _ in range(10)])
    assert (running(), len(refused)) == (1, 9)
