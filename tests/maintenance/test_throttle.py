"""A project's own callable says how long a run waits between batches."""

from typing import Any

import pytest
from django.db import connection
from django.test import override_settings

from django_workos_vault.maintenance.engine import runs, throttle
from django_workos_vault.maintenance.engine.work import Worker
from tests.app.models import Person
from tests.maintenance.reencrypting import failing, people, reencrypt

pytestmark = pytest.mark.django_db

ASKED: list[str] = []
ANSWERS: list[float] = []


def busy(using: str) -> float:
    ASKED.append(using)
    return ANSWERS.pop(0) if ANSWERS else 0.0


@pytest.fixture(autouse=True)
def settings_of_a_project() -> Any:
    ASKED.clear()
    ANSWERS.clear()
    with override_settings(WORKOS_VAULT_THROTTLE=f"{__name__}.busy"):
        yield


def test_it_is_asked_once_a_batch_and_again_after_each_wait() -> None:
    people(4)
    ANSWERS[:] = [0.01, 0.01, 0.0]
    reencrypt("app.Person.ssn", batch_size=2)
    assert ASKED == ["default"] * 4  # twice more behind the first batch; the last one is empty


def test_a_run_that_waits_can_be_paused() -> None:
    """However long the database stays busy."""
    people(4)
    ANSWERS[:] = [0.01] * 1000
    run = runs.begin([Person._meta.get_field("ssn")], "reseal", using="default", options={"batch_size": 2})
    Worker(run, told=lambda rows: runs.pause(run, "by a person") and None).one_chunk()
    run.refresh_from_db()
    assert run.state == "paused"
    assert runs.progress(run).rows == 2
    assert len(ASKED) <= 1


@pytest.mark.parametrize("path", ["no.such.callable", "", 5])
def test_a_setting_that_names_nothing_is_told_in_one_line(path: Any) -> None:
    people(1)
    with override_settings(WORKOS_VAULT_THROTTLE=path):
        error, _ = failing("app.Person.ssn")
    assert str(error).startswith("WORKOS_VAULT_THROTTLE must be the dotted path")


def test_replication_lag_is_none_without_replicas() -> None:
    assert throttle.replication_lag("default") == 0.0


@pytest.mark.skipif(connection.vendor != "postgresql", reason="what PostgreSQL tells of its replicas")
@pytest.mark.parametrize(("lag", "wait"), [("1 second", 0.0), ("3 seconds", 1.0), (None, 0.0)])
def test_a_replica_that_is_late_is_waited_for(lag: str | None, wait: float) -> None:
    """A view of the session's own stands in front of PostgreSQL's, for there is no replica here."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TEMPORARY VIEW pg_stat_replication AS "
            "SELECT 'streaming'::text AS state, CAST(%s AS interval) AS replay_lag",
            [lag],
        )
        cursor.execute("SET LOCAL search_path = pg_temp, pg_catalog, public")
        assert throttle.replication_lag("default") == wait
        cursor.execute("DROP VIEW pg_stat_replication")
