"""Access records are one chain, whoever writes, and a break in it shows."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection, connections, transaction
from django.test import override_settings

from django_workos_vault import vaults
from django_workos_vault.access import Entry, Limit, LimitReached, access_recorded
from django_workos_vault.exceptions import AccessNotRecorded
from django_workos_vault.models import AccessChain, AccessRecord
from django_workos_vault.registry.rows import as_stored

pytestmark = pytest.mark.django_db
TABLE = "django_workos_vault_accessrecord"
DAY = timedelta(days=1)


def record(number: int = 1, **told: str) -> None:
    for _ in range(number):
        vaults.access_records().append(
            [Entry(**{"action": "reveal", "user_pk": "7", "reason": "a call"} | told)]
        )


def sql(statement: str, *parameters: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)


def broken_at() -> tuple[int, str] | None:
    found = vaults.access_records().verify().found
    return found and (found.sequence, found.message)


def test_one_record_says_who_did_what_where_and_why() -> None:
    """Every column comes back as it was given, and the first record follows nothing."""
    told = {
        "user_pk": "7",
        "username": "ada",
        "model": "app.Person",
        "object_pk": "3",
        "field": "ssn",
        "vault": "default",
        "reason": "ticket 4711",
        "outcome": "yes",
        "remote_address": "192.0.2.1",
        "view": "admin:app_person_reveal",
    }
    vaults.access_records().append([Entry("reveal", **told)])
    found = AccessRecord.objects.get()
    assert {name: getattr(found, name) for name in told} == told
    assert (found.sequence, found.previous, len(found.mac)) == (1, "", 64)
    assert broken_at() is None


@pytest.mark.parametrize("text", ["\x00", "a\nb", "\ud800", "x" * 5000, "Ă©€😀", "'; DROP TABLE x", '","'])
def test_whatever_is_told_can_be_kept(text: str) -> None:
    """Texts are cut to their columns, and what cannot be shown is a question mark."""
    record(reason=text, object_pk=text, username=text)
    assert broken_at() is None
    assert AccessRecord.objects.get().reason.isprintable()


def test_texts_cannot_be_moved_between_columns() -> None:
    """The HMAC keeps columns apart: what one lost and the next gained shows."""
    record(model="app.Person", object_pk="12")
    sql(f"UPDATE {TABLE} SET model = 'app.Person1', object_pk = '2'")
    assert broken_at() == (1, "Record 1 was changed, or moved there.")


COLUMNS = [
    field.name
    for field in AccessRecord._meta.concrete_fields
    if field.name not in ("id", "sequence", "at", "previous")
]


@pytest.mark.django_db(transaction=True)
def test_concurrent_writers_form_one_chain() -> None:
    """Threads take turns; none of their records is lost, and none is written twice."""

    def write(_: int) -> None:
        try:
            record(3)
        finally:
            connections.close_all()

    record()
    with ThreadPoolExecutor(5) as threads:
        list(threads.map(write, range(5)))
    assert list(AccessRecord.objects.order_by("sequence").values_list("sequence", flat=True)) == [
        *range(1, 17)
    ]
    assert broken_at() is None


@pytest.mark.django_db(transaction=True)
def test_the_first_writers_race() -> None:
    """The row that everybody locks is made once."""

    def write(_: int) -> None:
        try:
            record()
        finally:
            connections.close_all()

    vaults["default"].index_keys.key(1, b"made before")
    with ThreadPoolExecutor(5) as threads:
        list(threads.map(write, range(5)))
    assert AccessChain.objects.get().sequence == 5
    assert broken_at() is None


@pytest.mark.django_db(transaction=True)
def test_a_limit_holds_when_requests_race() -> None:
    """It is counted with the chain locked: as many get through as it allows."""

    def write(_: int) -> bool:
        try:
            vaults.access_records().append([Entry("reveal", user_pk="7")], Limit("reveal", 3, DAY))
        except LimitReached:
            return False
        finally:
            connections.close_all()
        return True

    record(1, user_pk="8")
    with ThreadPoolExecutor(6) as threads:
        assert sum(threads.map(write, range(6))) == 3
    assert AccessRecord.objects.filter(user_pk="7").count() == 3


def test_a_limit_is_the_users_own_of_one_action_and_a_time() -> None:
    """Others' records, other actions and older ones do not count."""
    limit = Limit("reveal", 2, DAY)
    record(3, user_pk="8")
    record(3, action="match")
    record(1)
    AccessRecord.objects.filter(user_pk="7").update(at=as_stored(datetime.now(UTC) - 2 * DAY))
    for _ in range(2):
        vaults.access_records().append([Entry("reveal", user_pk="7")], limit)
    with pytest.raises(LimitReached):
        vaults.access_records().append([Entry("reveal", user_pk="7")], limit)


@pytest.mark.django_db(transaction=True)
def test_a_rollback_leaves_the_record() -> None:
    """On a server it is written apart; SQLite has one writer, so there a transaction refuses it."""
    record()
    if connection.vendor == "sqlite":
        with transaction.atomic(), pytest.raises(AccessNotRecorded, match="inside a transaction"):
            record()
        assert AccessRecord.objects.count() == 1
        return
    with transaction.atomic():
        record()
        transaction.set_rollback(True)
    assert AccessRecord.objects.count() == 2
    assert broken_at() is None


def test_a_signal_tells_of_each_record_and_its_failure_harms_nothing() -> None:
    """What a SIEM is sent is stored already."""
    told: list[tuple[str, bool]] = []

    def receive(record: AccessRecord, **kwargs: Any) -> None:
        told.append((record.reason, AccessRecord.objects.filter(mac=record.mac).exists()))
        raise ZeroDivisionError

    access_recorded.connect(receive)
    try:
        record(2)
    finally:
        access_recorded.disconnect(receive)
    assert told == [("a call", True)] * 2


class Elsewhere:
    """A router to a database whose tables are gone."""

    def db_for_write(self, model: Any, **hints: Any) -> str | None:
        return "other" if model in (AccessRecord, AccessChain) else None

    db_for_read = db_for_write


@pytest.mark.django_db(databases=["default", "other"])
def test_records_may_have_a_database_of_their_own() -> None:
    """A router sends them there; while it cannot be written, nothing is recorded and that is an error."""
    with override_settings(DATABASE_ROUTERS=[f"{__name__}.Elsewhere"]):
        record(2)
        assert AccessRecord.objects.using("other").count() == 2
        assert not AccessRecord.objects.using("default").exists()
        assert broken_at() is None


def test_a_database_that_is_down_is_an_error() -> None:
    """No record, no answer: whoever asked gets AccessNotRecorded."""

    def down(*args: Any) -> Any:
        raise OperationalError("the server is gone")

    with connection.execute_wrapper(down), pytest.raises(AccessNotRecorded):
        record()
