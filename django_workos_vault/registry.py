"""The database side of the key ring: which key is current, how many messages are left; and index root keys.

Everything is read and written on the primary database, never on a replica that may lag behind.

Inside a caller's transaction, a row written here would hold its locks until that transaction ends: an
hour-long import would stop every other process that needs the same key. And a rollback would take the record
of a key away that is in use. So on database servers the registry is written on a connection of its own,
outside of Django's connection pool, and has committed before a key is used. SQLite has one writer, and
Django's ``TestCase`` one transaction: there the write joins the caller's transaction, and a :class:`_Pending`
receipt tells whether it still stands.
"""

import functools
import os
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Lock, get_ident
from typing import Any, TypeVar

from django.db import DatabaseError, DataError, IntegrityError, connections, models, router, transaction
from django.db.models import F, OuterRef, Subquery
from django.utils import timezone

from django_workos_vault import conf
from django_workos_vault.context import KeyContext
from django_workos_vault.datakey import MAX_KEY_ID_LENGTH
from django_workos_vault.exceptions import (
    InvalidVaultConfiguration,
    VaultError,
    VaultRequestError,
    VaultUnavailable,
    WrongKey,
)
from django_workos_vault.keyring.index_keys import RootKeyRecord
from django_workos_vault.keyring.records import Addition, KeyRecord, Lease, Receipt
from django_workos_vault.models import DataKeyRecord, IndexKeyRecord

Result = TypeVar("Result")

#: Values in one query's IN list: SQLite allows 999 parameters.
_AT_ONCE = 500

#: What a database, or its driver, says of a value that no column of it can hold.
_NOT_STORABLE = (DataError, ValueError, OverflowError, TypeError)


@contextmanager
def _telling_of_missing_tables() -> Iterator[None]:
    """Say what to do where migrate has not made the tables yet: a migration may write cells before that."""
    try:
        yield
    except DatabaseError as exc:
        # SQLite; PostgreSQL and its psycopg; MySQL and MariaDB
        missing = str(exc).startswith("no such table") or exc.args[:1] == (1146,)
        if not missing and getattr(exc.__cause__, "sqlstate", "") != "42P01":
            raise
        raise InvalidVaultConfiguration(
            "The tables of django_workos_vault are not there. Run migrate. If this is migrate: the migration "
            'that writes cells, or gives rows a default, needs ("django_workos_vault", "0001_initial") among '
            "its dependencies."
        ) from exc


class DatabaseRegistry:
    """:class:`~django_workos_vault.keyring.records.Registry` in the table of :class:`DataKeyRecord`."""

    def __init__(self, vault: str) -> None:
        self._vault = vault

    @_telling_of_missing_tables()
    def current(self, contexts: Iterable[KeyContext]) -> dict[str, KeyRecord]:
        newest = self._rows().filter(context_digest=OuterRef("context_digest")).order_by("-generation")
        rows = self._rows().filter(generation=Subquery(newest.values("generation")[:1]))
        return {
            row.context_digest: key_record(row)
            for some in _portions([context.digest for context in contexts])
            for row in readable_rows(rows.filter(context_digest__in=some))
        }

    def add(self, additions: Sequence[Addition]) -> list[Lease | KeyRecord | VaultError | WrongKey]:
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
                    newest = self.current([context]).get(context.digest, record)
                    self._insert_anew(context, record, messages, generation=newest.generation + 1)
        return Lease(messages, self._receipt())

    def find(self, commitments: Iterable[bytes]) -> dict[bytes, bytes]:
        return {
            _unhex(commitment): blob
            for some in _portions([commitment.hex() for commitment in commitments])
            for commitment, wrapped in self._rows()
            .filter(commitment__in=some)
            .values_list("commitment", "wrapped")
            if (blob := _blob(wrapped))
        }

    @property
    def _alias(self) -> str:
        return router.db_for_write(DataKeyRecord)

    def _rows(self) -> models.QuerySet[DataKeyRecord]:
        return DataKeyRecord.objects.using(self._alias).filter(vault=self._vault)

    def _row(self, commitment: bytes) -> models.QuerySet[DataKeyRecord]:
        return self._rows().filter(commitment=commitment.hex())

    def _add(self, addition: Addition) -> Lease | KeyRecord | VaultError | WrongKey:
        try:
            self._insert(addition.context, addition.record, addition.messages)
        except IntegrityError as exc:
            winner = self.current([addition.context]).get(addition.context.digest)
            if winner is None or winner.generation < addition.record.generation:
                return _caused(self._refusal(addition.record), exc)
            return winner
        except _NOT_STORABLE as exc:
            return _caused(_not_storable(exc), exc)
        return Lease(addition.messages, self._receipt())

    def _lease(self, record: KeyRecord, messages: int, limit: int) -> Lease | None:
        row = self._row(record.commitment)
        while 0 <= (taken := _count(row.values_list("messages", flat=True).first(), limit)) < limit:
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

    def _insert_anew(self, context: KeyContext, record: KeyRecord, messages: int, generation: int) -> None:
        try:
            self._insert(context, record, messages, generation)
        except IntegrityError as exc:
            raise self._refusal(record) from exc
        except _NOT_STORABLE as exc:
            raise _not_storable(exc) from exc

    def _refusal(self, record: KeyRecord) -> VaultUnavailable | WrongKey:
        """Return why the table's constraints refuse ``record``."""
        if DataKeyRecord.objects.using(self._alias).filter(commitment=record.commitment.hex()).exists():
            return VaultUnavailable(
                "The answer is not Vault's: the data key in it was handed out before, and is registered."
            )
        return WrongKey(
            f"The registry's newest data key of a context of vault {self._vault!r} was changed, and none can "
            "follow it. vault_check names the record and says what to do."
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
        # Never one of Django's pool: its callers hold theirs until this one is done. One at a time in each
        # process: a server's connections are few.
        with _turn(self._alias):
            own = connections[self._alias].copy(self._alias)
            own.settings_dict["OPTIONS"].pop("pool", None)
            connections[self._alias] = own
            try:
                return work()
            finally:
                own.close()


class _SavepointsUpTo:
    """The ids of all savepoints that a connection has made so far, for ``in``."""

    def __init__(self, newest: int) -> None:
        self._newest = newest

    def __contains__(self, sid: str) -> bool:
        return int(sid.rpartition("_x")[2]) <= self._newest


def _on_commit(callback: Callable[[], Any], alias: str) -> None:
    """Call ``callback`` once the transaction under way has committed, at once when there is none.

    It is dropped with any savepoint that is there now, also one of ``transaction.savepoint()``, as
    django-import-export makes them: Django itself remembers only those of ``atomic()``.
    """
    connection: Any = connections[alias]
    transaction.on_commit(callback, using=alias)
    if connection.in_atomic_block:
        _, *rest = connection.run_on_commit.pop()
        connection.run_on_commit.append((_SavepointsUpTo(connection.savepoint_state), *rest))


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
            _on_commit(callback, alias)
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

#: whose turn it is to write on a connection of its own, by database alias
_turns: dict[str, Lock] = {}


def _turn(alias: str) -> Lock:
    return _turns.setdefault(alias, Lock())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_turns.clear)  # the thread that held one is not there

#: stands for a time that cannot be read: of no key that is sound
_NEVER = datetime.max.replace(tzinfo=UTC)


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


def _moment(stored: object) -> datetime:
    if not isinstance(stored, datetime):
        return _NEVER
    local = timezone.is_naive(stored)
    return timezone.make_aware(stored, timezone.get_default_timezone()) if local else stored


def key_record(row: DataKeyRecord) -> KeyRecord:
    """Return what the key ring wants to know of ``row``, which anybody may have written.

    What is not even of its column's type is left out, so that the record is not sound.
    """
    return KeyRecord(
        commitment=_unhex(row.commitment),
        proof=_unhex(row.proof),
        key_id=as_told(row.key_id),
        wrapped=_blob(row.wrapped),
        created_at=_moment(row.created_at),
        generation=_count(row.generation, -1),
        messages=_count(row.messages, -1),
    )


def readable_rows(rows: models.QuerySet[DataKeyRecord]) -> list[DataKeyRecord]:
    """Return ``rows``, those whose columns Django cannot read with a zero generation and nothing else.

    SQLite keeps anything in any column, and one row of nonsense would fail the query for all.
    """
    try:
        return list(rows)
    except DatabaseError:
        raise
    except Exception:
        found = []
        for pk, digest in list(rows.values_list("pk", "context_digest")):
            try:
                found.append(rows.get(pk=pk))
            except DatabaseError:
                raise
            except Exception:
                found.append(_unreadable(pk, digest))
        return found


def _unreadable(pk: int, digest: str) -> DataKeyRecord:
    return DataKeyRecord(
        pk=pk, context_digest=digest, key_id="?", key_context=None, generation=0, created_at=datetime.now(UTC)
    )


def as_told(text: object) -> str:
    """Return an id from the database as one line of at most 200 characters."""
    return "".join(each if each.isprintable() else "?" for each in str(text)[:MAX_KEY_ID_LENGTH])


def _unhex(text: object) -> bytes:
    try:
        return bytes.fromhex(str(text))
    except ValueError:
        return b""


def _blob(stored: object) -> bytes:
    # bytes() of a number is that many zeros.
    return bytes(stored) if isinstance(stored, bytes | bytearray | memoryview) else b""


def _count(stored: object, otherwise: int) -> int:
    return stored if isinstance(stored, int) else otherwise


def _not_storable(exc: Exception) -> VaultRequestError:
    return VaultRequestError(
        f"The registry's table cannot keep this data key or its key context ({type(exc).__name__})."
    )


def _caused(error: VaultError | WrongKey, cause: Exception) -> VaultError | WrongKey:
    error.__cause__ = cause
    return error


class DatabaseRootKeys:
    """The store of index root keys (``RootKeyStore``) in the table of :class:`IndexKeyRecord`."""

    def __init__(self, vault: str) -> None:
        self._vault = vault

    @_telling_of_missing_tables()
    def get(self, version: int) -> RootKeyRecord | None:
        row = IndexKeyRecord.objects.using(self._alias).filter(vault=self._vault, version=version).first()
        return RootKeyRecord(_unhex(row.proof), as_told(row.key_id), _blob(row.wrapped)) if row else None

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
        except IntegrityError as exc:
            winner = self.get(version)
            if winner is None:
                raise _not_storable(exc) from exc
            return winner
        except _NOT_STORABLE as exc:
            raise _not_storable(exc) from exc
        return record

    def when_committed(self, then: Callable[[], None]) -> None:
        _on_commit(then, self._alias)

    def awaits_commit(self, then: Callable[[], None]) -> bool:
        # Django drops a callback when its transaction, or its savepoint, is rolled back.
        return any(then == callback for _, callback, *_ in connections[self._alias].run_on_commit)

    @property
    def _alias(self) -> str:
        return router.db_for_write(IndexKeyRecord)
