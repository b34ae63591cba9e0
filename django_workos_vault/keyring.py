"""Which data key to seal with, and which to open with: bounded, timed, each made or unwrapped once.

A data key is shared by everything sealed under one (vault, key context) until it is ``rotate_after`` old or
has sealed ``max_messages`` values. The registry shares the current one between processes.
"""

import hmac
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from threading import Lock
from typing import Protocol

from cachetools import TTLCache

from django_workos_vault.backends.base import VaultBackend
from django_workos_vault.context import KeyContext
from django_workos_vault.envelope import Envelope
from django_workos_vault.exceptions import (
    DecryptionForbidden,
    EnvelopeError,
    VaultError,
    VaultRequestError,
    WrongKey,
)
from django_workos_vault.keys import DataKey, LoadedKey

#: Messages a process takes from a key's budget at a time, so that counting costs one update per block.
LEASE_BLOCK = 2**20


@dataclass(frozen=True, slots=True)
class DataKeyPolicy:
    """How data keys are used: the ``DATA_KEYS`` setting.

    ``max_messages`` bounds the values sealed with one key; with random 96-bit nonces NIST SP 800-38D
    (section 8.3) allows 2**32. ``cache_ttl`` is how long a plaintext key may stay in memory.
    """

    rotate_after: timedelta = timedelta(days=30)
    max_messages: int = 2**31
    cache_ttl: timedelta = timedelta(minutes=5)
    cache_size: int = 1024
    envelope: str = "inline"


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """What the registry remembers of a data key: everything but the key.

    ``commitment`` (32 bytes) names it; ``proof`` (32 bytes) can only be made with the key itself and ties it
    to its vault and context, so that nobody who can merely write the table can redirect writes to a key of
    another context.
    """

    commitment: bytes
    proof: bytes
    key_id: str
    wrapped: bytes
    created_at: datetime


class Registry(Protocol):
    """Shares the current wrapped data key of each context between processes."""

    def current(self, context: KeyContext) -> KeyRecord | None:
        """Return the newest record for ``context``."""

    def add(self, context: KeyContext, record: KeyRecord, after: KeyRecord | None) -> KeyRecord:
        """Store ``record`` as the successor of ``after``; return the winner's when another was faster."""

    def find(self, commitment: bytes) -> KeyRecord | None:
        """Return the record of one key."""

    def lease(self, record: KeyRecord, messages: int, limit: int) -> bool:
        """Take ``messages`` from the key's budget of ``limit``; False when that many are not left."""

    def ensure(self, context: KeyContext, record: KeyRecord) -> bool:
        """Make sure that ``record`` is stored; True once the transaction that stored it has committed."""


class _SealingKey:
    __slots__ = ("confirmed", "expires_at", "key", "leased", "record", "used")

    def __init__(self, key: LoadedKey, record: KeyRecord, expires_at: float, leased: int) -> None:
        self.key = key
        self.record = record
        self.expires_at = expires_at
        self.leased = leased
        self.used = count()  # next() is atomic; += is not
        self.confirmed = False


class KeyRing:
    """The data keys of one vault, shared by all threads of the process."""

    def __init__(
        self,
        *,
        vault: str,
        backend: VaultBackend,
        registry: Registry,
        policy: DataKeyPolicy,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.vault = vault
        self.backend = backend
        self.registry = registry
        self.policy = policy
        self._clock = clock
        self._lock = Lock()
        self._opening: TTLCache[bytes, LoadedKey] = TTLCache(
            policy.cache_size, policy.cache_ttl.total_seconds(), clock
        )
        self._sealing: dict[str, _SealingKey] = {}
        self._under_way: dict[object, Future[LoadedKey]] = {}
        self._forbidden: ContextVar[bool] = ContextVar("decryption_forbidden", default=False)

    def sealing_key(self, context: KeyContext) -> LoadedKey:
        """Return the current data key of ``context``, counting one message against its budget.

        Raises VaultError when a key must be made or unwrapped and Vault cannot do it.
        """
        current = self._sealing.get(context.digest)
        if (
            current is not None
            and self._clock() < current.expires_at
            and next(current.used) < current.leased
            and current.confirmed
        ):
            return current.key
        return self._renewed_sealing_key(context)

    def opening_key(self, envelope: Envelope) -> LoadedKey:
        """Return the data key that sealed ``envelope``, unwrapping it when it is not in memory.

        Raises WrongKey when the wrapped key gives another key than the envelope commits to, or when Vault
        refuses the wrapped key; another VaultError when Vault cannot be asked.
        """
        with self._lock:
            key = self._opening.get(envelope.commitment)
        if key is not None:
            return key
        return self._once(envelope.commitment, lambda: self._unwrapped(envelope))

    def load(self, envelopes: Iterable[Envelope]) -> None:
        """Unwrap the keys of ``envelopes`` that are not in memory, together and concurrently.

        Keys that cannot be had are passed over: opening their cells raises the reason.
        """
        with self._lock:
            missing = {e.commitment: e for e in envelopes if e.commitment not in self._opening}
        wrapped = {commitment: self._wrapped_key(e) for commitment, e in missing.items()}
        wanted = {commitment: blob for commitment, blob in wrapped.items() if blob is not None}
        answers = self.backend.decrypt_data_keys(list(wanted.values()))
        for commitment, answer in zip(wanted, answers, strict=True):
            if isinstance(answer, DataKey):
                key = LoadedKey(answer)
                if hmac.compare_digest(key.commitment, commitment):
                    self._remember(key)

    @contextmanager
    def decryption_forbidden(self) -> Iterator[None]:
        """Make every opening in this thread or task raise DecryptionForbidden. Also a decorator."""
        token = self._forbidden.set(True)
        try:
            yield
        finally:
            self._forbidden.reset(token)

    def check_opening_allowed(self) -> None:
        """Raise DecryptionForbidden inside :meth:`decryption_forbidden`."""
        if self._forbidden.get():
            raise DecryptionForbidden(f"Opening cells of vault {self.vault!r} is forbidden here.")

    def retire(self, context: KeyContext) -> LoadedKey:
        """Make a new data key for ``context`` now, whatever the age of the current one, and return it."""
        record, key = self._created(context, self.registry.current(context))
        self._use_for_sealing(context, record, key)
        return key

    def verify(
        self, filed: Sequence[tuple[KeyContext, KeyRecord]]
    ) -> list[VaultError | EnvelopeError | None]:
        """Return what is wrong with each record, None where it unwraps to the key it names and describes.

        Vault is asked for every one, together and concurrently, whatever is in memory.
        """
        answers = self.backend.decrypt_data_keys([record.wrapped for _, record in filed])
        return [
            self._fault(answer, context, record)
            for answer, (context, record) in zip(answers, filed, strict=True)
        ]

    def _fault(
        self, answer: DataKey | VaultError, context: KeyContext, record: KeyRecord
    ) -> VaultError | EnvelopeError | None:
        if isinstance(answer, VaultError):
            return answer
        key = LoadedKey(answer)
        if not hmac.compare_digest(key.commitment, record.commitment):
            return WrongKey(
                f"The registry's record of data key {record.key_id} unwraps to another key: it was changed."
            )
        try:
            self._check_proof(key, context, record)
        except WrongKey as exc:
            return exc
        return None

    def forget(self) -> None:
        """Drop every key from memory. The next use asks Vault again."""
        with self._lock:
            self._sealing.clear()
            self._opening.clear()

    def _renewed_sealing_key(self, context: KeyContext) -> LoadedKey:
        current = self._sealing.get(context.digest)
        if (
            current is not None
            and not current.confirmed
            and self._clock() < current.expires_at
            and next(current.used) < current.leased
        ):
            current.confirmed = self.registry.ensure(context, current.record)
            return current.key
        return self._once(("seal", context.digest), lambda: self._current_or_new(context))

    def _current_or_new(self, context: KeyContext) -> LoadedKey:
        record = self.registry.current(context)
        if record is not None and self._may_seal(record):
            key = self._registered(context, record)
        else:
            record, key = self._created(context, record)
        self._use_for_sealing(context, record, key)
        return key

    def _may_seal(self, record: KeyRecord) -> bool:
        return datetime.now(UTC) - record.created_at < self.policy.rotate_after and self._lease(record)

    def _lease(self, record: KeyRecord) -> bool:
        return self.registry.lease(record, self._block, self.policy.max_messages)

    @property
    def _block(self) -> int:
        return min(LEASE_BLOCK, self.policy.max_messages)

    def _created(self, context: KeyContext, after: KeyRecord | None) -> tuple[KeyRecord, LoadedKey]:
        key = LoadedKey(self.backend.create_data_key(context.items))
        mine = KeyRecord(key.commitment, self._proof(key, context), key.id, key.wrapped, datetime.now(UTC))
        record = self.registry.add(context, mine, after)
        self._lease(record)
        if record.commitment == mine.commitment:
            self._remember(key)
            return record, key
        return record, self._registered(context, record)

    def _registered(self, context: KeyContext, record: KeyRecord) -> LoadedKey:
        with self._lock:
            key = self._opening.get(record.commitment)
        if key is None:
            key = LoadedKey(self.backend.decrypt_data_key(record.wrapped))
            self._remember(key)
        self._check_proof(key, context, record)
        return key

    def _check_proof(self, key: LoadedKey, context: KeyContext, record: KeyRecord) -> None:
        if not hmac.compare_digest(self._proof(key, context), record.proof):
            raise WrongKey(
                f"The registry's data key {record.key_id} of vault {self.vault!r} does not belong to the key "
                f"context it is filed under: the record was changed. Delete it; a new key is made."
            )

    def _use_for_sealing(self, context: KeyContext, record: KeyRecord, key: LoadedKey) -> None:
        age = (datetime.now(UTC) - record.created_at).total_seconds()
        lifetime = min(self.policy.cache_ttl.total_seconds(), self.policy.rotate_after.total_seconds() - age)
        entry = _SealingKey(key, record, self._clock() + lifetime, self._block)
        next(entry.used)
        entry.confirmed = self.registry.ensure(context, record)
        with self._lock:
            self._sealing.pop(context.digest, None)
            while len(self._sealing) >= self.policy.cache_size:
                del self._sealing[next(iter(self._sealing))]
            self._sealing[context.digest] = entry

    def _proof(self, key: LoadedKey, context: KeyContext) -> bytes:
        return key.derive(f"registry:{context.digest}:{self.vault}".encode())

    def _unwrapped(self, envelope: Envelope) -> LoadedKey:
        wrapped = self._wrapped_key(envelope)
        if wrapped is None:
            raise WrongKey("The registry has no record of the data key that this cell refers to.")
        try:
            key = LoadedKey(self.backend.decrypt_data_key(wrapped))
        except VaultRequestError as exc:
            raise WrongKey(
                "Vault refuses the wrapped data key of this cell: it was changed, or the key that wraps it "
                f"was withdrawn. ({exc})"
            ) from exc
        if not hmac.compare_digest(key.commitment, envelope.commitment):
            raise WrongKey("The wrapped data key of this cell is not the one that sealed it.")
        self._remember(key)
        return key

    def _wrapped_key(self, envelope: Envelope) -> bytes | None:
        if envelope.key_reference:
            return envelope.key_reference
        record = self.registry.find(envelope.commitment)
        return record.wrapped if record else None

    def _remember(self, key: LoadedKey) -> None:
        with self._lock:
            key.expires_at = self._clock() + self.policy.cache_ttl.total_seconds()
            self._opening[key.commitment] = key

    def _once(self, name: object, work: Callable[[], LoadedKey]) -> LoadedKey:
        """Run ``work`` unless another thread is at it already; then wait for that thread's result."""
        with self._lock:
            other = self._under_way.get(name)
            if other is None:
                mine = self._under_way[name] = Future[LoadedKey]()
        if other is not None:
            return other.result()
        try:
            key = work()
        except BaseException as exc:
            mine.set_exception(exc)
            raise
        else:
            mine.set_result(key)
            return key
        finally:
            with self._lock:
                del self._under_way[name]
