"""A break in the chain of access records shows, and pruning leaves none."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.test import override_settings

from django_workos_vault.exceptions import AccessNotRecorded
from django_workos_vault.models import AccessChain, AccessRecord
from django_workos_vault.registry.rows import as_moment
from tests.access.test_records import COLUMNS, TABLE, broken_at, record, sql

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("outside_of_checkouts")]


@pytest.mark.parametrize("column", COLUMNS)
def test_a_changed_column_shows(column: str) -> None:
    """Each column of a record is under its HMAC."""
    record(5)
    sql(f"UPDATE {TABLE} SET {column} = 'other' WHERE sequence = 3")
    assert broken_at() == (3, "Record 3 was changed, or moved there.")


def test_an_older_end_beside_the_end_is_not_taken_for_it() -> None:
    """What was the end once has a valid proof still: as another row it vouches for nothing."""
    record(3)
    older = AccessChain.objects.get()
    older.pk = -1
    record(2)
    older.save(force_insert=True)
    sql(f"DELETE FROM {TABLE} WHERE sequence > 3")
    assert broken_at() == (4, "Records 4 to 5 are missing.")


@pytest.mark.parametrize("column", ["reason", "mac", "previous"])
@pytest.mark.skipif(connection.vendor != "sqlite", reason="Other databases keep text alone in these columns.")
def test_bytes_in_the_place_of_text_are_a_change(column: str) -> None:
    """SQLite keeps anything in any column."""
    record(3)
    sql(f"UPDATE {TABLE} SET {column} = X'00FF' WHERE sequence = 2")
    assert broken_at() == (2, "Record 2 was changed, or moved there.")


@pytest.mark.parametrize("column", ["sequence", "mac", "pruned_sequence", "pruned_mac", "proof"])
@pytest.mark.skipif(connection.vendor != "sqlite", reason="Other databases keep text alone in these columns.")
def test_bytes_in_the_end_are_a_change(column: str) -> None:
    record(3)
    sql(f"UPDATE django_workos_vault_accesschain SET {column} = X'00FF'")
    assert broken_at()[1] == "The row that holds the end of the chain was changed."
    with pytest.raises(AccessNotRecorded):
        record(1)


TAMPERINGS: dict[str, tuple[list[str], int, str]] = {
    "removed": ([f"DELETE FROM {TABLE} WHERE sequence = 3"], 3, "Record 3 is missing."),
    "several removed": ([f"DELETE FROM {TABLE} WHERE sequence IN (2, 3)"], 2, "Records 2 to 3 are missing."),
    "the first removed": ([f"DELETE FROM {TABLE} WHERE sequence = 1"], 1, "Record 1 is missing."),
    "cut off": ([f"DELETE FROM {TABLE} WHERE sequence > 3"], 4, "Records 4 to 5 are missing."),
    "emptied": ([f"DELETE FROM {TABLE}"], 1, "Records 1 to 5 are missing."),
    "closed up": (
        [f"DELETE FROM {TABLE} WHERE sequence = 3", f"UPDATE {TABLE} SET sequence = 3 WHERE sequence = 4"],
        3,
        "Record 3 was changed",
    ),
    "reordered": (
        [
            f"UPDATE {TABLE} SET sequence = 99 WHERE sequence = 2",
            f"UPDATE {TABLE} SET sequence = 2 WHERE sequence = 3",
            f"UPDATE {TABLE} SET sequence = 3 WHERE sequence = 99",
        ],
        2,
        "Record 2 was changed, or moved there.",
    ),
    "moved in time": (
        [f"UPDATE {TABLE} SET at = '2020-01-01 00:00:00' WHERE sequence = 4"],
        4,
        "Record 4 was",
    ),
    "follows another": ([f"UPDATE {TABLE} SET previous = mac WHERE sequence = 4"], 4, "Record 4 was changed"),
    "put behind": ([f"UPDATE {TABLE} SET sequence = 6 WHERE sequence = 5"], 5, "Record 5 is missing."),
    "cut off with its end": (
        [
            f"DELETE FROM {TABLE} WHERE sequence > 3",
            "UPDATE django_workos_vault_accesschain SET sequence = 3, "
            f"mac = (SELECT mac FROM {TABLE} WHERE sequence = 3)",
        ],
        3,
        "The row that holds the end of the chain was changed.",
    ),
    "without an end": (["DELETE FROM django_workos_vault_accesschain"], 5, "The row that holds the end"),
    "beginning moved": (
        [
            f"DELETE FROM {TABLE} WHERE sequence < 3",
            "UPDATE django_workos_vault_accesschain SET pruned_sequence = 2",
        ],
        5,
        "The row that holds the end of the chain was changed.",
    ),
}


@pytest.mark.parametrize("how", TAMPERINGS)
def test_the_first_break_is_named(how: str) -> None:
    """Removed, changed, moved, cut off: the number of the first record that is wrong, by vault_check too."""
    record(5)
    statements, number, message = TAMPERINGS[how]
    for statement in statements:
        sql(statement)
    found = broken_at()
    assert found is not None
    assert found[0] == number
    assert message in found[1]
    out = StringIO()
    with pytest.raises(CommandError):
        call_command("vault_check", stdout=out)
    assert found[1] in out.getvalue()


def test_an_end_that_was_changed_is_not_built_upon() -> None:
    """Whoever moves or deletes the end gets no new chain over it: no record, so no value."""
    record(2)
    sql("UPDATE django_workos_vault_accesschain SET sequence = 1")
    with pytest.raises(AccessNotRecorded, match="was changed: run vault_check"):
        record()
    sql("DELETE FROM django_workos_vault_accesschain")
    with pytest.raises(AccessNotRecorded, match="is gone: run vault_check"):
        record()
    assert AccessRecord.objects.count() == 2


def test_a_record_that_cannot_be_read_is_a_change() -> None:
    """SQLite keeps anything in any column; the check names the record and does not fail."""
    if connection.vendor != "sqlite":
        pytest.skip("other databases keep times only")
    record(3)
    sql(f"UPDATE {TABLE} SET at = 'yesterday' WHERE sequence = 2")
    assert broken_at() == (2, "Record 2 was changed, or moved there.")


def test_another_vaults_key_does_not_verify() -> None:
    """The chain is worth nothing without the key: another one finds it changed at the first record."""
    record(2)
    other = {
        "BACKEND": "django_workos_vault.backends.local.LocalVault",
        "KEY_CONTEXT": {"app": "tests"},
        "OPTIONS": {"master_key": bytes(32)},
    }
    with override_settings(WORKOS_VAULTS={"default": other}):
        out = StringIO()
        with pytest.raises(CommandError):
            call_command("vault_check", stdout=out)
        with pytest.raises(AccessNotRecorded):
            record()
    assert "access records" in out.getvalue()


def test_vault_check_says_how_much_is_on_record() -> None:
    """And the last HMAC, to be kept elsewhere: what it stands for cannot go without being noticed."""
    assert "Nothing is on record yet." in _checked()
    record(3)
    assert (
        f"Records 1 to 3 are one chain. The last one's HMAC: {AccessRecord.objects.first().mac}" in _checked()
    )


def _checked() -> str:
    out = StringIO()
    call_command("vault_check", stdout=out)
    return out.getvalue()


def prune(before: str) -> str:
    out = StringIO()
    call_command("vault_access_records", "--prune", "--before", before, stdout=out)
    return out.getvalue()


@pytest.fixture
def old_and_new(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three records of 2020, and two of today."""

    class Then(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime(2020, 5, 1, 12, tzinfo=UTC)

    monkeypatch.setattr("django_workos_vault.access.chain.datetime", Then)
    record(3)
    monkeypatch.undo()
    record(2)


@pytest.mark.usefixtures("old_and_new")
def test_pruning_keeps_the_chain_whole() -> None:
    """Old records go, the pruning is on record, and what is left is verified from behind them."""
    assert prune("2021-01-01") == "3 records were pruned.\n"
    assert [row.sequence for row in AccessRecord.objects.order_by("sequence")] == [4, 5, 6]
    newest = AccessRecord.objects.get(sequence=6)
    assert (newest.action, newest.outcome[:17]) == ("prune", "before 2021-01-01")
    assert broken_at() is None
    assert prune("2021-01-01") == "0 records were pruned.\n"
    record()
    sql(f"DELETE FROM {TABLE} WHERE sequence = 4")
    assert broken_at() == (4, "Record 4 is missing.")


@pytest.mark.usefixtures("old_and_new")
def test_everything_may_be_pruned() -> None:
    """The record of it is what is left."""
    assert prune("2999-01-01T00:00:00+00:00") == "5 records were pruned.\n"
    assert AccessRecord.objects.get().action == "prune"
    assert broken_at() is None


@pytest.mark.usefixtures("old_and_new")
def test_what_is_broken_is_not_pruned_away() -> None:
    """Or pruning would cover the traces. Put back what was pruned, and it shows."""
    kept = AccessRecord.objects.get(sequence=2)
    sql(f"UPDATE {TABLE} SET username = 'somebody else' WHERE sequence = 2")
    with pytest.raises(CommandError, match=r"Record 2 was changed.*Run vault_check"):
        prune("2021-01-01")
    assert AccessRecord.objects.count() == 5
    kept.save()
    prune("2021-01-01")
    kept.save(force_insert=True)
    assert broken_at() == (2, "Record 2 is one that was pruned: somebody put it back.")


@pytest.mark.parametrize(
    "arguments", [[], ["--prune"], ["--prune", "--before", "soon"], ["--export", "--prune"]]
)
def test_the_command_says_what_it_wants(arguments: list[str]) -> None:
    """One of the two, and a date to prune."""
    with pytest.raises(CommandError):
        call_command("vault_access_records", *arguments)


def test_export() -> None:
    """One line of JSON for each record, the oldest first, with all that is under its HMAC."""
    record(2)
    out = StringIO()
    call_command("vault_access_records", "--export", stdout=out)
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [line["sequence"] for line in lines] == [1, 2]
    for line, stored in zip(lines, AccessRecord.objects.order_by("sequence"), strict=True):
        assert datetime.fromisoformat(line["at"]) == as_moment(stored.at)
    assert lines[0] | {"at": ""} == {
        **dict.fromkeys(COLUMNS, ""),
        "at": "",
        "sequence": 1,
        "action": "reveal",
        "user_pk": "7",
        "reason": "a call",
        "previous": "",
        "mac": lines[1]["previous"],
    }


def make_role(name: str, *grants: str) -> None:
    sql(f"DROP ROLE IF EXISTS {name}")
    sql(f"CREATE ROLE {name}")
    for grant in grants:
        sql(f"GRANT {grant} TO {name}")


def test_database_permissions_that_let_append_only() -> None:
    """With the grants of the documentation the application appends, and can change and delete nothing."""
    if connection.vendor != "postgresql":
        pytest.skip("roles are tried on PostgreSQL")
    record()
    make_role(
        "vault_clinic",
        f"SELECT, INSERT ON {TABLE}",
        "SELECT, UPDATE ON django_workos_vault_accesschain",
        "SELECT ON django_workos_vault_indexkeyrecord",
        "USAGE ON ALL SEQUENCES IN SCHEMA public",
    )
    sql("SET LOCAL ROLE vault_clinic")
    record(2)
    refused: list[Callable[[], Any]] = [
        lambda: sql(f"DELETE FROM {TABLE}"),
        lambda: sql(f"UPDATE {TABLE} SET reason = ''"),
        lambda: sql("DELETE FROM django_workos_vault_accesschain"),
    ]
    for attempt in refused:
        with pytest.raises(Exception, match="permission denied"), transaction.atomic():
            attempt()
    assert broken_at() is None
    sql("RESET ROLE")
