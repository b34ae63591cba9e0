"""``vault_forget`` while others write for the customer: no destroyed key comes back."""

import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from threading import Event
from typing import Any

import pytest
from django.db import OperationalError, connection, connections, transaction

from django_workos_vault import conf, vaults
from django_workos_vault.context import KeyContext
from django_workos_vault.exceptions import WrongKey
from django_workos_vault.keyring.records import Addition, Lease
from django_workos_vault.models import DataKeyRecord
from django_workos_vault.registry.data_keys import DatabaseRegistry
from django_workos_vault.registry.rows import key_record
from django_workos_vault.vault import Vault
from tests.app.models import Organization, Patient
from tests.maintenance.forgetting.forgetting import (
    CONTEXT,
    customer,
    forget,
    opens,
    seal_everything,
    vault_of,
)

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

MINE = KeyContext({"organization_id": "org_1"})


class Process:
    """Another process: a vault of its own, with its own keys in memory."""

    def __init__(self) -> None:
        self.vault = Vault(conf.vault_settings("default"))
        self.cipher = self.vault.cipher("app.Patient.ssn")

    def seal(self) -> bytes:
        return self.cipher.seal(b"123-45-6789", MINE)

    def memory_runs_out(self) -> None:
        self.vault.forget_keys()


def test_a_writer_with_the_key_in_memory() -> None:
    """It seals on until its memory runs out, with a key that nobody has then; afterwards with a new one."""
    with vault_of("reference"):
        writer, reader = Process(), Process()
        cell = writer.seal()
        forget(CONTEXT)
        late = writer.seal()
        assert writer.cipher.open(cell) == writer.cipher.open(late)
        writer.memory_runs_out()
        for sealed in (cell, late):
            for process in (writer, reader):
                with pytest.raises(WrongKey):
                    process.cipher.open(sealed)
        anew = writer.seal()
        assert reader.cipher.open(anew) == b"123-45-6789"
        assert len(forget(CONTEXT)["done"]["data_keys"]) == 1
        assert not DataKeyRecord.objects.filter(key_context=MINE.items).exists()


def test_a_writer_that_lost_a_race_to_a_key_that_is_destroyed() -> None:
    """The other's key is gone when the writer looks for it: its own is taken, and no fault is told."""
    vault, rows = vaults["default"], DataKeyRecord.objects.filter(key_context=MINE.items)
    for _ in range(2):
        vault.rotate(dict(MINE.items))
    second = rows.get(generation=2)
    mine = replace(key_record(second), generation=1)
    second.delete()
    statements: list[str] = []

    def destroyed_meanwhile(execute: Any, sql: str, *args: Any) -> Any:
        lost = statements and statements[-1].startswith("INSERT")
        statements.append(sql)
        if lost and sql.startswith("SELECT"):
            rows.delete()
        return execute(sql, *args)

    with connection.execute_wrapper(destroyed_meanwhile):
        [lease] = DatabaseRegistry("default").add([Addition(MINE, mine, 1)])
    assert isinstance(lease, Lease)
    assert rows.get().commitment == mine.commitment.hex()


@pytest.mark.parametrize("statement", ["INSERT", "DELETE"])
def test_a_deadlock_of_a_writer_and_the_command(statement: str) -> None:
    """Whichever of the two MariaDB takes back does it anew, and neither fails."""
    told = []

    def deadlocked_once(execute: Any, sql: str, *args: Any) -> Any:
        if sql.startswith(statement) and DataKeyRecord._meta.db_table in sql and not told:
            told.append(sql)
            raise OperationalError(1213, "Deadlock found when trying to get lock; try restarting transaction")
        return execute(sql, *args)

    with vault_of("reference"), connection.execute_wrapper(deadlocked_once):
        cell = Process().seal()
        assert len(forget(CONTEXT)["done"]["data_keys"]) == len(told) == 1
        with pytest.raises(WrongKey):
            Process().cipher.open(cell)


def rolled_back(writer: Process) -> bytes:
    """Have it seal in a transaction that is undone."""
    with suppress(ZeroDivisionError), transaction.atomic():
        cell = writer.seal()
        raise ZeroDivisionError
    return cell


@pytest.mark.skipif(connection.vendor != "sqlite", reason="servers write the registry apart")
@pytest.mark.parametrize("made_inside", [True, False])
def test_a_rollback_does_not_bring_a_destroyed_key_back(made_inside: bool) -> None:
    """A process whose lease was undone writes the record again only if that was undone with it."""
    with vault_of("reference"):
        writer = Process()
        if not made_inside:
            writer.seal()
            writer.memory_runs_out()  # so that the next seal takes a lease
        cell = rolled_back(writer)
        forgotten = forget(CONTEXT)["done"]["data_keys"]
        anew = writer.seal()
        known = {commitment for (commitment,) in DataKeyRecord.objects.values_list("commitment")}
        assert not known & {key["commitment"] for key in forgotten}
        assert Process().cipher.open(anew) == b"123-45-6789"
        if not made_inside:
            with pytest.raises(WrongKey, match="destroyed"):
                writer.cipher.secure(cell, "default")


def test_two_at_once() -> None:
    """Both end well, each key is destroyed by one of them, and no other customer loses any."""
    with vault_of("reference"):
        mine, others = seal_everything(customer("org_1")), seal_everything(customer("org_2"))
        for _ in range(5):
            vaults["default"].rotate(dict(MINE.items))

        def run(_: int) -> dict[str, Any]:
            try:
                return forget(CONTEXT)
            finally:
                connections.close_all()

        with ThreadPoolExecutor(2) as threads:
            reports = list(threads.map(run, range(2)))
        destroyed = [key["commitment"] for report in reports for key in report["done"]["data_keys"]]
        assert len(destroyed) == len(set(destroyed)) == 6
        assert all(report["done"]["finished"] for report in reports)
        assert not any(opens(*each) for each in mine[:3])
        assert all(opens(*each) for each in others)


def test_a_writer_at_that_moment() -> None:
    """Rows that are saved while it runs are sealed with a key that it destroys, or that another run does."""
    with vault_of("reference"):
        organization = customer("org_1")
        Patient.objects.create(organization=organization, ssn="123-45-6789")

        def write(number: int) -> Patient:
            try:
                return Patient.objects.create(organization=organization, ssn=f"123-45-{number:04}")
            finally:
                connections.close_all()

        with ThreadPoolExecutor(3) as threads:
            writing = threads.map(write, range(30))
            forget(CONTEXT)
            rows = list(writing)
        last = forget(CONTEXT)
        assert not any(opens(row, "ssn") for row in rows)
        [patients] = last["columns"]
        assert patients["destroyed"] + patients["gone"] == 31


def write_until(done: Event, organization: Organization) -> dict[int, str]:
    """Write for a customer, with new keys and undone transactions in between; return what the rows hold."""
    written = {}
    try:
        while not done.wait(0.002):
            value = f"{random.randrange(10**9)}"
            if random.random() < 0.2:
                vaults["default"].rotate({"organization_id": organization.workos_id})
            with suppress(ZeroDivisionError), transaction.atomic():
                row = Patient.objects.create(organization=organization, ssn=value)
                if random.random() < 0.2:
                    raise ZeroDivisionError
                written[row.pk] = value
    finally:
        connections.close_all()
    return written


def test_writers_of_several_customers_all_the_time() -> None:
    """None fails, the others' rows hold what was written, and the last run leaves no key of this one."""
    with vault_of("reference"):
        organizations = [customer("org_1"), customer("org_2")] * 2
        done = Event()
        with ThreadPoolExecutor(len(organizations)) as threads:
            writing = [threads.submit(write_until, done, each) for each in organizations]
            try:
                reports = [forget(CONTEXT) for _ in range(4)]
            finally:
                done.set()
            written = [each.result() for each in writing]
        assert all(report["done"]["finished"] for report in reports)
        forget(CONTEXT)
        assert not DataKeyRecord.objects.filter(key_context=MINE.items).exists()
        vaults.reset()
        rows = {row.pk: row for row in Patient.objects.all()}
        for organization, values in zip(organizations, written, strict=True):
            assert values
            for pk, value in values.items():
                if organization.workos_id == "org_2":
                    assert rows[pk].ssn == value
                else:
                    with pytest.raises(WrongKey):
                        rows[pk].ssn  # noqa: B018
