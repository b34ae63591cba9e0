"""Switches that make the emulator slow, failing or strict, so that users can test what they do then."""

import threading
import time
from dataclasses import dataclass, field, fields
from math import ceil
from typing import Any

from django_workos_vault.emulator.messages import Refused

RATE_WINDOW_SECONDS = 60.0


@dataclass
class Faults:
    """What goes wrong. Every attribute may be set at any time; a new object is a healthy emulator.

    ``latency``: seconds before each answer. ``fail``: the share of requests that fail, from 0 to 1, evenly
    spread (0.25 is every fourth). ``fail_next``: how many of the next requests fail. ``fail_status``: the
    status of a failure. ``retry_after``: the ``Retry-After`` header of a failure, seconds or an HTTP date.
    ``rate_limit``: requests that each API key may make in 60 seconds; None for any number.
    """

    latency: float = 0.0
    fail: float = 0.0
    fail_next: int = 0
    fail_status: int = 503
    retry_after: str | None = None
    rate_limit: int | None = None
    _due: float = field(default=0.0, init=False, repr=False)
    _windows: dict[str, tuple[float, int]] = field(default_factory=dict, init=False, repr=False)
    _hurry: threading.Event = field(default_factory=threading.Event, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def apply(self, caller: str) -> None:
        """Delay or refuse (by raising Refused) one request of ``caller``, the id of an API key."""
        if self.latency:
            self._hurry.wait(self.latency)
        with self._lock:
            self._limit(caller)
            if self._fails():
                headers = {} if self.retry_after is None else {"Retry-After": self.retry_after}
                raise Refused(self.fail_status, "The emulator was told to fail.", headers)

    def end_latency(self) -> None:
        """Let the requests that wait go on at once, and later ones not wait at all."""
        self._hurry.set()

    def change(self, settings: dict[str, Any]) -> None:
        """Set the attributes named in ``settings``. Raises Refused (422) for a wrong name or value."""
        for name, value in settings.items():
            wanted = _SETTINGS.get(name)
            if wanted is None or not wanted(value):
                raise Refused(422, f"There is no fault setting {name!r}, or it does not take this value.")
        for name, value in settings.items():
            setattr(self, name, value)

    def settings(self) -> dict[str, Any]:
        """Return the attributes that can be set."""
        return {item.name: getattr(self, item.name) for item in fields(self) if item.init}

    def _limit(self, caller: str) -> None:
        if self.rate_limit is None:
            return
        now = time.monotonic()
        started, used = self._windows.get(caller, (now, 0))
        if now - started >= RATE_WINDOW_SECONDS:
            started, used = now, 0
        if used >= self.rate_limit:
            wait = ceil(started + RATE_WINDOW_SECONDS - now)
            raise Refused(429, "Too many requests.", {"Retry-After": str(wait)})
        self._windows[caller] = (started, used + 1)

    def _fails(self) -> bool:
        if self.fail_next > 0:
            self.fail_next -= 1
            return True
        self._due += self.fail
        if self._due < 1:
            return False
        self._due -= 1
        return True


def _number(low: float, high: float) -> Any:
    return lambda value: type(value) in (int, float) and low <= value <= high


def _whole(low: int, high: int) -> Any:
    return lambda value: type(value) is int and low <= value <= high


def _is_header(value: str) -> bool:
    return value.isascii() and value.isprintable()


_SETTINGS = {
    "latency": _number(0, 60),
    "fail": _number(0, 1),
    "fail_next": _whole(0, 10**9),
    "fail_status": _whole(400, 599),
    "retry_after": lambda value: value is None or (isinstance(value, str) and _is_header(value)),
    "rate_limit": lambda value: value is None or _whole(0, 10**9)(value),
}
