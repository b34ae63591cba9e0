"""Django's connection pool on PostgreSQL: who holds one of its connections needs no second one."""

from typing import Any

import pytest
from django.db import connection

from tests.keyring.test_registry_processes import answers, started

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(
        connection.vendor != "postgresql", reason="Django pools connections to PostgreSQL alone"
    ),
]

THREADS_IN_TRANSACTIONS = """
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from django.db import connection, connections
from tests.app.models import Account, Credential
connections.settings["default"]["OPTIONS"] = {"pool": options["pool"]}
del connections["default"]
size = options["pool"]["max_size"]
connection.pool.open(wait=True, timeout=30)
all_hold_one = Barrier(size, timeout=30)

def request(number):
    try:
        with transaction.atomic():
            list(Person.objects.all())
            all_hold_one.wait()
            context = KeyContext({"org": str(number % options["contexts"])})
            commitment = ring.sealing_key(context).commitment.hex()
            Person.objects.create(ssn=str(number))
            Account.objects.create(login=str(number))
            Credential.objects.create(token=str(number))
            all_hold_one.wait()  # nobody's end of a transaction helps another
            return commitment
    finally:
        connections.close_all()

with ThreadPoolExecutor(size) as threads:
    commitments = list(threads.map(request, range(size)))
stats = connection.pool.get_stats()
rows = Person.objects.count()
connections.close_all()
connection.close_pool()
waits = [stats.get(name, 0) for name in ("requests_queued", "requests_errors")]
print(json.dumps([commitments, rows, *waits]), flush=True)
"""


@pytest.mark.parametrize(
    ("contexts", "envelope"), [(1, "inline"), (2, "inline"), (4, "inline"), (4, "reference")]
)
def test_four_transactions_on_a_pool_of_four(contexts: int, envelope: str) -> None:
    """With cold keys each of them gets its key at once, and none waits for a connection."""
    pool: dict[str, Any] = {"min_size": 4, "max_size": 4, "timeout": 30}
    (answer,) = answers(
        started(THREADS_IN_TRANSACTIONS, pool=pool, contexts=contexts, data_keys={"envelope": envelope})
    )
    commitments, rows, queued, errors = answer
    assert len(set(commitments)) == contexts
    assert (rows, queued, errors) == (4, 0, 0)
