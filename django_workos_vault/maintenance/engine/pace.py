"""How fast a worker goes: batches of about a given time, and no more rows and requests than allowed."""

import time
from collections.abc import Callable
from typing import Any

#: Rows of a batch: the first one, and the fewest and most that it may become.
FIRST_SIZE, SMALLEST, LARGEST = 500, 10, 5_000
BATCH_SECONDS = 0.5
#: A worker asks at least so often whether it is to stop, in seconds.
_SLICE = 0.2


class Pace:
    """The size of the next batch, and the wait before it.

    ``options`` are those of the run: ``batch_size`` fixes the size, else it steers itself to
    ``batch_seconds`` (0.5); ``max_rows_per_second`` and ``max_requests_per_second`` are for all ``workers``
    together. ``requests`` counts the requests to Vault that this process made.
    """

    def __init__(self, options: dict[str, Any], requests: Callable[[], int]) -> None:
        self._fixed: int | None = options.get("batch_size")
        self._seconds: float = options.get("batch_seconds") or BATCH_SECONDS
        workers = options.get("workers") or 1
        self._rows: float = (options.get("max_rows_per_second") or 0) / workers
        self._requests: float = (options.get("max_requests_per_second") or 0) / workers
        self._requests_made = requests
        self._before = requests()
        self._wanted = self._fixed or FIRST_SIZE
        self.size = self._wanted

    def crowded(self, rows: int) -> None:
        """Take half as many as these ``rows``: one is held, or refused. It grows back batch by batch."""
        self.size = max(1, min(self.size, rows) // 2)

    def done(self, rows: int, seconds: float) -> float:
        """Learn from a batch; return how many seconds to wait before the next one."""
        made = self._requests_made() - self._before
        self._before += made
        if self.size < self._wanted:
            self.size = min(self._wanted, 2 * self.size)
        elif not self._fixed and seconds > 0:
            # Halved or doubled at most: one slow batch says little.
            wanted = self.size * min(2.0, max(0.5, self._seconds / seconds))
            if rows >= self.size or wanted < self.size:
                self._wanted = self.size = min(LARGEST, max(SMALLEST, round(wanted)))
        least = rows / self._rows if self._rows else 0.0
        if self._requests:
            least = max(least, made / self._requests)
        return max(0.0, least - seconds)


def wait(seconds: float, stop: Callable[[], bool]) -> None:
    """Sleep, but not on once ``stop`` says so."""
    until = time.monotonic() + seconds
    while not stop() and (left := until - time.monotonic()) > 0:
        time.sleep(min(left, _SLICE))
