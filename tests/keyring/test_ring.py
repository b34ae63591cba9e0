"""The key ring: few keys, few requests, and nothing lost in threads, tasks, forks and rollbacks."""

import asyncio
import gc
import inspect
import json
import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta
from itertools import islice
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.core.exceptions import SynchronousOnlyOperation
from django.db import connection, connections, transaction
from django.test.utils import CaptureQueriesContext

from django_workos_vault import vaults
from django_workos_vault.backends.base import VaultBackend
from django_workos_vault.backends.local import LocalVault
from django_workos_vault.backends.workos import WorkOSVault
from django_workos_vault.cipher import Cipher
from django_workos_vault.context import KeyContext
from django_workos_vault.datakey import DataKey, LoadedKey
from django_workos_vault.emulator import RunningEmulator
from django_workos_vault.envelope import parse, with_key_reference
from django_workos_vault.exceptions import (
    DecryptionForbidden,
    VaultAuthenticationError,
    VaultPermissionDenied,
    VaultUnavailable,
    WouldBlockEventLoop,
    WrongKey,
)
from django_workos_vault.fields import aload_keys, load_keys, stored_cell
from django_workos_vault.keyring.outcomes import REMEMBERED
from django_workos_vault.keyring.policy import DataKeyPolicy
from django_workos_vault.keyring.ring import KeyRing
from django_workos_vault.models import DataKeyRecord
from django_workos_vault.registry import DatabaseRegistry
from tests.app.models import Organization, Patient, Person

pytestmark = pytest.mark.django_db

CLINIC = KeyContext({"app": "clinic"})
MASTER_KEY = b"tests only: this is not a secret"


Client = Callable[..., WorkOSVault]


class Clock:
    """A monotonic clock that a test moves on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def make_ring(
    backend: VaultBackend | None = None, clock: Callable[[], float] | None = None, **policy: Any
) -> KeyRing:
    return KeyRing(
        vault="default",
        backend=backend or LocalVault(master_key=MASTER_KEY),
        registry=DatabaseRegistry("default"),
        policy=DataKeyPolicy(**policy),
        clock=clock or time.monotonic,
    )


def cipher_of(ring: KeyRing) -> Cipher:
    return Cipher(ring, "app.Person.ssn")


@contextmanager
def emulated(emulator: RunningEmulator, settings: Any, **data_keys: Any) -> Iterator[None]:
    """Make ``vaults["default"]`` a client of the emulator."""
    settings.WORKOS_VAULTS = {
        "default": {
            "BACKEND": "django_workos_vault.backends.workos.WorkOSVault",
            "KEY_CONTEXT": {"app": "tests"},
            "DATA_KEYS": data_keys,
            "OPTIONS": {"api_key": emulator.api_key, "base_url": emulator.url},
        }
    }
    yield


@pytest.fixture
def client(vault_emulator: RunningEmulator) -> Iterator[Client]:
    """Return a maker of clients of the emulator, which are closed in the end."""
    made: list[WorkOSVault] = []

    def make(**options: Any) -> WorkOSVault:
        made.append(WorkOSVault(api_key=vault_emulator.api_key, base_url=vault_emulator.url, **options))
        return made[-1]

    yield make
    for vault in made:
        vault.close()


def patients_of(organizations: int, each: int = 1) -> list[Patient]:
    made = Organization.objects.bulk_create(
        Organization(name=str(n), workos_id=f"org_{n}") for n in range(organizations)
    )
    return [Patient(organization=org, ssn="123-45-6789") for org in made for _ in range(each)]


def loaded_keys_alive() -> int:
    gc.collect()
    return sum(isinstance(thing, LoadedKey) for thing in gc.get_objects())


# Few keys


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


# Memory


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


# Outages


def test_grace_serves_expired_keys_only_while_vault_is_unreachable(
    vault_emulator: RunningEmulator, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    """With outage_grace an expired key opens and seals through an outage, and that is logged."""
    clock = Clock()
    ring = make_ring(
        client(deadline=0.5),
        clock,
        cache_ttl=timedelta(seconds=60),
        outage_grace=timedelta(seconds=60),
    )
    cipher = cipher_of(ring)
    cell = cipher.seal(b"x", CLINIC)
    clock.now += 61
    vault_emulator.faults.fail = 1.0
    with caplog.at_level(logging.WARNING, "django_workos_vault"):
        assert cipher.open(cell) == b"x"
        made = ring.stats().requests
        assert cipher.open(cipher.seal(b"y", CLINIC)) == b"y"
    assert ring.stats().requests == made  # the outage is not waited for at every use
    assert ring.stats().outage_uses == 1
    assert "unreachable" in caplog.text
    clock.now += 60
    with pytest.raises(VaultUnavailable):
        cipher.open(cell)
    vault_emulator.faults.fail = 0.0
    ring.backend.forget_outage()
    assert cipher.open(cell) == b"x"


def test_without_grace_an_outage_is_an_error(vault_emulator: RunningEmulator, client: Client) -> None:
    """The default trusts no key beyond its time."""
    clock = Clock()
    ring = make_ring(client(deadline=0.3), clock)
    cell = cipher_of(ring).seal(b"x", CLINIC)
    clock.now += 301
    vault_emulator.faults.fail = 1.0
    with pytest.raises(VaultUnavailable):
        cipher_of(ring).open(cell)


def test_grace_is_for_outages_alone(vault_emulator: RunningEmulator, client: Client) -> None:
    """Where Vault answers, an expired key is asked for, and not used on when the answer is no."""
    clock = Clock()
    ring = make_ring(client(deadline=0.5), clock, outage_grace=timedelta(hours=1))
    cell = cipher_of(ring).seal(b"x", CLINIC)
    clock.now += 301
    assert cipher_of(ring).open(cell) == b"x"
    assert ring.stats().keys_unwrapped == 1
    clock.now += 301
    vault_emulator.revoke("app", "clinic")
    with pytest.raises(WrongKey):
        cipher_of(ring).open(cell)
    clock.now += REMEMBERED
    vault_emulator.faults.fail, vault_emulator.faults.fail_status = 1.0, 401
    with pytest.raises(VaultAuthenticationError):
        cipher_of(ring).open(cell)
    assert ring.stats().outage_uses == 0


def test_a_refused_key_is_asked_for_again_after_a_while(
    vault_emulator: RunningEmulator, client: Client
) -> None:
    """A page of a customer who withdrew the key costs one request, and access given back is noticed."""
    clock = Clock()
    ring = make_ring(client(), clock)
    cell = cipher_of(ring).seal(b"x", CLINIC)
    ring.forget()
    vault_emulator.revoke("app", "clinic")
    before, errors = ring.stats().requests, []
    for _ in range(100):
        with pytest.raises(WrongKey, match="withdrawn") as caught:
            cipher_of(ring).open(cell)
        errors.append(caught.value)
    assert ring.stats().requests - before == 1
    assert len(set(map(id, errors))) == 100  # each with its own traceback
    clock.now += REMEMBERED
    with pytest.raises(WrongKey):
        cipher_of(ring).open(cell)
    assert ring.stats().requests - before == 2


def test_a_changed_blob_is_refused_for_itself_alone(vault_emulator: RunningEmulator, client: Client) -> None:
    """Somebody who spoils the wrapped key of one cell does not stop the others of the same key."""
    ring = make_ring(client())
    cell = cipher_of(ring).seal(b"x", CLINIC)
    ring.forget()
    blob = parse(cell).key_reference
    with pytest.raises(WrongKey):
        cipher_of(ring).open(with_key_reference(cell, blob[:-1] + bytes((blob[-1] ^ 1,))))
    assert cipher_of(ring).open(cell) == b"x"


# Threads, tasks, forks


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
    cell = await asyncio.to_thread(_sealed_without_database, sealer)
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
    cell = await asyncio.to_thread(_sealed_without_database, make_ring(client()))
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
    cell = await asyncio.to_thread(_sealed_without_database, make_ring(client()))
    cipher = cipher_of(make_ring(client()))
    with pytest.raises(WouldBlockEventLoop, match="await aload_keys") as caught:
        cipher.open(cell)
    assert isinstance(caught.value, SynchronousOnlyOperation)
    await cipher.aload_keys([cell])
    assert cipher.open(cell) == b"x"


async def test_local_vault_may_be_read_in_a_running_loop() -> None:
    """Where no network has to be waited for, there is nothing to complain about."""
    ring = make_ring()
    cell = await asyncio.to_thread(_sealed_without_database, ring)
    ring.cache.clear()
    assert cipher_of(ring).open(cell) == b"x"


@pytest.mark.django_db(transaction=True)
async def test_async_orm_never_blocks_on_cold_keys(vault_emulator: RunningEmulator, settings: Any) -> None:
    """asave(), aget() and aiterator() work with cold keys; aload_keys() makes reading possible."""
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
    await sync_to_async(connections.close_all)()


def _sealed_without_database(ring: KeyRing) -> bytes:
    """Return b"x" as a cell, without the registry: another thread would see another transaction."""
    key = LoadedKey(ring.backend.create_data_key(CLINIC.items))
    ring.cache.put(key)
    cipher = cipher_of(ring)
    head = cipher._head(key, 0, b"")
    sealed = key.aead.encrypt(bytes(12), b"x", head.associated_data)
    return head.start + bytes(12) + sealed[-16:] + sealed[:-16]


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


# Batches


def test_reading_a_page_unwraps_its_keys_in_one_round(vault_emulator: RunningEmulator, settings: Any) -> None:
    """1,000 rows of 100 organizations cost 100 requests, sent together with the first value read."""
    with emulated(vault_emulator, settings):
        Patient.objects.bulk_create(patients_of(100, each=10))
        assert vaults["default"].stats().requests == 100
        vaults["default"].keyring.forget()
        before = vaults["default"].stats().requests
        rows = list(Patient.objects.all())
        assert vaults["default"].stats().requests == before  # untouched, a page costs nothing
        _ = rows[0].ssn
        assert vaults["default"].stats().requests == before + 100
        assert {row.ssn for row in rows} == {"123-45-6789"}
        assert vaults["default"].stats().requests == before + 100


def test_keys_of_values_and_iterators_can_be_fetched_together(
    vault_emulator: RunningEmulator, settings: Any
) -> None:
    """load_keys() before values_list() leaves nothing to ask for; rows of iterator() in a list are a page."""
    with emulated(vault_emulator, settings):
        Patient.objects.bulk_create(patients_of(20, each=3))
        ring = vaults["default"].keyring
        ring.forget()
        load_keys(Patient.objects.only("ssn"))
        before = ring.stats()
        assert set(Patient.objects.values_list("ssn", flat=True)) == {"123-45-6789"}
        assert ring.stats().requests == before.requests
        ring.forget()
        rows = Patient.objects.order_by("pk").iterator()
        for _ in range(2):
            portion, before = list(islice(rows, 30)), ring.stats()
            assert portion[0].ssn == "123-45-6789"
            assert ring.stats().requests - before.requests == 10
            assert {row.ssn for row in portion} == {"123-45-6789"}
            assert ring.stats().requests - before.requests == 10


def test_bulk_create_makes_its_missing_keys_together(vault_emulator: RunningEmulator, settings: Any) -> None:
    """A bulk_create() of rows of many organizations asks Vault for all their keys at once."""
    with emulated(vault_emulator, settings):
        rows = patients_of(24, each=2)
        vault_emulator.faults.latency = 0.5
        started = time.monotonic()
        Patient.objects.bulk_create(rows)
        taken = time.monotonic() - started
    assert vaults["default"].stats().keys_created == 24
    assert taken < 24 * 0.5


def test_bulk_create_of_more_organizations_than_the_cache_holds(settings: Any) -> None:
    """A small cache costs a request for each organization, not for each row and organization."""
    settings.WORKOS_VAULTS["default"]["DATA_KEYS"] = {"cache_size": 4}
    vaults.reset()
    try:
        Patient.objects.bulk_create(patients_of(40))
        assert vaults["default"].stats().keys_created == 40
        assert {row.ssn for row in Patient.objects.all()} == {"123-45-6789"}
    finally:
        del settings.WORKOS_VAULTS["default"]["DATA_KEYS"]


def test_keys_that_cannot_be_had_are_searched_for_once(settings: Any) -> None:
    """Cells whose key was withdrawn fail one by one, and do not have their page searched each time."""
    Patient.objects.bulk_create(patients_of(3, each=5))
    vault = vaults["default"]
    backend: Any = vault.backend
    backend.revoke("organization_id", "org_1")
    vault.keyring.forget()
    before = vault.stats().requests
    failed = 0
    for row in Patient.objects.all():
        try:
            assert row.ssn == "123-45-6789"
        except (VaultPermissionDenied, WrongKey):
            failed += 1
    assert failed == 5
    assert vault.stats().requests - before == 3


# Who may open


def test_decryption_forbidden_guards_blocks_functions_and_coroutines() -> None:
    """Inside, opening raises; sealing works; afterwards opening works again."""
    Person.objects.create(ssn="123-45-6789")
    guard = vaults["default"].decryption_forbidden

    with guard():
        Person.objects.create(ssn="987-65-4321")
        with pytest.raises(DecryptionForbidden):
            _ = Person.objects.all()[0].ssn

    @guard()
    def read() -> Any:
        return Person.objects.all()[0].ssn

    with pytest.raises(DecryptionForbidden):
        read()
    assert Person.objects.all()[0].ssn == "123-45-6789"


async def test_decryption_forbidden_holds_while_a_coroutine_runs() -> None:
    """A decorated coroutine function is guarded in its body, not only while it is called."""
    ring = vaults["default"].keyring
    cell = await asyncio.to_thread(_sealed_without_database, ring)

    @vaults["default"].decryption_forbidden()
    async def read() -> bytes:
        await asyncio.sleep(0)
        return cipher_of(ring).open(cell)

    assert inspect.iscoroutinefunction(read)
    with pytest.raises(DecryptionForbidden):
        await read()
    assert cipher_of(ring).open(cell) == b"x"


def test_decryption_forbidden_refuses_generators() -> None:
    """A generator's body would run unguarded, so decorating one is an error."""
    with pytest.raises(TypeError, match="generator"):

        @vaults["default"].decryption_forbidden()
        def rows() -> Iterator[int]:
            yield 1


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


# The registry


def test_record_filed_under_another_context_is_not_used() -> None:
    """Whoever can write the table cannot redirect writes to the key of another organization."""
    mine, other = KeyContext({"org": "1"}), KeyContext({"org": "2"})
    make_ring().sealing_key(mine)
    DataKeyRecord.objects.update(context_digest=other.digest)
    with pytest.raises(WrongKey, match=r"rotate\(key_context\)"):
        make_ring().sealing_key(other)
    ring = make_ring()
    ring.retire(other)
    assert ring.sealing_key(other).commitment != bytes.fromhex(
        DataKeyRecord.objects.earliest("id").commitment
    )


def test_rekeyed_record_is_what_new_cells_carry() -> None:
    """After a rekey, cells carry the new wrapped key, also when an old cell was opened first."""
    ring = make_ring()
    cipher = cipher_of(ring)
    old_cell = cipher.seal(b"x", CLINIC)
    wrapped = ring.backend.rekey_data_key(bytes(DataKeyRecord.objects.get().wrapped), {"app": "new"}).wrapped
    DataKeyRecord.objects.update(wrapped=wrapped)
    fresh = make_ring()
    assert cipher_of(fresh).open(old_cell) == b"x"
    assert wrapped in cipher_of(fresh).seal(b"y", CLINIC)


@pytest.mark.parametrize("envelope", ["inline", "reference"])
def test_rolled_back_record_is_written_again(envelope: str) -> None:
    """A key whose record was rolled back, by a savepoint too, is registered again when it is used."""
    ring = make_ring(envelope=envelope)
    with suppress(ZeroDivisionError), transaction.atomic():
        ring.sealing_key(CLINIC)
        assert DataKeyRecord.objects.count() == 1
        raise ZeroDivisionError
    assert DataKeyRecord.objects.count() == 0
    ring.sealing_key(CLINIC)
    record = DataKeyRecord.objects.get()
    assert record.messages >= 1024
    assert ring.stats().keys_created == 1


def test_rolled_back_lease_is_taken_again() -> None:
    """Messages leased in a transaction that rolled back are leased again before the rest is used."""
    ring = make_ring()
    for _ in range(1024):
        ring.sealing_key(CLINIC)
    with suppress(ZeroDivisionError), transaction.atomic():
        ring.sealing_key(CLINIC)
        assert DataKeyRecord.objects.get().messages == 1024 + 4096
        raise ZeroDivisionError
    assert DataKeyRecord.objects.get().messages == 1024
    ring.sealing_key(CLINIC)
    assert DataKeyRecord.objects.get().messages == 1024 + 4096


@pytest.mark.django_db(transaction=True)
def test_committed_records_are_not_looked_at_again() -> None:
    """Once the creating transaction has committed, using the key costs no query."""
    ring = make_ring()
    with transaction.atomic():
        ring.sealing_key(CLINIC)
    with CaptureQueriesContext(connection) as queries:
        ring.sealing_key(CLINIC)
        ring.sealing_key(CLINIC)
    assert not queries.captured_queries


# Reference envelopes


@pytest.fixture
def _reference(settings: Any) -> None:
    settings.WORKOS_VAULTS = {
        "default": settings.WORKOS_VAULTS["default"] | {"DATA_KEYS": {"envelope": "reference"}}
    }


@pytest.mark.usefixtures("_reference")
def test_reference_cells_are_small_and_open() -> None:
    """A reference cell has at most 80 bytes more than its plaintext, and opens through the registry."""
    Person.objects.create(ssn="123-45-6789", notes="")
    vaults["default"].keyring.forget()
    person = Person.objects.get()
    assert len(stored_cell(person, "ssn")) <= 80 + 11
    assert person.ssn == "123-45-6789"


@pytest.mark.usefixtures("_reference")
@pytest.mark.django_db(transaction=True)
def test_saving_again_after_a_rollback_brings_the_record_along() -> None:
    """A row whose first save was rolled back with its key's record is not stored without that record."""
    person = Person(ssn="123-45-6789")
    with suppress(ZeroDivisionError), transaction.atomic():
        person.save()
        raise ZeroDivisionError
    assert Person.objects.count() == 0
    person.save(force_insert=True)  # the instance still holds the cell sealed back then
    vaults["default"].keyring.forget()
    assert Person.objects.get().ssn == "123-45-6789"


class RegistryInOther:
    """Routes the registry to the database ``other``."""

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return "other" if model is DataKeyRecord else None

    db_for_write = db_for_read


@pytest.mark.usefixtures("_reference")
@pytest.mark.django_db(transaction=True, databases=["default", "other"])
def test_registry_in_another_database_commits_first(settings: Any) -> None:
    """The record survives a rollback of the row's transaction, never the other way round."""
    settings.DATABASE_ROUTERS = [RegistryInOther()]
    with suppress(ZeroDivisionError), transaction.atomic():
        Person.objects.create(ssn="1")
        raise ZeroDivisionError
    assert DataKeyRecord.objects.using("other").count() == 1
    assert Person.objects.count() == 0


@pytest.mark.usefixtures("_reference")
@pytest.mark.django_db(transaction=True, databases=["default", "other"])
def test_cell_never_commits_without_its_record_in_another_database(settings: Any) -> None:
    """Inside a transaction of the registry's database, the record commits apart, or the cell is refused."""
    settings.DATABASE_ROUTERS = [RegistryInOther()]
    try:
        with transaction.atomic(using="other"):
            Person.objects.create(ssn="123-45-6789")
            raise ZeroDivisionError
    except (ZeroDivisionError, WrongKey):
        pass
    vaults["default"].keyring.forget()
    assert [person.ssn for person in Person.objects.all()] == ["123-45-6789"] * Person.objects.count()
    assert Person.objects.count() == (0 if connection.vendor == "sqlite" else 1)


@pytest.mark.skipif(connection.vendor != "sqlite", reason="elsewhere the registry writes apart")
@pytest.mark.django_db(transaction=True)
def test_transaction_does_not_wait_for_a_thread_that_waits_for_it() -> None:
    """On SQLite a thread that makes a key waits for the writer, who must not wait for that key in turn."""
    ring = vaults["default"].keyring

    def write() -> None:
        try:
            Person.objects.create(ssn="2")
        finally:
            connection.close()

    other = threading.Thread(target=write)
    with transaction.atomic():
        Organization.objects.create(name="takes the lock")
        other.start()
        while not ring.rotation.flights._under_way:
            time.sleep(0.001)
        Person.objects.create(ssn="1")
    other.join()
    assert sorted(person.ssn for person in Person.objects.all()) == ["1", "2"]
