"""Nothing is lost in rollbacks, and nobody who writes the registry's table chooses keys."""

from contextlib import suppress

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from django_workos_vault.context import KeyContext
from django_workos_vault.exceptions import (
    WrongKey,
)
from django_workos_vault.models import DataKeyRecord
from tests.keyring.rings import CLINIC, cipher_of, make_ring

pytestmark = pytest.mark.django_db


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
