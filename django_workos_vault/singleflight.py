"""One piece of work at a time under each name, between threads and between tasks alike."""

import asyncio
from collections.abc import Iterable
from concurrent.futures import Future
from threading import Lock
from types import TracebackType
from typing import Any, Generic, TypeVar

Name = TypeVar("Name")
Outcome = TypeVar("Outcome")

_ABANDONED: Any = object()


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
        with self._lock:
            self._under_way.pop(name, None)
        future.set_result(outcome)


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

    def wait(self) -> dict[Name, Outcome]:
        """Return every outcome; names that were abandoned are missing."""
        return self._arrived({name: future.result() for name, future in self._others.items()})

    async def await_(self) -> dict[Name, Outcome]:
        """:meth:`wait` for async code."""
        return self._arrived(
            {name: await asyncio.wrap_future(future) for name, future in self._others.items()}
        )

    def _arrived(self, others: dict[Name, Outcome]) -> dict[Name, Outcome]:
        self.outcomes |= {name: outcome for name, outcome in others.items() if outcome is not _ABANDONED}
        return self.outcomes
