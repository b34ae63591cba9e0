"""Writing access records: one chain, whoever writes, and nothing is revealed that is not on it.

A writer locks the chain's row first, so that concurrent ones come one after the other. On database servers it
writes apart from the caller's transaction: what was seen stays seen when that is rolled back. SQLite has one
writer, so there a transaction under way refuses the record instead.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import DatabaseError, IntegrityError, models, router, transaction

from django_workos_vault.access import retention, verification
from django_workos_vault.access.entries import NOTHING, ROW, Entry, Key, mac_of, proof_of, same
from django_workos_vault.access.signals import access_recorded
from django_workos_vault.exceptions import (
    AccessNotRecorded,
    InvalidVaultConfiguration,
    VaultError,
    WrongKey,
)
from django_workos_vault.models import AccessChain, AccessRecord
from django_workos_vault.registry.collisions import tried_again
from django_workos_vault.registry.rows import as_stored
from django_workos_vault.registry.transactions import apart, would_be_undone

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limit:
    """At most ``most`` records of an entry's user and ``action`` within a time, the new ones included.

    ``outcome`` narrows it to records that begin so.
    """

    action: str
    most: int
    within: timedelta
    outcome: str = ""


class LimitReached(Exception):
    """The user has had as much as ``limit`` allows. Nothing was recorded."""

    def __init__(self, limit: Limit) -> None:
        super().__init__(limit)
        self.limit = limit


class AccessRecords:
    """The chain of access records. ``key`` returns the 32 bytes that it is made with, from Vault.

    ``made_elsewhere`` names the vaults that have it, where ``key`` would make another: a chain that is there
    would look changed then.
    """

    def __init__(self, key: Key, made_elsewhere: Callable[[], Sequence[str]] = tuple) -> None:
        self._make_key = key
        self._made_elsewhere = made_elsewhere

    def append(self, entries: Sequence[Entry], *limits: Limit) -> list[AccessRecord]:
        """Write ``entries``, all or none, and return their records once they are stored.

        Raises LimitReached when one of ``limits`` on their (one) user would be passed, AccessNotRecorded when
        they cannot be written.
        """
        alias = router.db_for_write(AccessRecord)
        try:
            key = self._key(alias)
            if would_be_undone(alias):
                raise AccessNotRecorded(
                    "Nothing is revealed inside a transaction on SQLite: rolling it back would take the "
                    "access record away."
                )
            records = apart(
                alias, lambda: tried_again(alias, lambda: self._append(alias, key, entries, limits))
            )
        except (DatabaseError, VaultError, WrongKey, InvalidVaultConfiguration) as exc:
            logger.error("An access could not be recorded: %s: %s", type(exc).__name__, exc)
            raise AccessNotRecorded(
                f"The access record could not be written ({type(exc).__name__}), so nothing was revealed."
            ) from exc
        _tell(records)
        return records

    def check(self, entry: Entry, limit: Limit) -> None:
        """Raise LimitReached if a record of ``entry`` would pass ``limit``. Nothing is written."""
        try:
            _check(limit, router.db_for_write(AccessRecord), [entry])
        except DatabaseError as exc:
            raise AccessNotRecorded("The access records cannot be read, so nothing was revealed.") from exc

    def verify(self) -> "verification.Verified":
        """Go through the chain. Raises VaultError, WrongKey or InvalidVaultConfiguration without its key."""
        alias = router.db_for_write(AccessRecord)
        return verification.verify(self._key(alias), alias)

    def lines(self) -> Iterator[str]:
        """Yield the records in order, each as one line of JSON."""
        return retention.lines(router.db_for_write(AccessRecord))

    def prune(self, before: datetime, entry: Entry) -> int:
        """Delete the records before an aware moment, as far as the chain is whole, and return their number.

        ``entry`` goes on record instead of them. Raises ``verification.Broken`` when what would go is broken.
        """
        alias = router.db_for_write(AccessRecord)
        key = self._key(alias)
        with transaction.atomic(using=alias):
            chain = _locked(alias, key)
            gone = retention.prune(chain, key, alias, as_stored(before))
            records = _extend(chain, key, alias, [entry]) if gone else []
        _tell(records)
        return gone

    def _key(self, alias: str) -> bytes:
        makers = self._made_elsewhere()
        if makers and AccessChain.objects.using(alias).exists():
            raise InvalidVaultConfiguration(
                f"The access records are chained with a key of vault {' or '.join(map(repr, makers))}, and "
                "the vault of WORKOS_VAULT_ADMIN['RECORD_VAULT'] has none. Name that one in its ALSO_READS, "
                "and the key is carried over: manage.py vault_check --explain moving."
            )
        return self._make_key()

    def _append(
        self, alias: str, key: bytes, entries: Sequence[Entry], limits: Iterable[Limit]
    ) -> list[AccessRecord]:
        with transaction.atomic(using=alias):
            chain = _locked(alias, key)
            for limit in limits:
                _check(limit, alias, entries)
            return _extend(chain, key, alias, entries)


def _locked(alias: str, key: bytes) -> AccessChain:
    """Return the chain's row, which nobody else gets before the transaction ends."""
    rows = AccessChain.objects.using(alias)
    # SQLite takes the lock with the first write, and would not wait for it after a read.
    if not rows.filter(pk=ROW).update(sequence=models.F("sequence")):
        _begin(alias, key)
    chain = rows.select_for_update().get(pk=ROW)
    if not same(chain.proof, proof_of(key, chain)):
        raise AccessNotRecorded("The end of the access records was changed: run vault_check.")
    return chain


def _begin(alias: str, key: bytes) -> None:
    chain = AccessChain(pk=ROW, sequence=0, mac=NOTHING, pruned_sequence=0, pruned_mac=NOTHING)
    chain.proof = proof_of(key, chain)
    try:
        with transaction.atomic(using=alias):
            chain.save(using=alias, force_insert=True)
    except IntegrityError:
        return  # another writer was faster
    if AccessRecord.objects.using(alias).exists():
        raise AccessNotRecorded("The end of the access records is gone: run vault_check.")


def _check(limit: Limit, alias: str, entries: Sequence[Entry]) -> None:
    new = [entry for entry in entries if entry.action == limit.action]
    had = AccessRecord.objects.using(alias).filter(
        user_pk=entries[0].columns()["user_pk"],
        action=limit.action,
        at__gt=as_stored(datetime.now(UTC) - limit.within),
    )
    if limit.outcome:
        had = had.filter(outcome__startswith=limit.outcome)
    if had.count() + len(new) > limit.most:
        raise LimitReached(limit)


def _extend(chain: AccessChain, key: bytes, alias: str, entries: Sequence[Entry]) -> list[AccessRecord]:
    records = []
    now: Any = as_stored(datetime.now(UTC)).replace(fold=0)
    for entry in entries:
        record = AccessRecord(sequence=chain.sequence + 1, at=now, previous=chain.mac, **entry.columns())
        record.mac = mac_of(key, record)
        chain.sequence, chain.mac = record.sequence, record.mac
        records.append(record)
    AccessRecord.objects.using(alias).bulk_create(records, batch_size=_AT_ONCE)
    chain.proof = proof_of(key, chain)
    chain.save(using=alias, force_update=True)
    return records


#: Rows of one INSERT: SQLite took 999 parameters at first.
_AT_ONCE = 60


def _tell(records: Iterable[AccessRecord]) -> None:
    for record in records:
        for _, answer in access_recorded.send_robust(AccessRecord, record=record):
            if isinstance(answer, Exception):
                logger.error("A receiver of access_recorded failed: %s", type(answer).__name__)
