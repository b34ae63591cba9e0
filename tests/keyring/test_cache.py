"""Keys in memory: warm ones cost nothing, expired ones are gone."""

from datetime import timedelta

import pytest

from django_workos_vault.context import KeyContext
from tests.clock import Clock
from tests.keyring.rings import CLINIC, cipher_of, loaded_keys_alive, make_ring

pytestmark = pytest.mark.django_db


@pytest.mark.django_db(transaction=True)
def test_expired_key_is_not_used() -> None:
    """After cache_ttl a key is asked for again, for opening and for sealing."""
    clock = Clock()
    ring = make_ring(clock=clock, cache_ttl=timedelta(seconds=60))
    cipher = cipher_of(ring)
    cell = cipher.seal(b"x", CLINIC)
    clock.now += 61
    cipher.open(cell)
    assert ring.stats().keys_unwrapped == 1
    clock.now += 61
    cipher.seal(b"x", CLINIC)
    assert ring.stats().keys_unwrapped == 2


def test_expired_keys_leave_an_idle_process() -> None:
    """Nobody has to use the ring for a key to leave memory, and nothing keeps it."""
    alive = loaded_keys_alive()
    ring = make_ring(cache_ttl=timedelta(milliseconds=30))
    cipher = cipher_of(ring)
    cipher.open(cipher.seal(b"x", CLINIC))
    while ring.cache._sweeper is not None:
        ring.cache._sweeper.join(5)
    assert ring.stats().keys_cached == 0
    assert loaded_keys_alive() == alive


def test_cache_size_bounds_the_keys_in_memory() -> None:
    """However many organizations are read and written, no more than cache_size keys are held."""
    alive = loaded_keys_alive()
    ring = make_ring(cache_size=3)
    cipher = cipher_of(ring)
    cells = [cipher.seal(b"x", KeyContext({"org": str(n)})) for n in range(10)]
    assert [cipher.open(cell) for cell in cells] == [b"x"] * 10
    assert ring.stats().keys_cached == 3
    assert loaded_keys_alive() - alive == 3


def test_forgotten_keys_are_gone() -> None:
    """After forget() no object holds a key."""
    alive = loaded_keys_alive()
    ring = make_ring()
    cipher = cipher_of(ring)
    cipher.open(cipher.seal(b"x", CLINIC))
    ring.forget()
    assert loaded_keys_alive() == alive
