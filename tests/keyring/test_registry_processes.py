"""The registry under real processes that race for it, on a database server."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection, connections, transaction

from django_workos_vault import vaults
from django_workos_vault.context import KeyContext
from django_workos_vault.models import DataKeyRecord
from tests.app.models import Person

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor == "sqlite", reason="one writer at a time: no race to decide"),
]

CLINIC = KeyContext({"app": "clinic"})

SET_UP = """
import json, os, signal, sys
import django
from django.conf import settings
options = json.loads(sys.argv[1])
settings.DATABASES["default"]["NAME"] = options["database"]
settings.WORKOS_VAULTS["default"]["DATA_KEYS"] = options["data_keys"]
django.setup()
from django.db import transaction
from django_workos_vault.context import KeyContext
from django_workos_vault import vaults
from tests.app.models import Person
ring = vaults["default"].keyring
print("ready", flush=True)
sys.stdin.readline()
"""

SEAL = """
context = KeyContext({"app": "clinic"})
with transaction.atomic():
    commitments = [ring.sealing_key(context).commitment.hex() for _ in range(options["messages"])]
print(json.dumps([commitments, ring.stats().requests]), flush=True)
"""

ROLL_BACK_AND_GO_ON = """
try:
    with transaction.atomic():
        Person.objects.create(ssn="1")
        raise ZeroDivisionError
except ZeroDivisionError:
    pass
Person.objects.create(ssn="2")
print(json.dumps(ring.stats().keys_created), flush=True)
"""

DIE_INSIDE = """
with transaction.atomic():
    Person.objects.create(ssn="1")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def race(processes: int, messages: int, **data_keys: Any) -> list[tuple[list[str], int]]:
    """Have that many processes seal that many messages each at once; return keys used and requests made."""
    return answers(started(SEAL, processes, messages=messages, data_keys=data_keys))


def started(work: str, processes: int = 1, **options: Any) -> list[subprocess.Popen[str]]:
    """Start processes on this database that do ``work`` as soon as they read a line, and let them begin."""
    options["database"] = connection.settings_dict["NAME"]
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", SET_UP + work, json.dumps(options)],
            env=os.environ | {"DJANGO_SETTINGS_MODULE": "tests.settings"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(processes)
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("\n")
        worker.stdin.flush()
    return workers


def answers(workers: list[subprocess.Popen[str]]) -> list[Any]:
    """Wait until the processes have ended, and return what each printed last."""
    return [json.loads(worker.communicate(timeout=60)[0]) for worker in workers]


def test_racing_processes_end_up_with_one_key() -> None:
    """Of processes that make the first key of a context at once one wins, and all seal with the winner's."""
    results = race(4, 5)
    assert len({commitment for commitments, _ in results for commitment in commitments}) == 1
    assert DataKeyRecord.objects.count() == 1
    assert all(requests <= 2 for _, requests in results)


def test_message_budget_holds_across_processes() -> None:
    """Together, processes never seal more messages with one key than max_messages."""
    results = race(4, 30, max_messages=16)
    used = Counter(commitment for commitments, _ in results for commitment in commitments)
    assert sum(used.values()) == 120
    assert max(used.values()) <= 16
    assert all(record.messages <= 16 for record in DataKeyRecord.objects.all())


def test_open_transaction_holds_no_registry_lock() -> None:
    """While one process makes a key in a long transaction, others get theirs without waiting for its end."""
    ring = vaults["default"].keyring
    with transaction.atomic():
        mine = ring.sealing_key(CLINIC).commitment.hex()
        results = race(2, 3)
        assert {commitment for commitments, _ in results for commitment in commitments} == {mine}


def test_rollback_takes_no_record_away() -> None:
    """A record made in a transaction that rolls back stays: other processes may use it already."""
    ring = vaults["default"].keyring
    try:
        with transaction.atomic():
            Person.objects.create(ssn="1")
            mine = ring.sealing_key(CLINIC).commitment.hex()
            raise ZeroDivisionError
    except ZeroDivisionError:
        pass
    assert Person.objects.count() == 0
    assert DataKeyRecord.objects.filter(commitment=mine).exists()


@pytest.mark.parametrize("envelope", ["inline", "reference"])
def test_process_goes_on_with_a_key_that_it_made_in_a_rolled_back_transaction(envelope: str) -> None:
    """What it commits afterwards, under the key that it still has in memory, opens in other processes."""
    (keys_made,) = answers(started(ROLL_BACK_AND_GO_ON, data_keys={"envelope": envelope}))
    assert keys_made == 1
    assert DataKeyRecord.objects.count() == 1
    assert [person.ssn for person in Person.objects.all()] == ["2"]
    assert vaults["default"].stats().keys_unwrapped == 1


def test_process_that_dies_inside_its_transaction_leaves_a_key_to_the_others() -> None:
    """Its row is gone and its key's record is not: what others wrote with that key meanwhile still opens."""
    (worker,) = started(DIE_INSIDE, data_keys={})
    assert worker.wait(60) == -signal.SIGKILL
    worker.communicate()
    assert Person.objects.count() == 0
    Person.objects.create(ssn="2")
    assert vaults["default"].stats().keys_created == 0
    assert DataKeyRecord.objects.count() == 1


@pytest.mark.skipif(connection.vendor != "postgresql", reason="asks PostgreSQL who waits for a lock")
def test_processes_that_lease_the_rest_of_a_budget_at_once_share_it() -> None:
    """Each has read how much is left when the first of them takes it; the others are not given it again."""
    ring = vaults["default"].keyring
    mine = ring.sealing_key(CLINIC).commitment.hex()  # leases 1,024 messages of 2,000
    with transaction.atomic():
        DataKeyRecord.objects.select_for_update().get()
        workers = started(SEAL, 3, messages=700, data_keys={"max_messages": 2000})
        while _waiting_for_a_lock() < 3:
            assert all(worker.poll() is None for worker in workers)
            time.sleep(0.01)
    used = Counter(commitment for commitments, _ in answers(workers) for commitment in commitments)
    assert sum(used.values()) == 2100
    assert 0 < used[mine] <= 2000 - 1024
    assert DataKeyRecord.objects.get(commitment=mine).messages == 2000


def _waiting_for_a_lock() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_clear_snapshot()")  # or a transaction sees the same answer all along
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return int(cursor.fetchone()[0])


@pytest.mark.parametrize("ends", ["commit", "rollback"])
def test_the_first_index_key_in_an_open_transaction_holds_nobody_up(ends: str) -> None:
    """Others use it at once, and it is there however that transaction ends."""

    def of_another_process() -> bytes:
        try:
            vaults.reset()
            return vaults["default"].index_keys.key(1, b"x")
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as thread, transaction.atomic():
        Person.objects.create(ssn="1")
        mine = vaults["default"].index_keys.key(1, b"x")
        assert thread.submit(of_another_process).result(30) == mine
        assert vaults["default"].index_keys.key(1, b"x") == mine
        transaction.set_rollback(ends == "rollback")
    vaults.reset()
    assert vaults["default"].index_keys.key(1, b"x") == mine
    assert Person.objects.count() == (ends == "commit")
