"""One rate limit for a whole fleet, counted in a Redis that all its processes share."""

import logging
import re
import threading
import time
from collections import deque
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any

from django_workos_vault.backends.carried import Carried
from django_workos_vault.backends.rate_limit import WINDOW, RateLimiter, over_share
from django_workos_vault.backends.retries import Deadline
from django_workos_vault.backends.waiting import within
from django_workos_vault.exceptions import InvalidVaultConfiguration

logger = logging.getLogger(__name__)

SHORTEST_WAIT = 0.05
STORE_TIMEOUT = 1.0
LEAVE_ALONE = 5.0
NOT_AN_ADDRESS = "rate_limit_store must be an address like redis://host:6379/0."


class FleetLimiter:
    """Lets at most ``own.limit`` requests of all processes of one ``budget`` begin in ``window`` seconds.

    ``store`` is a Redis address; it may hold a password and appears in no message. Within a process callers
    take turns in the order in which they came. While the store cannot be reached, the process keeps to
    ``own``: Vault still refuses what is too much, and an outage of Redis must not be one of decryption.
    """

    def __init__(self, own: RateLimiter, store: Carried, budget: str, window: int = int(WINDOW)) -> None:
        if not re.match(r"(rediss?|redis\+unix)://", str(store.text)):
            raise InvalidVaultConfiguration(NOT_AN_ADDRESS)
        try:
            from limits import RateLimitItemPerSecond, storage, strategies
            from redis.backoff import NoBackoff
            from redis.retry import Retry
        except ImportError as exc:
            raise InvalidVaultConfiguration(
                "rate_limit_store needs two more libraries: pip install 'django-workos-vault[redis]'."
            ) from exc
        redis = None
        with suppress(Exception):  # raised below, as what is raised here may quote a part of the password
            # redis-py's own retries take many seconds, and this process can go on without the store.
            never: Any = Retry(NoBackoff(), 0)
            made = storage.RedisStorage(
                store.text,
                wrap_exceptions=True,
                socket_timeout=STORE_TIMEOUT,
                socket_connect_timeout=STORE_TIMEOUT,
                retry=never,
            )
            # An option that the address carries and no connection takes would be found at the first request.
            made.storage.connection_pool.make_connection()
            redis = made
        if redis is None:
            raise InvalidVaultConfiguration(NOT_AN_ADDRESS)
        self._strategy = strategies.MovingWindowRateLimiter(redis)
        self._item = RateLimitItemPerSecond(own.limit, window, namespace="django_workos_vault")
        self._own = own
        self._budget = budget
        self._line = _Line()
        self._asked_again_at = 0.0

    def acquire(self, deadline: Deadline) -> None:
        """Wait for a turn. Raises VaultRateLimited when it would come after ``deadline``."""
        turn = self._line.join()
        try:
            turn.result(deadline.remaining())
            while wait := within(deadline.remaining(), partial(self._ask, deadline)):
                time.sleep(wait)
        except TimeoutError:
            raise over_share(self._own.limit) from None
        finally:
            self._line.leave(turn)

    def _ask(self, deadline: Deadline) -> float:
        """Return 0 when a request may begin now, else the seconds after which it is worth asking again."""
        free_at = None if time.monotonic() < self._asked_again_at else self._free_at()
        if free_at is None:
            self._own.acquire(deadline)
            return 0.0
        if not free_at:
            return 0.0
        wait = max(SHORTEST_WAIT, free_at - time.time())
        if wait > deadline.remaining():
            raise over_share(self._own.limit, wait)
        return wait

    def _free_at(self) -> float | None:
        """Return when a request may begin, 0 for now, by the clock of the day; None without the store."""
        try:
            if self._strategy.hit(self._item, self._budget):
                return 0.0
            return self._strategy.get_window_stats(self._item, self._budget).reset_time
        except Exception:  # whatever it is, and what redis-py raises need not be an error of its own
            self._asked_again_at = time.monotonic() + LEAVE_ALONE
        logger.warning(
            "The store of the shared rate limit (rate_limit_store) cannot be reached; until it can, "
            "each process keeps to the whole share by itself."
        )
        return None


class _Line:
    """A line of waiting callers. The future of whoever is at its head is done."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[Future[None]] = deque()

    def join(self) -> "Future[None]":
        turn: Future[None] = Future()
        with self._lock:
            self._waiting.append(turn)
            self._call_head()
        return turn

    def leave(self, turn: "Future[None]") -> None:
        with self._lock:
            self._waiting.remove(turn)
            self._call_head()

    def _call_head(self) -> None:
        if self._waiting and not self._waiting[0].done():
            self._waiting[0].set_result(None)
