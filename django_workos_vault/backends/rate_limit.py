"""Keeps this process under its share of Vault's rate limit: 6,000 requests in 60 seconds per API key."""

import threading
import time
from collections import deque
from collections.abc import Callable

from django_workos_vault.backends.retries import Deadline
from django_workos_vault.exceptions import VaultRateLimited

REQUESTS = 6000
WINDOW = 60.0


class RateLimiter:
    """Lets at most ``limit`` requests begin in any window of 60 seconds, first come, first served.

    A caller reserves the next free moment and then waits for it on its own, so nobody is overtaken, no
    lock is held while waiting, and all threads stand in one queue.
    """

    def __init__(self, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit = limit
        self._clock = clock
        self._lock = threading.Lock()
        self._begun: deque[float] = deque(maxlen=limit)

    def acquire(self, deadline: Deadline) -> None:
        """Wait for a turn. Raises VaultRateLimited at once when it would come after ``deadline``."""
        wait = self.reserve(deadline.remaining())
        if wait:
            time.sleep(wait)

    def begun(self) -> int:
        """Return how many requests began, or are to begin, since a window ago."""
        with self._lock:
            since = self._clock() - WINDOW
            return sum(turn > since for turn in self._begun)

    def reserve(self, patience: float) -> float:
        """Take the next turn and return the seconds until it begins; raise if that is over ``patience``."""
        with self._lock:
            now = self._clock()
            turn = now
            if len(self._begun) == self.limit:
                turn = max(now, self._begun[0] + WINDOW)
            if turn - now > patience:
                raise over_share(self.limit, turn - now)
            self._begun.append(turn)
            return turn - now


def over_share(limit: int, wait: float | None = None) -> VaultRateLimited:
    """Return the error of a request that was not sent, as its turn is ``wait`` seconds away."""
    when = "" if wait is None else f" The next turn is in {wait:.1f} seconds."
    return VaultRateLimited(
        f"Not sent: {limit} requests in {WINDOW:.0f} seconds are this client's share of Vault's rate limit "
        f"(rate_limit_share), and they are used up.{when}",
        retry_after=wait,
    )
