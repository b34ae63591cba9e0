"""One request and one key for many threads, tasks and forked processes."""

import asyncio
import json
import os
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.core.exceptions import SynchronousOnlyOperation
from django.db import connection, connections

from django_workos_vault import vaults
from django_workos_vault.emulator import RunningEmulator
from django_workos_vault.exceptions import (
    WouldBlockEventLoop,
)
from django_workos_vault.fields import aload_keys
from tests.app.models import Person
from tests.keyring.rings import CLINIC, Client, cipher_of, emulated, make_ring, sealed_without_database

pytestmark = pytest.mark.django_db


def test_threads_share_one_request(vault_emulator: RunningEmulator, client: Client) -> None:
    """Threads that need the same unknown key at once make one request."""
    cell = cipher_of(make_ring(client())).seal(b"x", CLINIC)
    ring = make_ring(client())
    vault_emulator.faults.latency = 0.2
    together = threading.Barrier(8)

    def read(_: int) -> bytes:
        together.wait()
        return cipher_of(ring).open(cell)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(read, range(8))) == [b"x"] * 8
    assert ring.stats().requests == 1


@pytest.mark.django_db(transaction=True)
def test_threads_make_one_key(vault_emulator: RunningEmulator, client: Client) -> None:
    """Threads that write the first values of a context at once make one key, not one each."""
    ring = make_ring(client())
    vault_emulator.faults.latency = 0.2
    together = threading.Barrier(8)

    def write(_: int) -> bytes:
        together.wait()
        try:
            return ring.sealing_key(CLINIC).commitment
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(write, range(8)))) == 1
    assert ring.stats().requests == ring.stats().keys_created == 1


async def test_tasks_share_one_request_and_the_loop_goes_on(
    vault_emulator: RunningEmulator, client: Client
) -> None:
    """Tasks that need the same unknown key make one request, while other tasks run."""
    loop = asyncio.get_running_loop()
    sealer = make_ring(client(), envelope="inline")
    cell = await asyncio.to_thread(sealed_without_database, sealer)
    ring = make_ring(client())
    cipher = cipher_of(ring)
    vault_emulator.faults.latency = 0.5
    turns = 0

    async def tick() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0.005)

    ticking = loop.create_task(tick())
    await asyncio.gather(*(cipher.aload_keys([cell]) for _ in range(5)))
    ticking.cancel()
    assert cipher.open(cell) == b"x"
    assert ring.stats().requests == 1
    assert turns > 2  # one before the wait, and one after it, would be had by blocking too


async def test_cancelling_one_of_them_leaves_the_others_their_key(
    vault_emulator: RunningEmulator, client: Client
) -> None:
    """Cancelling the task that asked does not fail those that wait for its answer."""
    cell = await asyncio.to_thread(sealed_without_database, make_ring(client()))
    ring = make_ring(client())
    cipher = cipher_of(ring)
    vault_emulator.faults.latency = 0.2
    first = asyncio.ensure_future(cipher.aload_keys([cell]))
    await asyncio.sleep(0)
    second = asyncio.ensure_future(cipher.aload_keys([cell]))
    await asyncio.sleep(0.05)
    first.cancel()
    await second
    assert cipher.open(cell) == b"x"


async def test_reading_a_cold_key_in_a_running_loop_says_what_to_await(
    vault_emulator: RunningEmulator, client: Client
) -> None:
    """A synchronous read that would block the loop is an error that names the await helper."""
    cell = await asyncio.to_thread(sealed_without_database, make_ring(client()))
    cipher = cipher_of(make_ring(client()))
    with pytest.raises(WouldBlockEventLoop, match="await aload_keys") as caught:
        cipher.open(cell)
    assert isinstance(caught.value, SynchronousOnlyOperation)
    await cipher.aload_keys([cell])
    assert cipher.open(cell) == b"x"


async def test_the_guard_is_switched_off_as_djangos_is(
    vault_emulator: RunningEmulator, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a notebook, say, where a loop is always running."""
    cell = await asyncio.to_thread(sealed_without_database, make_ring(client()))
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    assert cipher_of(make_ring(client())).open(cell) == b"x"


async def test_local_vault_may_be_read_in_a_running_loop() -> None:
    """Where no network has to be waited for, there is nothing to complain about."""
    ring = make_ring()
    cell = await asyncio.to_thread(sealed_without_database, ring)
    ring.cache.clear()
    assert cipher_of(ring).open(cell) == b"x"


@pytest.mark.django_db(transaction=True)
async def test_async_orm_never_blocks_on_cold_keys(vault_emulator: RunningEmulator, settings: Any) -> None:
    """Queries work with cold keys, values_list() too; aload_keys() makes reading possible."""
    with emulated(vault_emulator, settings):
        await Person(ssn="123-45-6789").asave()
        vaults["default"].keyring.forget()
        person = await Person.objects.aget()
        await person.asave()
        people = [person async for person in Person.objects.aiterator()]
        with pytest.raises(WouldBlockEventLoop):
            _ = people[0].ssn
        await aload_keys(people)
        assert people[0].ssn == "123-45-6789"
        vaults["default"].keyring.forget()
        found = Person.objects.all()
        await aload_keys(found)
        assert [person.ssn for person in found] == ["123-45-6789"]
        vaults["default"].keyring.forget()
        assert [ssn async for ssn in Person.objects.values_list("ssn", flat=True)] == ["123-45-6789"]
    await sync_to_async(connections.close_all)()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_forked_process_takes_no_lease_over() -> None:
    """A child has its parent's keys but none of its budget, and its own sweeper and counters."""
    ring = make_ring()
    cipher = cipher_of(ring)
    cell = cipher.seal(b"x", CLINIC)
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            report = {
                "opened": cipher.open(cell).decode(),
                "requests": ring.stats().keys_unwrapped,
                "budget": ring.budgets.get(CLINIC.digest) is not None,
                "sweepers": sum(t is ring.cache._sweeper for t in threading.enumerate()),
            }
            os.write(write_end, json.dumps(report).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    report = json.loads(os.read(read_end, 1000))
    assert report == {"opened": "x", "requests": 0, "budget": False, "sweepers": 1}
    assert ring.budgets.get(CLINIC.digest) is not None
    assert cipher.open(cell) == b"x"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.django_db(transaction=True)
def test_forked_processes_keep_the_message_budget() -> None:
    """A parent that holds a lease and its children never seal more with one key, together, than it allows."""
    ring = make_ring(max_messages=1500)
    commitments = [ring.sealing_key(CLINIC).commitment.hex() for _ in range(20)]
    connections.close_all()
    children = []
    for _ in range(3):
        read_end, write_end = os.pipe()
        children.append((os.fork(), read_end))
        if children[-1][0] == 0:
            try:
                used = Counter(ring.sealing_key(CLINIC).commitment.hex() for _ in range(1010))
                os.write(write_end, json.dumps([used, ring.stats().sealed]).encode())
            finally:
                os._exit(0)
        os.close(write_end)
    used = Counter(commitments) + Counter(ring.sealing_key(CLINIC).commitment.hex() for _ in range(1010))
    for child, read_end in children:
        theirs, sealed = json.loads(os.read(read_end, 10000))
        assert sealed == 1010
        used += Counter(theirs)
        os.close(read_end)
        os.waitpid(child, 0)
    assert sum(used.values()) == 20 + 4 * 1010
    assert max(used.values()) <= 1500
