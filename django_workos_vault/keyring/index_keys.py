"""The keys of blind indexes: one root key per vault and version, and a derived key per index.

The proofs of references to Vault objects are made with keys derived from the first version's.

A root key is a data key of its own, wrapped by Vault and kept in the database; it never seals a cell. Unlike
data keys it is not soft state: without it, stored digests match no search until the rows are re-encrypted.
"""

import hmac
import time
from collections.abc import Callable, Sequence

from django_workos_vault.backends.base import VaultBackend
from django_workos_vault.context import DeclaredContexts, KeyContext
from django_workos_vault.datakey import DataKey, LoadedKey
from django_workos_vault.exceptions import (
    InvalidVaultConfiguration,
    VaultError,
    VaultUnavailable,
    WrongKey,
)
from django_workos_vault.keyring import carried
from django_workos_vault.keyring.flights import SingleFlight
from django_workos_vault.keyring.records import RootKeyRecord, RootKeyStore


class _Root:
    __slots__ = ("committed", "derived", "expires_at", "key", "record")

    def __init__(self, key: LoadedKey, record: RootKeyRecord, expires_at: float) -> None:
        self.key = key
        self.record = record
        self.expires_at = expires_at
        self.derived: dict[bytes, bytes] = {}
        self.committed = False

    def mark_committed(self) -> None:
        self.committed = True


class IndexKeys:
    """The index keys of one vault, shared by all threads of the process.

    ``context`` is the vault's own key context. A row's organization plays no part: a search has no row, so
    rows of all organizations are found with one key.

    A root key that this vault has not, and one of ``others`` has, is carried over instead of made: a column
    that moves between vaults keeps its digests, and every search and constraint over them.
    """

    def __init__(
        self,
        *,
        vault: str,
        backend: VaultBackend,
        store: RootKeyStore,
        context: KeyContext | None,
        ttl: float,
        declared: DeclaredContexts | None = None,
        others: "Callable[[], Sequence[IndexKeys]]" = tuple,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.vault = vault
        self._backend = backend
        self._store = store
        self._context = context
        self._declared = declared or DeclaredContexts({})
        self._others = others
        self._ttl = ttl
        self._clock = clock
        self._roots: dict[int, _Root] = {}
        # Around a Vault request, never around the database: that may wait for a thread of ours.
        self._flights: SingleFlight[tuple[int, RootKeyRecord], _Root | VaultError | WrongKey] = SingleFlight()

    def key(self, version: int, info: bytes) -> bytes:
        """Return the 32-byte index key for ``info``, making the root key of ``version`` if there is none.

        Raises VaultError when Vault cannot be asked, WrongKey when the stored root key is not this vault's,
        InvalidVaultConfiguration when the vault has no KEY_CONTEXT to wrap it under.
        """
        root = self._roots.get(version)
        if root is None or not root.committed or self._clock() >= root.expires_at:
            root = self._current(version)
        key = root.derived.get(info)
        if key is None:
            key = root.derived[info] = root.key.derive(info)
        return key

    def is_ready(self, version: int) -> bool:
        """Whether :meth:`key` asks neither Vault nor the database."""
        root = self._roots.get(version)
        return root is not None and root.committed and self._clock() < root.expires_at

    def exists(self, version: int) -> bool:
        """Whether there is a root key of ``version``. None is made."""
        return any(each._is_stored(version) for each in (self, *self._others()))  # who may name each other

    def made_elsewhere(self, version: int) -> list[str]:
        """Return which vaults have a root key of ``version`` that this one would not carry over.

        Nothing where it has one, or carries one over.
        """
        return [] if self.exists(version) else self._store.vaults_with(version)

    def _is_stored(self, version: int) -> bool:
        return version in self._roots or self._store.get(version) is not None

    def forget(self) -> None:
        """Drop every key from memory. The next use asks Vault again."""
        self._roots.clear()

    def _current(self, version: int) -> _Root:
        root = self._roots.get(version)
        if (
            root is not None
            and self._clock() < root.expires_at
            and (
                root.committed
                or self._store.awaits_commit(root.mark_committed)
                or self._still_stored(version, root)
            )
        ):
            return root
        record = self._store.get(version)
        return self._loaded(version, record) if record else self._created(version)

    def _still_stored(self, version: int, root: _Root) -> bool:
        """Make sure of a root key whose transaction may have rolled back since."""
        record = self._store.get(version) or self._add(version, root)
        return record == root.record

    def _created(self, version: int, theirs: RootKeyRecord | None = None) -> _Root:
        """Make a root key, or carry over that of ``theirs``, or of any other vault that has one."""
        if self._context is None:
            raise InvalidVaultConfiguration(
                f"Vault {self.vault!r} has no KEY_CONTEXT, to wrap the key of its blind indexes. Give one."
            )
        self._declared.check(self._context)
        made = self._backend.create_data_key(self._context.items)
        key, sealed = self._carried(version, made, theirs) or (LoadedKey.answered(made), b"")
        root = self._root(
            key, RootKeyRecord(self.vault, self._proof(key, version), key.id, key.wrapped, sealed)
        )
        record = self._add(version, root)
        if record.vault != self.vault:
            if theirs is not None:
                raise VaultUnavailable(
                    f"The root key of the blind indexes of vault {record.vault!r} (version {version}) was "
                    f"replaced while vault {self.vault!r} carried it over. Try again."
                )
            return self._created(version, record)
        if record != root.record:
            return self._loaded(version, record)
        self._roots[version] = root
        return root

    def _carried(
        self, version: int, made: DataKey, theirs: RootKeyRecord | None
    ) -> tuple[LoadedKey, bytes] | None:
        """Return another vault's root key, and that sealed under ``made``; None where no other has one."""
        for other in self._others():
            # A transaction under way may not see theirs yet.
            record = theirs if theirs and theirs.vault == other.vault else other._store.get(version)
            if record is not None:
                root = other._opened(version, record)
                made.check()
                sealed = carried.seal(root, made, self._purpose(version))
                made.wipe()
                return LoadedKey.answered(DataKey(made.id, root.plaintext, made.wrapped)), sealed
        return None

    def same_as(self, other: "IndexKeys", version: int) -> bool:
        """Whether both vaults make the same digests, so that what one wrote is found by the other.

        Carries the root key over where this vault has none. Raises as :meth:`key` does.
        """
        if not other.exists(version):
            return True
        return hmac.compare_digest(self.key(version, b"same"), other.key(version, b"same"))

    def _add(self, version: int, root: _Root) -> RootKeyRecord:
        assert self._context is not None  # noqa: S101 -- checked before the root was made
        proofs = {other.vault: other._proof(root.key, version) for other in self._others()}
        record = self._store.add(version, self._context, root.record, proofs)
        if record == root.record:
            self._store.when_committed(root.mark_committed)
        return record

    def _loaded(self, version: int, record: RootKeyRecord) -> _Root:
        name = version, record
        outcome = self._flights.outcomes(
            [name],
            lambda _: [{name: self._unwrapped(version, record)}],
            self._backend.deadline,
            lambda: VaultUnavailable(
                f"Another thread has been asking vault {self.vault!r} for the root key of its blind indexes "
                f"for {self._backend.deadline:g} seconds."
            ),
        )[name]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def _unwrapped(self, version: int, record: RootKeyRecord) -> _Root | VaultError | WrongKey:
        root = self._roots.get(version)
        if root is not None and root.record == record and self._clock() < root.expires_at:
            return root
        try:
            key = LoadedKey.answered(self._unsealed(version, record))
        except (VaultError, WrongKey) as exc:
            return exc
        if not hmac.compare_digest(self._proof(key, version), record.proof):
            return self._changed(version)
        root = self._roots[version] = self._root(key, record)
        root.mark_committed()
        return root

    def _opened(self, version: int, record: RootKeyRecord) -> DataKey:
        """Return a root key on record, for another vault to carry over. Raises VaultError, WrongKey."""
        root = self._unsealed(version, record)
        copy = LoadedKey.answered(DataKey(root.id, bytearray(root.plaintext), root.wrapped))
        if not hmac.compare_digest(self._proof(copy, version), record.proof):
            raise self._changed(version)
        return root

    def _unsealed(self, version: int, record: RootKeyRecord) -> DataKey:
        answer = self._backend.decrypt_data_key(record.wrapped)
        answer.check()
        if not record.carried:
            return answer
        return carried.opened(record.carried, answer, self._purpose(version))

    def _changed(self, version: int) -> WrongKey:
        return WrongKey(
            f"The root key of the blind indexes of vault {self.vault!r} (version {version}) is not "
            "the one that was stored: its record was changed. Restore the table from a backup."
        )

    def _purpose(self, version: int) -> str:
        return f"blind-index-root:{version}:{self.vault}"

    def _root(self, key: LoadedKey, record: RootKeyRecord) -> _Root:
        return _Root(key, record, self._clock() + self._ttl)

    def _proof(self, key: LoadedKey, version: int) -> bytes:
        return key.derive(self._purpose(version).encode())
