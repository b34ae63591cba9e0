"""The local vault's objects: named, versioned values, each sealed under a data key of its own.

Semantics are those of the API description: names are unique, an update makes a new version, ``version_check``
guards against lost updates. Lists are in the order of creation, newest first; a cursor is an object's id.
The methods have the names and arguments of the operations.
"""

import json
import os
import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from uuid import uuid4

from django_workos_vault.backends.arguments import Order
from django_workos_vault.backends.local.keys import LocalKeys
from django_workos_vault.backends.local.state import LocalState
from django_workos_vault.backends.objects import (
    Actor,
    DeletedObject,
    ObjectMetadata,
    ObjectSummary,
    ObjectVersion,
    ObjectWithoutValue,
    Page,
    VaultObject,
)
from django_workos_vault.datakey import LoadedKey
from django_workos_vault.exceptions import VaultConflict, VaultNotFound, VaultRequestError

DEFAULT_LIMIT = 10
MAX_LIMIT = 100
ENVIRONMENT_ID = "environment_local"

_NONCE_BYTES = 12


class ObjectStore:
    """Keeps objects in ``state``, sealed with keys from ``keys``.

    Every method that opens or seals a value raises VaultPermissionDenied when the keys were revoked.
    """

    def __init__(self, state: LocalState, keys: LocalKeys) -> None:
        self._state = state
        self._keys = keys

    def create_object(
        self, name: str, value: str, key_context: Mapping[str, str], actor: Actor
    ) -> ObjectMetadata:
        """Store ``value``. Raises VaultConflict when ``name`` is taken."""
        object_id = str(uuid4())
        with self._state.transaction(write=True) as database:
            try:
                database.execute(
                    "INSERT INTO objects (id, name, context) VALUES (?, ?, ?)",
                    (object_id, name, json.dumps(dict(key_context))),
                )
            except sqlite3.IntegrityError:
                raise VaultConflict("An object of this name exists already.") from None
            self._write(database, object_id, value, key_context, actor)
            return _metadata(_row(database, object_id))

    def read_object(self, object_id: str) -> VaultObject:
        """Return the object with its value. Raises VaultNotFound."""
        with self._state.transaction() as database:
            return self._open(_row(database, object_id))

    def read_object_by_name(self, name: str) -> VaultObject:
        """Return the object with its value. Raises VaultNotFound."""
        with self._state.transaction() as database:
            return self._open(_found(database.execute("SELECT * FROM objects WHERE name = ?", (name,))))

    def update_object(
        self, object_id: str, value: str, version_check: str | None, actor: Actor
    ) -> ObjectWithoutValue:
        """Store a new version. Raises VaultNotFound, VaultConflict."""
        with self._state.transaction(write=True) as database:
            row = _checked(database, object_id, version_check)
            self._write(database, object_id, value, json.loads(row["context"]), actor)
            return _without_value(_row(database, object_id))

    def delete_object(self, object_id: str, version_check: str | None) -> DeletedObject:
        """Delete the object and all its versions. Raises VaultNotFound, VaultConflict."""
        with self._state.transaction(write=True) as database:
            row = _checked(database, object_id, version_check)
            database.execute("DELETE FROM versions WHERE object_id = ?", (object_id,))
            # The id stays: a list that was begun before can go on from it.
            database.execute(
                "UPDATE objects SET name = NULL, context = NULL, wrapped = NULL, sealed = NULL WHERE id = ?",
                (object_id,),
            )
            return DeletedObject(row["name"])

    def describe_object(self, object_id: str) -> ObjectWithoutValue:
        """Return the object without its value. Raises VaultNotFound."""
        with self._state.transaction() as database:
            return _without_value(_row(database, object_id))

    def list_object_versions(self, object_id: str) -> tuple[ObjectVersion, ...]:
        """Return the object's versions, newest first. Raises VaultNotFound."""
        with self._state.transaction() as database:
            current = _row(database, object_id)["version_id"]
            rows = database.execute(
                "SELECT * FROM versions WHERE object_id = ? ORDER BY number DESC", (object_id,)
            )
            return tuple(
                ObjectVersion(
                    id=row["id"],
                    created_at=datetime.fromisoformat(row["created_at"]),
                    current_version=row["id"] == current,
                    size=row["size"],
                    etag=row["etag"],
                )
                for row in rows
            )

    def list_objects(
        self,
        *,
        limit: int | None = None,
        before: str | None = None,
        after: str | None = None,
        order: Order | None = None,
        search: str | None = None,
        updated_after: datetime | None = None,
    ) -> Page[ObjectSummary]:
        """Return at most ``limit`` (10 unless told, never more than 100) objects behind ``after`` or in front
        of ``before``, with ``search`` in their name in any case, changed after ``updated_after``.

        Raises VaultRequestError for a cursor that is none, or for two.
        """
        if before is not None and after is not None:
            raise VaultRequestError("Give before or after, not both.")
        matching = "name IS NOT NULL"
        values: list[str | int] = []
        if search:
            matching += " AND contains(name, ?)"
            values.append(search)
        if updated_after is not None:
            matching += " AND updated_at > ?"
            values.append(_timestamp(updated_after))
        # "Up" is towards newer objects. A page in front of a cursor is read backwards, from the cursor on.
        ascending = order == "asc"
        up = ascending != (before is not None)

        def rows(upwards: bool, start: int | None, count: int) -> list[sqlite3.Row]:
            bound = "" if start is None else f" AND number {'>' if upwards else '<'} ?"
            order = "ASC" if upwards else "DESC"
            return database.execute(
                f"SELECT * FROM objects WHERE {matching}{bound} ORDER BY number {order} LIMIT ?",  # noqa: S608
                [*values, *([] if start is None else [start]), count],
            ).fetchall()

        with self._state.transaction() as database:
            cursor = before if before is not None else after
            found = rows(up, _number(database, cursor), min(limit or DEFAULT_LIMIT, MAX_LIMIT))
            if before is not None:
                found.reverse()
            if not found:
                return Page(())
            return Page(
                tuple(_summary(row) for row in found),
                before=found[0]["id"] if rows(not ascending, found[0]["number"], 1) else None,
                after=found[-1]["id"] if rows(ascending, found[-1]["number"], 1) else None,
            )

    def _write(
        self,
        database: sqlite3.Connection,
        object_id: str,
        value: str,
        context: Mapping[str, str],
        actor: Actor,
    ) -> None:
        key = LoadedKey(self._keys.create_data_key(context))
        version_id, nonce, plaintext = str(uuid4()), os.urandom(_NONCE_BYTES), value.encode()
        sealed = nonce + key.aead.encrypt(nonce, plaintext, version_id.encode())
        now = _timestamp(datetime.now(UTC))
        database.execute(
            "UPDATE objects SET key_id = ?, wrapped = ?, sealed = ?, version_id = ?, updated_at = ?, "
            "actor_id = ?, actor_name = ? WHERE id = ?",
            (key.id, key.wrapped, sealed, version_id, now, actor.id, actor.name, object_id),
        )
        database.execute(
            "INSERT INTO versions (id, object_id, created_at, size, etag) VALUES (?, ?, ?, ?, ?)",
            (version_id, object_id, now, len(plaintext), sha256(sealed).hexdigest()[:32]),
        )

    def _open(self, row: sqlite3.Row) -> VaultObject:
        key = LoadedKey(self._keys.decrypt_data_key(row["wrapped"]))
        nonce, sealed = row["sealed"][:_NONCE_BYTES], row["sealed"][_NONCE_BYTES:]
        value = key.aead.decrypt(nonce, sealed, row["version_id"].encode())
        return VaultObject(id=row["id"], name=row["name"], value=value.decode(), metadata=_metadata(row))


def _row(database: sqlite3.Connection, object_id: str) -> sqlite3.Row:
    return _found(database.execute("SELECT * FROM objects WHERE id = ? AND name IS NOT NULL", (object_id,)))


def _found(result: sqlite3.Cursor) -> sqlite3.Row:
    row: sqlite3.Row | None = result.fetchone()
    if row is None:
        raise VaultNotFound("There is no such object.")
    return row


def _checked(database: sqlite3.Connection, object_id: str, version_check: str | None) -> sqlite3.Row:
    row = _row(database, object_id)
    if version_check is not None and version_check != row["version_id"]:
        raise VaultConflict("The object has changed since this version.")
    return row


def _number(database: sqlite3.Connection, cursor: str | None) -> int | None:
    if cursor is None:
        return None
    row = database.execute("SELECT number FROM objects WHERE id = ?", (cursor,)).fetchone()
    if row is None:
        raise VaultRequestError("This cursor does not come from a list of objects.")
    number: int = row["number"]
    return number


def _metadata(row: sqlite3.Row) -> ObjectMetadata:
    return ObjectMetadata(
        id=row["id"],
        environment_id=ENVIRONMENT_ID,
        key_id=row["key_id"],
        context=json.loads(row["context"]),
        updated_at=datetime.fromisoformat(row["updated_at"]),
        updated_by=Actor(row["actor_id"], row["actor_name"]),
        version_id=row["version_id"],
    )


def _without_value(row: sqlite3.Row) -> ObjectWithoutValue:
    return ObjectWithoutValue(id=row["id"], name=row["name"], metadata=_metadata(row))


def _summary(row: sqlite3.Row) -> ObjectSummary:
    return ObjectSummary(id=row["id"], name=row["name"], updated_at=datetime.fromisoformat(row["updated_at"]))


def _timestamp(moment: datetime) -> str:
    """Return ``moment`` as UTC text whose alphabetical order is the order in time."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
