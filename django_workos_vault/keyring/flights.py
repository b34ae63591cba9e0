"""One piece of work at a time under each name, between threads and between tasks alike."""

import asyncio
import time
from collections.abc import Iterable
from concurrent.futures import Future, wait
from threading import Lock
from types import TracebackType
from typing import Any, Generic, TypeVar

Name = TypeVar("Name")
Outcome = TypeVar("Outcome")

_ABANDONED: Any = object()

#: Seconds that the others' work is waited for at least, however long one's own took.
_LAST_MOMENT = 0.5


class SingleFlight(Generic[Name, Outcome]):
    """Hands each name to whoever claims it first; everybody else waits for that one's outcome."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._under_way: dict[Name, Future[Outcome]] = {}

    def claim(self, names: Iterable[Name]) -> "Claim[Name, Outcome]":
        """Return a claim on those of ``names`` that nobody is working on, to be used with ``with``."""
        mine: dict[Name, Future[Outcome]] = {}
        others: dict[Name, Future[Outcome]] = {}
        with self._lock:
            for name in names:
                if name in self._under_way:
                    others[name] = self._under_way[name]
                elif name not in mine:
                    mine[name] = Future()
                    # Or a waiting task that is cancelled would cancel the work for everybody.
                    mine[name].set_running_or_notify_cancel()
            self._under_way.update(mine)
        return Claim(self, mine, others)

    def _land(self, name: Name, future: "Future[Outcome]", outcome: Outcome) -> None:
        self._give_up(name, future)
        future.set_result(outcome)

    def _give_up(self, name: Name, future: "Future[Outcome]") -> None:
        """Let the next who claims ``name`` begin anew."""
        with self._lock:
            if self._under_way.get(name) is future:
                del self._under_way[name]


class Claim(Generic[Name, Outcome]):
    """``mine`` are the names to work on. Land each, and only then wait for the others, or two deadlock."""

    def __init__(
        self,
        flights: SingleFlight[Name, Outcome],
        mine: "dict[Name, Future[Outcome]]",
        others: "dict[Name, Future[Outcome]]",
    ) -> None:
        self._flights = flights
        self._mine = mine
        self._others = others
        self.mine = list(mine)
        self.outcomes: dict[Name, Outcome] = {}
        self._began = time.monotonic()

    def land(self, outcomes: dict[Name, Outcome]) -> None:
        """Tell everybody who waits."""
        for name, outcome in outcomes.items():
            self.outcomes[name] = outcome
            self._flights._land(name, self._mine.pop(name), outcome)

    def __enter__(self) -> "Claim[Name, Outcome]":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Interrupted or cancelled: that is no outcome for the others, one of them begins anew.
        for name in list(self._mine):
            self._flights._land(name, self._mine.pop(name), _ABANDONED)

    def wait(self, seconds: float, late: Outcome) -> dict[Name, Outcome]:
        """Return every outcome; names that were abandoned are missing.

        ``late`` stands for those that have not come ``seconds`` after they were claimed.
        """
        if self._others:
            wait(self._others.values(), self._left(seconds))
        return self._arrived(late)

    async def await_(self, seconds: float, late: Outcome) -> dict[Name, Outcome]:
        """:meth:`wait` for async code."""
        if self._others:
            others = [asyncio.wrap_future(future) for future in self._others.values()]
            await asyncio.wait(others, timeout=self._left(seconds))
        return self._arrived(late)

    def _left(self, seconds: float) -> float:
        return max(_LAST_MOMENT, self._began + seconds - time.monotonic())

    def _arrived(self, late: Outcome) -> dict[Name, Outcome]:
        for name, future in self._others.items():
            if not future.done():
                self._flights._give_up(name, future)
                self.outcomes[name] = late
            elif future.result() is not _ABANDONED:
                self.outcomes[name] = future.result()
        return self.outcomes
