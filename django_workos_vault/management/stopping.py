"""Ctrl-C and SIGTERM, for what ends at its next pause instead of at once."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Stopping:
    """Whether Ctrl-C or SIGTERM asked to stop: the batch under way is finished; the same again interrupts it.

    One of each is one request: Ctrl-C reaches workers from the terminal, and as SIGTERM from their parent.
    """

    def __init__(self) -> None:
        self.asked = False
        self._seen: set[int] = set()

    def __call__(self) -> bool:
        return self.asked

    def _ask(self, number: int, frame: Any) -> None:
        if number in self._seen:
            raise KeyboardInterrupt
        self._seen.add(number)
        self.asked = True

    @contextmanager
    def signals(self) -> "Iterator[Stopping]":
        """Listen to both signals; in the main thread, where they arrive."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        before = {number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
