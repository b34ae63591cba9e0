"""Wrapped keys: each is proven once, a forged one is refused once, and rekeyed cells cause no storm."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.core.management import call_command
from django.db import connection, connections

from django_workos_vault import vaults
from django_workos_vault.backends.batch import CONCURRENCY
from django_workos_vault.backends.local import LocalVault
from django_workos_vault.backends.workos import WorkOSVault
from django_workos_vault.context import KeyContext
from django_workos_vault.datakey import MAX_PROVEN
from django_workos_vault.emulator import RunningEmulator
from django_workos_vault.envelope import parse, with_key_reference
from django_workos_vault.exceptions import VaultPermissionDenied, WrongKey
from django_workos_vault.fields import aload_keys, stored_cell
from django_workos_vault.keyring.outcomes import REMEMBERED
from django_workos_vault.keyring.ring import KeyRing
from django_workos_vault.models import DataKeyRecord
from tests.app.models import Person
from tests.clock import Clock
from tests.keyring.rings import CLINIC, MASTER_KEY, cipher_of, make_ring

pytestmark = [pytest.mark.django_db(databases="__all__"), pytest.mark.usefixtures("outside_of_checkouts")]


def rekeyed(ring: KeyRing, cell: bytes, **context: str) -> bytes:
    wrapped = ring.backend.rekey_data_key(parse(cell).key_reference, context).wrapped
    return with_key_reference(cell, wrapped)


FORGED: dict[str, Callable[[bytes], bytes]] = {
    "flipped": lambda blob: blob[:-1] + bytes([blob[-1] ^ 1]),
    "cut": lambda blob: blob[:-1],
    "longest": lambda blob: blob + bytes(8192 - len(blob)),
    "junk": lambda blob: b"junk",
    "other vault": lambda blob: LocalVault(master_key=b"x" * 32).create_data_key({"app": "clinic"}).wrapped,
    "other key": lambda blob: LocalVault(master_key=MASTER_KEY).create_data_key({"app": "clinic"}).wrapped,
}


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED)
@pytest.mark.parametrize("warm", [False, True])
def test_forged_blob_beside_a_good_one_is_asked_for_once(forge: Callable[[bytes], bytes], warm: bool) -> None:
    """However often both are read: one request for each, and another for the forged one after a while."""
    clock = Clock()
    ring = make_ring(clock=clock)
    cipher = cipher_of(ring)
    good = cipher.seal(b"x", CLINIC)
    forged = with_key_reference(good, forge(parse(good).key_reference))
    if not warm:
        ring.forget()
    before = ring.stats().requests
    for _ in range(50):
        with pytest.raises(WrongKey):
            cipher.open(forged, neighbours=[good, forged])
        assert cipher.open(good, neighbours=[forged, good]) == b"x"
    assert ring.stats().requests - before == 1 + (not warm)
    clock.now += REMEMBERED
    with pytest.raises(WrongKey):
        cipher.open(forged)
    assert ring.stats().requests - before == 2 + (not warm)


def test_cell_with_a_damaged_blob_is_saved_by_another_cells() -> None:
    """The wrapped key of any cell of the same data key opens it, and that of another does not."""
    ring = make_ring(clock=Clock())
    cipher = cipher_of(ring)
    sound, other = cipher.seal(b"x", CLINIC), cipher.seal(b"y", KeyContext({"app": "other"}))
    damaged = with_key_reference(cipher.seal(b"z", CLINIC), b"damaged")
    assert parse(damaged).commitment == parse(sound).commitment
    assert cipher.open(with_key_reference(damaged, parse(sound).key_reference)) == b"z"
    with pytest.raises(WrongKey):
        cipher.open(with_key_reference(damaged, parse(other).key_reference))


def test_many_forged_blobs_leave_the_good_one_readable() -> None:
    """A page of forged cells costs a request for each of them once, and no memory beyond a bound."""
    ring = make_ring(clock=Clock(), cache_size=64)
    cipher = cipher_of(ring)
    good = cipher.seal(b"x", CLINIC)
    blob = parse(good).key_reference
    page = [with_key_reference(good, blob + bytes([n])) for n in range(200)]
    ring.forget()
    assert cipher.open(good, neighbours=[*page, good]) == b"x"
    before = ring.stats().requests
    assert all(cipher.open(good) == b"x" for _ in page)
    assert ring.stats().requests == before
    assert len(ring.outcomes._refused) <= 64


def test_rekeyed_cells_open_with_one_request_for_each_wrapping() -> None:
    """A column half of which was rekeyed, twice over, costs three requests, whatever is in memory."""
    ring = make_ring(clock=Clock())
    cipher = cipher_of(ring)
    cells = [cipher.seal(b"x", CLINIC) for _ in range(30)]
    newer, newest = rekeyed(ring, cells[0], app="new"), rekeyed(ring, cells[0], app="newest")
    cells[10:20] = [with_key_reference(cell, parse(newer).key_reference) for cell in cells[10:20]]
    cells[20:] = [with_key_reference(cell, parse(newest).key_reference) for cell in cells[20:]]
    ring.forget()
    before = ring.stats().requests
    for _ in range(3):
        assert [cipher.open(cell) for cell in cells] == [b"x"] * 30
    assert ring.stats().requests - before == 3
    assert ring.stats().keys_cached == 1


def test_wrappings_remembered_of_one_key_are_bounded() -> None:
    """Somebody who wraps one key a thousand times makes work, and no heap."""
    ring = make_ring(clock=Clock())
    cipher = cipher_of(ring)
    cell = cipher.seal(b"x", CLINIC)
    for n in range(MAX_PROVEN + 10):
        assert cipher.open(rekeyed(ring, cell, app=str(n))) == b"x"
    key = ring.cache.fresh(parse(cell).commitment)
    assert key is not None
    assert len(key._proven) <= MAX_PROVEN


def test_proof_lasts_as_long_as_the_key_in_memory() -> None:
    """After cache_ttl each wrapping is asked for again: it may have been withdrawn."""
    clock = Clock()
    ring = make_ring(clock=clock, cache_ttl=timedelta(minutes=5))
    cipher = cipher_of(ring)
    cell = cipher.seal(b"x", CLINIC)
    other = rekeyed(ring, cell, app="new")
    assert cipher.open(cell) == cipher.open(other) == b"x"
    clock.now += 301
    ring.backend.revoke("app", "new")  # type: ignore[attr-defined]
    assert cipher.open(cell) == b"x"
    with pytest.raises(VaultPermissionDenied):
        cipher.open(other)
    assert cipher.open(cell) == b"x"


def test_new_cells_carry_the_registrys_wrapping_whatever_cell_was_read_last() -> None:
    """A key that an old cell brought back into memory does not pass that cell's wrapping on."""
    clock = Clock()
    ring = make_ring(clock=clock, cache_ttl=timedelta(minutes=5))
    cipher = cipher_of(ring)
    cell = cipher.seal(b"x", CLINIC)
    old = rekeyed(ring, cell, app="of another day")
    clock.now += 301
    assert cipher.open(old) == b"x"
    assert parse(cipher.seal(b"y", CLINIC)).key_reference == parse(cell).key_reference
    before = ring.stats().requests
    assert parse(cipher.seal(b"z", CLINIC)).key_reference == parse(cell).key_reference
    assert ring.stats().requests == before


def test_key_in_memory_opens_rekeyed_cells_during_an_outage(
    vault_emulator: RunningEmulator, client: Callable[..., WorkOSVault]
) -> None:
    """Which key a cell needs is told by its commitment; that Vault is away says nothing about its blob."""
    ring = make_ring(client(), Clock())
    cipher = cipher_of(ring)
    cell = cipher.seal(b"x", CLINIC)
    other = rekeyed(ring, cell, app="new")
    forged = with_key_reference(cell, b"forged")
    vault_emulator.faults.fail, vault_emulator.faults.fail_status = 1.0, 401
    assert cipher.open(other) == b"x"
    vault_emulator.faults.fail = 0.0
    ring.forget()
    assert cipher.open(cell) == b"x"
    with pytest.raises(WrongKey):
        cipher.open(forged)


@pytest.mark.django_db(transaction=True, databases="__all__")
@pytest.mark.parametrize("bad", [0, 2])
async def test_one_bad_cell_and_aload_keys(vault_emulator: RunningEmulator, settings: Any, bad: int) -> None:
    """After aload_keys() every other value can be read in the event loop, and the bad one says why not."""
    settings.WORKOS_VAULTS = {
        "default": {
            "BACKEND": "django_workos_vault.backends.workos.WorkOSVault",
            "KEY_CONTEXT": {"app": "tests"},
            "OPTIONS": {"api_key": vault_emulator.api_key, "base_url": vault_emulator.url},
        }
    }
    await Person.objects.abulk_create(Person(ssn=str(n)) for n in range(4))
    await sync_to_async(_spoil_blob)(bad)
    vaults["default"].keyring.forget()
    rows = [row async for row in Person.objects.order_by("pk")]
    await asyncio.gather(*(aload_keys(rows) for _ in range(3)))
    requests = vaults["default"].stats().requests
    for n, row in enumerate(rows):
        if n == bad:
            with pytest.raises(WrongKey):
                _ = row.ssn
        else:
            assert row.ssn == str(n)
    assert vaults["default"].stats().requests == requests
    await sync_to_async(connections.close_all)()


def _spoil_blob(place: int) -> None:
    row = Person.objects.order_by("pk")[place]
    cell = bytes(stored_cell(row, "ssn"))
    with connection.cursor() as cursor:
        binary = connection.Database.Binary(
            with_key_reference(cell, FORGED["flipped"](parse(cell).key_reference))
        )
        cursor.execute(f"UPDATE {row._meta.db_table} SET ssn = %s WHERE id = %s", [binary, row.pk])


def test_vault_check_asks_for_each_wrapped_key_once() -> None:
    """Its requests are as many as there are keys and wrappings, not cells."""
    rows = Person.objects.bulk_create(Person(ssn=str(n)) for n in range(20))
    assert rows
    call_command("vault_check", stdout=StringIO(), all=True)
    before = vaults["default"].stats().requests
    call_command("vault_check", stdout=StringIO(), all=True)
    # four for the round trip, one for the record, one for the cells
    assert vaults["default"].stats().requests - before == 6


def test_vault_check_finds_reference_cells_without_record(settings: Any) -> None:
    """A key in memory hides no record that is gone."""
    settings.WORKOS_VAULTS = {
        "default": settings.WORKOS_VAULTS["default"] | {"DATA_KEYS": {"envelope": "reference"}}
    }
    row = Person.objects.create(ssn="1")
    DataKeyRecord.objects.all().delete()
    out = StringIO()
    with pytest.raises(Exception, match="found a problem"):
        call_command("vault_check", stdout=out, all=True)
    assert f"primary keys: {row.pk}\n" in out.getvalue()
    assert "no record of the data key" in out.getvalue()


@pytest.mark.parametrize("use", [KeyRing.load, KeyRing.prove, async_to_sync(KeyRing.aload)])
def test_outage_ends_a_long_batch(
    vault_emulator: RunningEmulator, client: Callable[..., WorkOSVault], use: Callable[..., Any]
) -> None:
    """Hundreds of wrapped keys take no more requests to fail than are under way at once."""
    ring = make_ring(client(), Clock())
    cell = cipher_of(ring).seal(b"x", CLINIC)
    blob = parse(cell).key_reference
    cells = [parse(with_key_reference(cell, blob + n.to_bytes(2))) for n in range(300)]
    ring.forget()
    vault_emulator.faults.fail, vault_emulator.faults.fail_status = 1.0, 401
    before = ring.stats().requests
    use(ring, cells)
    assert 0 < ring.stats().requests - before <= CONCURRENCY
