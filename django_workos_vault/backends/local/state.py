"""What a local vault remembers: one SQLite database, in a file or in memory."""

import os
import sqlite3
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django_workos_vault.backends import forks
from django_workos_vault.exceptions import VaultUnavailable

MEMORY = ":memory:"

_BUSY_SECONDS = 20.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS revoked_keys (id TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS objects (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    name TEXT,
    context TEXT,
    key_id TEXT,
    wrapped BLOB,
    sealed BLOB,
    version_id TEXT,
    updated_at TEXT,
    actor_id TEXT,
    actor_name TEXT
);
CREATE UNIQUE INDEX IF NOT EXISTS object_names ON objects (name);
CREATE TABLE IF NOT EXISTS versions (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL,
    object_id TEXT NOT NULL,
    created_at TEXT NOT NULL,
    size INTEGER NOT NULL,
    etag TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS versions_of_object ON versions (object_id);
"""


class LocalState:
    """One database, shared by all threads of a process and, when it is a file, by processes.

    ``path`` is a file, made on first use with mode 0600, or ``":memory:"``.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = path if path == MEMORY else Path(path)
        self._connection: sqlite3.Connection | None = None
        self._lock = threading.RLock()
        forks.watch(self)

    def _begin(self) -> None:
        self._lock = threading.RLock()
        if self._path != MEMORY:
            self._connection = None

    @contextmanager
    def transaction(self, *, write: bool = False) -> Iterator[sqlite3.Connection]:
        """Yield the connection inside a transaction, rolled back when the block raises.

        A block inside another one of the same thread is part of the outer transaction.

        Raises VaultUnavailable when the file cannot be opened, read or written, or stays locked.
        """
        with self._lock:
            try:
                connection = self._connection or self._keep(self._open())
                if connection.in_transaction:  # this thread's own, as it holds the lock
                    yield connection
                    return
                connection.execute("BEGIN IMMEDIATE" if write else "BEGIN")
                with connection:
                    yield connection
            except (sqlite3.Error, OSError) as exc:
                raise VaultUnavailable(f"The local vault's file {self._path} cannot be used: {exc}.") from exc

    def _keep(self, connection: sqlite3.Connection) -> sqlite3.Connection:
        # A finalizer outside of this object, and not __del__: Python 3.13 warns of a connection that the
        # garbage collector reaches before whoever would close it.
        self._finalizer = weakref.finalize(self, connection.close)
        self._connection = connection
        return connection

    def close(self) -> None:
        """Close the file. What is in memory stays."""
        with self._lock:
            if self._connection is not None and self._path != MEMORY:
                self._finalizer()
                self._connection = None

    def _open(self) -> sqlite3.Connection:
        if isinstance(self._path, Path):
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
        connection = sqlite3.connect(
            self._path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            connection.row_factory = sqlite3.Row
            connection.create_function("contains", 2, _contains, deterministic=True)
            connection.executescript(_SCHEMA)
        except sqlite3.Error:
            connection.close()
            raise
        return connection


def _contains(name: str, text: str) -> bool:
    return text.casefold() in name.casefold()
