"""What a key ring does while Vault is away, and after it refused a key."""

import logging
from datetime import timedelta

import pytest

from django_workos_vault.emulator import RunningEmulator
from django_workos_vault.envelope import parse, with_key_reference
from django_workos_vault.exceptions import (
    VaultAuthenticationError,
    VaultUnavailable,
    WrongKey,
)
from django_workos_vault.keyring.outcomes import REMEMBERED
from tests.clock import Clock
from tests.keyring.rings import CLINIC, Client, cipher_of, fail_at_once, make_ring

pytestmark = pytest.mark.django_db


def test_grace_serves_expired_keys_only_while_vault_is_unreachable(
    vault_emulator: RunningEmulator, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    """With outage_grace an expired key opens and seals through an outage, and that is logged."""
    clock = Clock()
    ring = make_ring(
        client(),
        clock,
        cache_ttl=timedelta(seconds=60),
        outage_grace=timedelta(seconds=60),
    )
    cipher = cipher_of(ring)
    cell = cipher.seal(b"x", CLINIC)
    clock.now += 61
    fail_at_once(vault_emulator)
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
    ring = make_ring(client(), clock)
    cell = cipher_of(ring).seal(b"x", CLINIC)
    clock.now += 301
    fail_at_once(vault_emulator)
    with pytest.raises(VaultUnavailable):
        cipher_of(ring).open(cell)


def test_grace_is_for_outages_alone(vault_emulator: RunningEmulator, client: Client) -> None:
    """Where Vault answers, an expired key is asked for, and not used on when the answer is no."""
    clock = Clock()
    ring = make_ring(client(), clock, outage_grace=timedelta(hours=1))
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
