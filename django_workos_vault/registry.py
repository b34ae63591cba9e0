"""The database side of the key ring: which key is current, how many messages are left; and index root keys.

Everything is read and written on the primary database, never on a replica that may lag behind.

Inside a caller's transaction, a row written here would hold its locks until that transaction ends: an
hour-long import would stop every other process that needs the same key. And a rollback would take the record
of a key away that is in use. So on database servers the registry is written on a connection of its own, and
has committed before a key is used. SQLite has one writer, and Django's ``TestCase`` one transaction: there
the write joins the caller's transaction, and a :class:`_Pending` receipt tells whether it still stands.
"""

import functools
import weakref
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from threading import get_ident
from typing import Any, TypeVar

from asgiref.sync import sync_to_async
from django.db import IntegrityError, connections, models, router, transaction
from django.db.models import F, OuterRef, Subquery
from django.utils import timezone

from django_workos_vault import conf
from django_workos_vault.context import KeyContext
from django_workos_vault.index_keys import RootKeyRecord
from django_workos_vault.models import DataKeyRecord, IndexKeyRecord
from django_workos_vault.records import Addition, KeyRecord, Lease, Receipt

Result = TypeVar("Result")

#: Values in one query's IN list: SQLite allows 999 parameters.
_AT_ONCE = 500


class DatabaseRegistry:
    """:class:`~django_workos_vault.records.Registry` in the table of :class:`DataKeyRecord`."""

    def __init__(self, vault: str) -> None:
        self._vault = vault

    def current(self, contexts: Iterable[KeyContext]) -> dict[str, KeyRecord]:
        newest = self._rows().filter(context_digest=OuterRef("context_digest")).order_by("-generation")
        rows = self._rows().filter(generation=Subquery(newest.values("generation")[:1]))
        return {
            row.context_digest: key_record(row)
            for some in _portions([context.digest for context in contexts])
            for row in rows.filter(context_digest__in=some)
        }

    def add(self, additions: Sequence[Addition]) -> list[Lease | KeyRecord]:
        return self._apart(lambda: [self._add(addition) for addition in additions])

    def lease(self, wanted: Sequence[tuple[KeyRecord, int]], limit: int) -> list[Lease | None]:
        if not wanted:
            return []
        return self._apart(lambda: [self._lease(record, messages, limit) for record, messages in wanted])

    def restore(self, context: KeyContext, record: KeyRecord, messages: int) -> Lease:
        if not self._row(record.commitment).update(messages=F("messages") + messages):
            try:
                self._insert(context, record, messages)
            except IntegrityError:  # its generation went to another meanwhile, or another thread restored it
                if not self._row(record.commitment).update(messages=F("messages") + messages):
                    newest = self.current([context])[context.digest]
                    self._insert(context, record, messages, generation=newest.generation + 1)
        return Lease(messages, self._receipt())

    def find(self, commitments: Iterable[bytes]) -> dict[bytes, bytes]:
        return {
            bytes.fromhex(commitment): bytes(wrapped)
            for some in _portions([commitment.hex() for commitment in commitments])
            for commitment, wrapped in self._rows()
            .filter(commitment__in=some)
            .values_list("commitment", "wrapped")
        }

    async def afind(self, commitments: Iterable[bytes]) -> dict[bytes, bytes]:
        return await sync_to_async(self.find)(commitments)

    @property
    def _alias(self) -> str:
        return router.db_for_write(DataKeyRecord)

    def _rows(self) -> models.QuerySet[DataKeyRecord]:
        return DataKeyRecord.objects.using(self._alias).filter(vault=self._vault)

    def _row(self, commitment: bytes) -> models.QuerySet[DataKeyRecord]:
        return self._rows().filter(commitment=commitment.hex())

    def _add(self, addition: Addition) -> Lease | KeyRecord:
        try:
            self._insert(addition.context, addition.record, addition.messages)
        except IntegrityError:
            winner = self.current([addition.context]).get(addition.context.digest)
            if winner is None or winner.generation < addition.record.generation:
                raise
            return winner
        return Lease(addition.messages, self._receipt())

    def _lease(self, record: KeyRecord, messages: int, limit: int) -> Lease | None:
        row = self._row(record.commitment)
        while (taken := row.values_list("messages", flat=True).first()) is not None and taken < limit:
            granted = min(messages, limit - taken)
            if row.filter(messages=taken).update(messages=taken + granted):
                return Lease(granted, self._receipt())
        return None

    def _insert(
        self, context: KeyContext, record: KeyRecord, messages: int, generation: int | None = None
    ) -> None:
        with transaction.atomic(using=self._alias):  # a lost race must not spoil the caller's transaction
            DataKeyRecord.objects.using(self._alias).create(
                vault=self._vault,
                context_digest=context.digest,
                generation=generation or record.generation,
                key_context=context.items,
                commitment=record.commitment.hex(),
                proof=record.proof.hex(),
                key_id=record.key_id,
                wrapped=record.wrapped,
                created_at=_as_stored(record.created_at),
                messages=messages,
            )

    def _receipt(self) -> Receipt:
        connection = connections[self._alias]
        return _Pending(self._alias) if _in_transaction(connection) else _COMMITTED

    def joins_transaction(self) -> bool:
        connection = connections[self._alias]
        return _in_transaction(connection) and (connection.vendor == "sqlite" or _in_test_case(connection))

    def _apart(self, work: Callable[[], Result]) -> Result:
        """Run ``work`` outside of the caller's transaction, if there is one and the database lets us."""
        if not _in_transaction(connections[self._alias]) or self.joins_transaction():
            return work()
        with ThreadPoolExecutor(1, "vault-registry") as thread:
            return thread.submit(self._on_a_connection_of_its_own, work).result()

    def _on_a_connection_of_its_own(self, work: Callable[[], Result]) -> Result:
        try:
            return work()
        finally:
            connections[self._alias].close()


class _Pending:
    """The receipt of something written inside a transaction that has not ended.

    Django drops the callbacks of a transaction, or savepoint, that is rolled back, and runs those of one that
    commits. So as long as the callback lives, neither has happened.
    """

    def __init__(self, alias: str) -> None:
        self._alias = alias
        self._thread = get_ident()
        self._done = False
        self._callback: Callable[[], Any] = lambda: None
        if connections[alias].in_atomic_block:
            callback = functools.partial(setattr, self, "_done", True)
            transaction.on_commit(callback, using=alias)
            self._callback = weakref.ref(callback)

    def committed(self) -> bool:
        return self._done

    def pending(self) -> bool:
        return not self._done and self._callback() is not None

    def commits_with(self, database: str) -> bool:
        if not self.pending() or self._thread != get_ident():
            return False
        return self._alias == database or _in_test_case(connections[self._alias])


@dataclass(frozen=True, slots=True)
class _Committed:
    def committed(self) -> bool:
        return True

    def pending(self) -> bool:
        return False

    def commits_with(self, database: str) -> bool:
        return False


_COMMITTED = _Committed()


def _in_transaction(connection: Any) -> bool:
    return bool(connection.in_atomic_block or not connection.get_autocommit())


def _in_test_case(connection: Any) -> bool:
    # Django's own mark, by which atomic(durable=True) tells a test's transaction from a real one.
    return any(getattr(block, "_from_testcase", False) for block in connection.atomic_blocks)


def _portions(values: list[str]) -> Iterable[list[str]]:
    for start in range(0, len(values), _AT_ONCE):
        yield values[start : start + _AT_ONCE]


def _as_stored(moment: datetime) -> datetime:
    """Return an aware ``moment`` as Django's columns take it: without ``USE_TZ`` they hold local times."""
    return moment if conf.uses_time_zones() else timezone.make_naive(moment, timezone.get_default_timezone())


def _moment(stored: datetime) -> datetime:
    local = timezone.is_naive(stored)
    return timezone.make_aware(stored, timezone.get_default_timezone()) if local else stored


def key_record(row: DataKeyRecord) -> KeyRecord:
    """Return what the key ring wants to know of ``row``. Raises ValueError when it is not hexadecimal."""
    return KeyRecord(
        commitment=bytes.fromhex(row.commitment),
        proof=bytes.fromhex(row.proof),
        key_id=row.key_id,
        wrapped=bytes(row.wrapped),
        created_at=_moment(row.created_at),
        generation=row.generation,
        messages=row.messages,
    )


class DatabaseRootKeys:
    """:class:`~django_workos_vault.index_keys.RootKeyStore` in the table of :class:`IndexKeyRecord`."""

    def __init__(self, vault: str) -> None:
        self._vault = vault

    def get(self, version: int) -> RootKeyRecord | None:
        row = IndexKeyRecord.objects.using(self._alias).filter(vault=self._vault, version=version).first()
        return RootKeyRecord(bytes.fromhex(row.proof), row.key_id, bytes(row.wrapped)) if row else None

    def add(self, version: int, context: KeyContext, record: RootKeyRecord) -> RootKeyRecord:
        try:
            with transaction.atomic(using=self._alias):  # a lost race must not spoil the caller's transaction
                IndexKeyRecord.objects.using(self._alias).create(
                    vault=self._vault,
                    version=version,
                    key_context=context.items,
                    proof=record.proof.hex(),
                    key_id=record.key_id,
                    wrapped=record.wrapped,
                )
        except IntegrityError:
            winner = self.get(version)
            if winner is None:
                raise
            return winner
        return record

    def when_committed(self, then: Callable[[], None]) -> None:
        transaction.on_commit(then, using=self._alias)

    def awaits_commit(self, then: Callable[[], None]) -> bool:
        # Django drops a callback when its transaction, or its savepoint, is rolled back.
        return any(then == callback for _, callback, *_ in connections[self._alias].run_on_commit)

    @property
    def _alias(self) -> str:
        return router.db_for_write(IndexKeyRecord)
