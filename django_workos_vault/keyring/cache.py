"""Plaintext keys in memory: bounded, timed, and dropped when their time is up even if nobody asks."""

import os
import time
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from threading import Lock, Timer

from django_workos_vault.datakey import LoadedKey


class KeyCache:
    """Keys by commitment, at most ``size``, each for ``ttl`` seconds and ``grace`` more while kept stale.

    Reading takes no lock: :attr:`get` is the bare ``dict.get``, and whoever reads compares ``expires_at``
    with the clock. All keys live equally long, so the first of the dict is always the next to expire.
    This cache is the only place that holds a key for longer than one call: what it drops is gone as soon as
    the calls that are using it return.
    """

    def __init__(
        self, size: int, ttl: float, grace: float = 0.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._size = size
        self._ttl = ttl
        self._grace = grace
        self._clock = clock
        self._keys: dict[bytes, LoadedKey] = {}
        self.get = self._keys.get
        self._begin()
        _caches.add(self)

    def _begin(self) -> None:
        self._lock = Lock()
        self._sweeper: Timer | None = None

    def __len__(self) -> int:
        return len(self._keys)

    def fresh(self, commitment: bytes) -> LoadedKey | None:
        """Return the key if it is in memory and its time is not up."""
        key = self.get(commitment)
        return key if key is not None and self._clock() < key.expires_at else None

    def stretched(self, commitment: bytes, seconds: float) -> LoadedKey | None:
        """Return an expired key that is within its grace, usable for ``seconds`` more, or None."""
        key, now = self.get(commitment), self._clock()
        if key is None or now >= key.dropped_at:
            return None
        key.expires_at = max(key.expires_at, min(now + seconds, key.dropped_at))
        return key

    def put(self, key: LoadedKey) -> None:
        """Keep ``key``, dropping the oldest when there are too many."""
        with self._lock:
            key.expires_at = self._clock() + self._ttl
            key.dropped_at = key.expires_at + self._grace
            self._drop(key.commitment)
            while len(self._keys) >= self._size:
                self._drop(next(iter(self._keys)))
            self._keys[key.commitment] = key
            self._watch()

    def clear(self) -> None:
        """Drop every key."""
        with self._lock:
            for commitment in list(self._keys):
                self._drop(commitment)
            self._unwatch()

    def _drop(self, commitment: bytes) -> None:
        key = self._keys.pop(commitment, None)
        if key is not None:
            key.expires_at = key.dropped_at = 0.0
            key.forget_heads()

    # The sweeper: a sleeping thread, for processes that hold keys and then fall idle.

    def _watch(self) -> None:
        if self._sweeper is None and self._keys:
            oldest = next(iter(self._keys.values()))
            wait = max(0.0, oldest.dropped_at - self._clock())
            self._sweeper = Timer(wait, _sweep, (weakref.ref(self),))  # weak: it must not keep the keys
            self._sweeper.name = "vault-key-sweeper"
            self._sweeper.daemon = True
            self._sweeper.start()

    def _unwatch(self) -> Timer | None:
        sweeper, self._sweeper = self._sweeper, None
        if sweeper is not None:
            sweeper.cancel()
        return sweeper

    def sweep(self) -> None:
        """Drop the keys whose time is up."""
        with self._lock:
            for commitment in list(self._expired()):
                self._drop(commitment)
            self._sweeper = None
            self._watch()

    def _expired(self) -> Iterator[bytes]:
        now = self._clock()
        for commitment, key in self._keys.items():
            if now < key.dropped_at:
                return
            yield commitment

    # A fork must happen with no sweeper running and nothing half changed.

    def before_fork(self) -> None:
        with self._lock:
            sweeper = self._unwatch()
        if sweeper is not None:
            sweeper.join()
        self._lock.acquire()

    def after_fork_in_parent(self) -> None:
        self._watch()
        self._lock.release()

    def after_fork_in_child(self) -> None:
        self._begin()
        with self._lock:
            self._watch()


_caches: "weakref.WeakSet[KeyCache]" = weakref.WeakSet()


def _each_cache(does: Callable[[KeyCache], None]) -> None:
    for cache in list(_caches):
        does(cache)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=partial(_each_cache, KeyCache.before_fork),
        after_in_parent=partial(_each_cache, KeyCache.after_fork_in_parent),
        after_in_child=partial(_each_cache, KeyCache.after_fork_in_child),
    )


def _sweep(cache: "weakref.ref[KeyCache]") -> None:
    alive = cache()
    if alive is not None:
        alive.sweep()
