"""Few keys: shared between processes, replaced when they are old or used up."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_workos_vault.backends.local import LocalVault
from django_workos_vault.datakey import DataKey
from django_workos_vault.exceptions import (
    VaultPermissionDenied,
)
from django_workos_vault.models import DataKeyRecord
from tests.clock import Clock
from tests.keyring.rings import CLINIC, MASTER_KEY, cipher_of, make_ring

pytestmark = pytest.mark.django_db


def test_one_key_is_shared_by_the_rings_of_many_processes() -> None:
    """A second ring, as of another process, seals with the key that the first one registered."""
    first, second = make_ring(), make_ring()
    assert first.sealing_key(CLINIC).commitment == second.sealing_key(CLINIC).commitment
    assert DataKeyRecord.objects.count() == 1


def test_key_is_replaced_when_it_is_old() -> None:
    """After rotate_after the next write makes another key, and the old one still opens."""
    clock = Clock()
    ring = make_ring(clock=clock, rotate_after=timedelta(days=30))
    cell = cipher_of(ring).seal(b"old", CLINIC)
    old = ring.sealing_key(CLINIC)
    DataKeyRecord.objects.update(created_at=DataKeyRecord.objects.get().created_at - timedelta(days=31))
    clock.now += timedelta(days=30).total_seconds()
    assert ring.sealing_key(CLINIC).commitment != old.commitment
    assert cipher_of(ring).open(cell) == b"old"
    assert list(DataKeyRecord.objects.values_list("generation", flat=True).order_by("generation")) == [1, 2]


@pytest.mark.django_db(transaction=True)
def test_key_in_memory_is_replaced_when_it_is_old() -> None:
    """A key that is still cached, and has messages left, is not written with beyond rotate_after either."""
    clock = Clock()
    ring = make_ring(clock=clock, rotate_after=timedelta(minutes=1), cache_ttl=timedelta(hours=1))
    old = ring.sealing_key(CLINIC)
    DataKeyRecord.objects.update(created_at=DataKeyRecord.objects.get().created_at - timedelta(minutes=1))
    clock.now += 59
    assert ring.sealing_key(CLINIC) is old
    clock.now += 1
    assert ring.sealing_key(CLINIC) is not old
    assert ring.stats().keys_created == 2


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("limit", [1, 3, 1500])
def test_no_key_seals_more_than_max_messages(limit: int) -> None:
    """A key seals exactly max_messages values, also when the last lease is cut short; then comes another."""
    ring = make_ring(max_messages=limit)
    commitments = [ring.sealing_key(CLINIC).commitment for _ in range(limit + 1)]
    assert set(commitments[:limit]) == {commitments[0]}
    assert commitments[limit] != commitments[0]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("limit", [1, 3, 1500])
@pytest.mark.parametrize("asked", [1, 2, 1024, 1025, 4000])
def test_no_key_seals_more_than_max_messages_at_once(limit: int, asked: int) -> None:
    """Who asks for many messages gets at least one, and of each key never more than it has."""
    ring = make_ring(max_messages=limit)
    used: Counter[bytes] = Counter()
    turns = 0
    while used.total() < 4000 and turns < 20:
        key, granted = ring.sealing_key_for(CLINIC, asked)
        assert 1 <= granted <= asked
        used[key.commitment] += granted
        turns += 1
    assert max(used.values()) <= limit
    assert ring.stats().sealed == used.total()


@pytest.mark.django_db(transaction=True)
def test_messages_taken_at_once_are_none_of_anothers() -> None:
    """Threads that take them one by one and by the hundred share one budget."""
    ring = make_ring(max_messages=10_000)
    ring.sealing_key(CLINIC)
    budget = ring.budgets.get(CLINIC.digest)
    assert budget is not None
    budget.granted = 5000
    with ThreadPoolExecutor(8) as pool:
        many = [pool.submit(budget.take_up_to, 100) for _ in range(40)]
        single = [pool.submit(budget.take) for _ in range(2000)]
    taken = sum(each.result() for each in many) + sum(each.result() for each in single)
    assert taken <= 4999
    assert budget.exhausted


def test_refreshing_a_key_takes_no_further_lease() -> None:
    """A cache that expires every few minutes does not eat a key's message budget up."""
    clock = Clock()
    ring = make_ring(clock=clock, cache_ttl=timedelta(minutes=5))
    for _ in range(20):
        ring.sealing_key(CLINIC)
        clock.now += 301
    assert ring.stats().leases == 1
    assert DataKeyRecord.objects.get().messages == 1024


def test_leases_grow_with_what_is_written() -> None:
    """A process that writes much asks the registry less and less often."""
    ring = make_ring()
    for _ in range(1024 + 4096 + 1):
        ring.sealing_key(CLINIC)
    assert ring.stats().leases == 3
    assert DataKeyRecord.objects.get().messages == 1024 + 4096 + 16384


@pytest.mark.django_db(transaction=True)
def test_warm_keys_cost_no_query_and_no_request() -> None:
    """Once a key is in memory and its record committed, sealing and opening ask nobody."""
    ring = make_ring()
    cipher = cipher_of(ring)
    cell = cipher.seal(b"x", CLINIC)
    requests = ring.stats().requests
    with CaptureQueriesContext(connection) as queries:
        for _ in range(50):
            assert cipher.open(cell) == b"x"
            cipher.seal(b"x", CLINIC)
    assert ring.stats().requests == requests
    assert not queries.captured_queries


class EncryptOnly(LocalVault):
    """A vault whose API key may make data keys and nothing else."""

    def decrypt_data_key(self, wrapped: bytes) -> DataKey:
        self._count_request()
        raise VaultPermissionDenied("This API key may not decrypt.")


def test_encrypt_only_process_makes_keys_and_never_unwraps() -> None:
    """Without the right to decrypt, a process seals under keys of its own, which others open."""
    clock = Clock()
    other = make_ring()
    other.sealing_key(CLINIC)
    ring = make_ring(EncryptOnly(master_key=MASTER_KEY), clock)
    cells = []
    for _ in range(3):
        cells.append(cipher_of(ring).seal(b"x", CLINIC))
        clock.now += 301
    assert ring.stats().keys_created == 3
    assert ring.stats().requests == 3 + 1  # it tried to unwrap once
    assert [cipher_of(other).open(cell) for cell in cells] == [b"x"] * 3
