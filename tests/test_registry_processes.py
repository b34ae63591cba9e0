"""The registry under real processes that race for it, on a database server."""

import json
import os
import subprocess
import sys
from collections import Counter
from typing import Any

import pytest
from django.db import connection, transaction

from django_workos_vault.context import KeyContext
from django_workos_vault.handler import vaults
from django_workos_vault.models import DataKeyRecord
from tests.app.models import Person

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor == "sqlite", reason="one writer at a time: no race to decide"),
]

CLINIC = KeyContext({"app": "clinic"})

WORKER = """
import json, os, sys
import django
from django.conf import settings
options = json.loads(sys.argv[1])
settings.DATABASES["default"]["NAME"] = options["database"]
settings.WORKOS_VAULTS["default"]["DATA_KEYS"] = options["data_keys"]
django.setup()
from django.db import transaction
from django_workos_vault.context import KeyContext
from django_workos_vault.handler import vaults
ring = vaults["default"].keyring
context = KeyContext({"app": "clinic"})
print("ready", flush=True)
sys.stdin.readline()
with transaction.atomic():
    commitments = [ring.sealing_key(context).commitment.hex() for _ in range(options["messages"])]
print(json.dumps([commitments, ring.stats().requests]), flush=True)
"""


def race(processes: int, messages: int, **data_keys: Any) -> list[tuple[list[str], int]]:
    """Have that many processes seal that many messages each at once; return keys used and requests made."""
    options = json.dumps(
        {
            "database": connection.settings_dict["NAME"],
            "data_keys": data_keys,
            "messages": messages,
        }
    )
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, options],
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
