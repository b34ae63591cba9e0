"""Waiting for what another thread or task has asked of Vault: it ends, whatever becomes of the other."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest
from django.db import connections

from django_workos_vault.backends.local import LocalVault
from django_workos_vault.cipher import Cipher
from django_workos_vault.context import KeyContext
from django_workos_vault.datakey import DataKey
from django_workos_vault.exceptions import VaultUnavailable
from django_workos_vault.keyring.index_keys import IndexKeys
from django_workos_vault.keyring.policy import DataKeyPolicy
from django_workos_vault.keyring.ring import KeyRing
from django_workos_vault.registry import DatabaseRegistry, DatabaseRootKeys

pytestmark = pytest.mark.django_db(transaction=True)

CLINIC = KeyContext({"app": "clinic"})
PATIENCE = 60  # seconds after which a test gives up: long, for it says nothing about speed


class StuckVault(LocalVault):
    """A user's backend whose first call after ``get_stuck`` returns when the test lets it."""

    answers_at_once = False
    deadline = 0.2

    def __init__(self) -> None:
        super().__init__(master_key=bytes(32))
        self.stuck, self.released = Event(), Event()
        self._next_gets_stuck = False

    def get_stuck(self) -> None:
        self._next_gets_stuck = True

    def _wait(self) -> None:
        if self._next_gets_stuck:
            self._next_gets_stuck = False
            self.stuck.set()
            assert self.released.wait(PATIENCE)

    def decrypt_data_key(self, wrapped: bytes) -> DataKey:
        self._wait()
        return super().decrypt_data_key(wrapped)

    def create_data_key(self, context: Any) -> DataKey:
        self._wait()
        return super().create_data_key(context)

    async def adecrypt_data_key(self, wrapped: bytes) -> DataKey:
        return await asyncio.to_thread(self.decrypt_data_key, wrapped)


@pytest.fixture
def vault() -> Iterator[StuckVault]:
    vault = StuckVault()
    yield vault
    vault.released.set()


@pytest.fixture
def ring(vault: StuckVault) -> KeyRing:
    return KeyRing(
        vault="default", backend=vault, registry=DatabaseRegistry("default"), policy=DataKeyPolicy()
    )


@pytest.fixture
def threads(vault: StuckVault) -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as threads:
        yield threads
        vault.released.set()


def closing(work: Any) -> Any:
    """Run ``work`` and close the connections of the thread it ran in."""
    try:
        return work()
    finally:
        connections.close_all()


def test_readers(vault: StuckVault, ring: KeyRing, threads: ThreadPoolExecutor) -> None:
    """Who waits for a stuck request gets an error at the deadline, and whoever comes then asks anew."""
    cipher = Cipher(ring, "app.Person.ssn")
    cell = cipher.seal(b"x", CLINIC)
    ring.forget()
    vault.get_stuck()
    first = threads.submit(closing, lambda: cipher.open(cell))
    assert vault.stuck.wait(PATIENCE)
    second, third = (threads.submit(closing, lambda: cipher.open(cell)) for _ in range(2))
    for waiting in (second, third):
        error = waiting.exception(PATIENCE)
        assert error is None or isinstance(error, VaultUnavailable)
    assert second.exception() or third.exception()
    assert cipher.open(cell) == b"x"
    assert not first.done()
    vault.released.set()
    assert first.result(PATIENCE) == b"x"
    assert cipher.open(cell) == b"x"


def test_writers(vault: StuckVault, ring: KeyRing, threads: ThreadPoolExecutor) -> None:
    """The same where a key is being made."""
    vault.get_stuck()
    first = threads.submit(closing, lambda: ring.sealing_key(CLINIC).commitment)
    assert vault.stuck.wait(PATIENCE)
    second = threads.submit(closing, lambda: ring.sealing_key(CLINIC))
    assert isinstance(second.exception(PATIENCE), VaultUnavailable)
    mine = ring.sealing_key(CLINIC).commitment
    assert not first.done()
    vault.released.set()
    assert first.result(PATIENCE) == mine  # it lost the race


async def test_tasks(vault: StuckVault, ring: KeyRing) -> None:
    """The same for tasks, while the event loop goes on."""
    cipher = Cipher(ring, "app.Person.ssn")
    cell = await asyncio.to_thread(closing, lambda: cipher.seal(b"x", CLINIC))
    ring.forget()
    vault.get_stuck()
    first = asyncio.ensure_future(cipher.aload_keys([cell]))
    assert await asyncio.to_thread(vault.stuck.wait, PATIENCE)
    await cipher.aload_keys([cell])  # passes over what cannot be had
    assert len(ring.cache) == 0
    await cipher.aload_keys([cell])
    assert cipher.open(cell) == b"x"
    vault.released.set()
    await first
    assert cipher.open(cell) == b"x"


def test_searchers(vault: StuckVault, threads: ThreadPoolExecutor) -> None:
    """The root key of the blind indexes is waited for no longer."""
    keys = IndexKeys(
        vault="default", backend=vault, store=DatabaseRootKeys("default"), context=CLINIC, ttl=300
    )
    wanted = keys.key(1, b"x")
    keys.forget()
    vault.get_stuck()
    first = threads.submit(closing, lambda: keys.key(1, b"x"))
    assert vault.stuck.wait(PATIENCE)
    second = threads.submit(closing, lambda: keys.key(1, b"x"))
    assert isinstance(second.exception(PATIENCE), VaultUnavailable)
    assert keys.key(1, b"x") == wanted
    vault.released.set()
    assert first.result(PATIENCE) == wanted
