"""The record of a key that a rollback undid is written again, whoever writes others at that moment."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection, connections, transaction

from django_workos_vault.keyring.records import Addition, KeyRecord, Lease
from django_workos_vault.models import DataKeyRecord
from django_workos_vault.registry import DatabaseRegistry
from django_workos_vault.registry.destruction import destroy_keys
from tests.keyring.rings import CLINIC, make_ring

registry = DatabaseRegistry("default")


def key(number: int, generation: int = 1) -> KeyRecord:
    return KeyRecord(
        bytes([number] * 32), bytes(32), f"key_{number}", b"wrapped", datetime.now(UTC), generation
    )


def restored(record: KeyRecord) -> Lease:
    return registry.restore(CLINIC, record, 10, with_record=True)


def elsewhere(work: Callable[[], Any]) -> Any:
    """Do it in another thread, on a connection of its own."""

    def done() -> Any:
        try:
            return work()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(done).result()


@contextmanager
def after_each_look_at_the_newest(*works: Callable[[], Any]) -> Iterator[None]:
    left = list(works)

    def watch(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        result = execute(sql, params, many, context)
        if left and sql.startswith("SELECT") and "generation" in sql:
            elsewhere(left.pop(0))
        return result

    with connection.execute_wrapper(watch):
        yield
    assert not left


def generations() -> dict[str, tuple[int, int]]:
    return {row.key_id: (row.generation, row.messages) for row in DataKeyRecord.objects.all()}


@pytest.mark.django_db(transaction=True)
def test_others_take_each_generation_first() -> None:
    """It comes behind them in the end."""
    registry.add([Addition(CLINIC, key(2), 10)])
    with after_each_look_at_the_newest(
        lambda: registry.add([Addition(CLINIC, key(3, 2), 10)]),
        lambda: registry.add([Addition(CLINIC, key(4, 3), 10)]),
    ):
        assert restored(key(1)).with_record
    assert generations() == {"key_2": (1, 10), "key_3": (2, 10), "key_4": (3, 10), "key_1": (4, 10)}


@pytest.mark.django_db(transaction=True)
def test_two_threads_write_the_same_record_again() -> None:
    """One of them inserts it, the messages of both are counted, and neither calls Vault's answer forged."""
    registry.add([Addition(CLINIC, key(2), 10)])
    leases = []
    with after_each_look_at_the_newest(lambda: leases.append(restored(key(1)))):
        leases.append(restored(key(1)))
    assert [(lease.messages, lease.with_record) for lease in leases] == [(10, True), (10, False)]
    assert generations() == {"key_2": (1, 10), "key_1": (2, 20)}


@pytest.mark.django_db(transaction=True)
def test_many_threads_at_once() -> None:
    """Nothing is lost of what each was given."""
    registry.add([Addition(CLINIC, key(9), 10)])

    def work(number: int) -> Lease:
        try:
            return restored(key(number % 3))
        finally:
            connections.close_all()

    with ThreadPoolExecutor(6) as threads:
        leases = list(threads.map(work, range(24)))
    assert sum(lease.with_record for lease in leases) == 3
    assert {name: messages for name, (_, messages) in generations().items()} == {
        "key_9": 10,
        "key_0": 80,
        "key_1": 80,
        "key_2": 80,
    }


@pytest.mark.django_db
def test_a_record_that_another_thread_wrote_does_not_come_back_once_it_is_destroyed() -> None:
    """A rollback takes this thread's messages, not the record: what is gone after that was destroyed."""
    ring = make_ring()
    with suppress(ZeroDivisionError), transaction.atomic():
        ring.sealing_key(CLINIC)
        raise ZeroDivisionError
    budget = ring.budgets.get(CLINIC.digest)
    assert budget is not None
    restored(replace(budget.record))
    with suppress(ZeroDivisionError), transaction.atomic():
        ring.sealing_key(CLINIC)
        raise ZeroDivisionError
    destroy_keys(CLINIC, ["default"])
    assert ring.sealing_key(CLINIC).commitment != budget.commitment
    assert DataKeyRecord.objects.get().commitment != budget.commitment.hex()
