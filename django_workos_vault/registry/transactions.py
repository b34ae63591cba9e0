"""Writing apart from the caller's transaction where that can be, and telling whether it stands where not.

Inside a caller's transaction, a row written here would hold its locks until that transaction ends: an
hour-long import would stop every other process that needs the same key. And a rollback would take the record
of a key away that is in use. So on database servers the registry is written on a connection of its own,
outside of Django's connection pool, and has committed before a key is used. SQLite has one writer, and
Django's ``TestCase`` one transaction: there the write joins the caller's transaction, and a :class:`Pending`
receipt tells whether it still stands.
"""

import functools
import os
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock, get_ident
from typing import Any, TypeVar

from django.db import connections, transaction

from django_workos_vault.keyring.records import Receipt

Result = TypeVar("Result")

#: whose turn it is to write on a connection of its own, by database alias
_turns: dict[str, Lock] = {}

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_turns.clear)  # the thread that held one is not there


def joins_transaction(alias: str) -> bool:
    """Whether what is written now stands or falls with the caller's transaction."""
    connection = connections[alias]
    return _in_transaction(connection) and (connection.vendor == "sqlite" or _in_test_case(connection))


def would_be_undone(alias: str) -> bool:
    """Whether what is written now falls with a rollback of the caller's, which is no test's transaction."""
    return joins_transaction(alias) and not _in_test_case(connections[alias])


def apart(alias: str, work: Callable[[], Result]) -> Result:
    """Run ``work`` outside of the caller's transaction, if there is one and the database lets us."""
    if not _in_transaction(connections[alias]) or joins_transaction(alias):
        return work()
    with ThreadPoolExecutor(1, "vault-registry") as thread:
        return thread.submit(_on_a_connection_of_its_own, alias, work).result()


def _on_a_connection_of_its_own(alias: str, work: Callable[[], Result]) -> Result:
    # Never one of Django's pool: its callers hold theirs until this one is done. One at a time in each
    # process: a server's connections are few.
    with _turns.setdefault(alias, Lock()):
        own = connections[alias].copy(alias)
        own.settings_dict["OPTIONS"].pop("pool", None)
        connections[alias] = own
        try:
            return work()
        finally:
            own.close()


def receipt(alias: str) -> Receipt:
    """Return what tells whether that which was just written still stands."""
    return Pending(alias) if _in_transaction(connections[alias]) else COMMITTED


def on_commit(alias: str, callback: Callable[[], Any]) -> None:
    """Call ``callback`` once the transaction under way has committed, at once when there is none.

    It is dropped with any savepoint that is there now, also one of ``transaction.savepoint()``, as
    django-import-export makes them: Django itself remembers only those of ``atomic()``.
    """
    connection: Any = connections[alias]
    transaction.on_commit(callback, using=alias)
    if connection.in_atomic_block:
        _, *rest = connection.run_on_commit.pop()
        connection.run_on_commit.append((_SavepointsUpTo(connection.savepoint_state), *rest))


class _SavepointsUpTo:
    """The ids of all savepoints that a connection has made so far, for ``in``."""

    def __init__(self, newest: int) -> None:
        self._newest = newest

    def __contains__(self, sid: str) -> bool:
        return int(sid.rpartition("_x")[2]) <= self._newest


class Pending:
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
            on_commit(alias, callback)
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
class Committed:
    def committed(self) -> bool:
        return True

    def pending(self) -> bool:
        return False

    def commits_with(self, database: str) -> bool:
        return False


COMMITTED = Committed()


def _in_transaction(connection: Any) -> bool:
    return bool(connection.in_atomic_block or not connection.get_autocommit())


def _in_test_case(connection: Any) -> bool:
    # Django's own mark, by which atomic(durable=True) tells a test's transaction from a real one.
    return any(getattr(block, "_from_testcase", False) for block in connection.atomic_blocks)
