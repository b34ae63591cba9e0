"""One piece of work at a time under each name, however many threads want its outcome."""

import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, wait
from threading import Lock
from typing import Any, Generic, TypeVar

from django_workos_vault.backends import forks

Name = TypeVar("Name")
Outcome = TypeVar("Outcome")

_ABANDONED: Any = object()

#: Seconds that the others' work is waited for at least, however long one's own took.
_LAST_MOMENT = 0.5


class SingleFlight(Generic[Name, Outcome]):
    """Hands each name to whoever wants it first; everybody else waits for that one's outcome."""

    def __init__(self) -> None:
        self._begin()
        forks.watch(self)

    def _begin(self) -> None:
        self._lock = Lock()
        self._under_way: dict[Name, Future[Outcome]] = {}

    def outcomes(
        self,
        names: Iterable[Name],
        work: Callable[[list[Name]], Iterable[dict[Name, Outcome]]],
        seconds: float,
        late: Callable[[], Outcome],
    ) -> dict[Name, Outcome]:
        """Return the outcome of each of ``names``: of ``work``, or of whoever is at it already.

        ``work`` is given the names that nobody is working on, and yields their outcomes, a few at a time:
        those who wait for one of them have it at once. What another has not brought in ``seconds`` is
        ``late()``. Where ``work`` raises, one of those who wait begins anew.
        """
        outcomes: dict[Name, Outcome] = {}
        while missing := [name for name in names if name not in outcomes]:
            began = time.monotonic()
            mine, others = self._claimed(missing)
            try:
                for some in work(list(mine)) if mine else ():
                    for name, outcome in some.items():
                        self._land(name, mine.pop(name), outcome)
                    outcomes |= some
            finally:
                for name, future in mine.items():
                    self._land(name, future, _ABANDONED)
            # Not before one's own have landed, or two would wait for each other.
            wait(others.values(), max(_LAST_MOMENT, began + seconds - time.monotonic()))
            for name, future in others.items():
                if not future.done():
                    self._give_up(name, future)
                    outcomes[name] = late()
                elif future.result() is not _ABANDONED:
                    outcomes[name] = future.result()
        return outcomes

    def _claimed(
        self, names: list[Name]
    ) -> "tuple[dict[Name, Future[Outcome]], dict[Name, Future[Outcome]]]":
        """Return the futures of the names that are the caller's to work on, and of those that are not."""
        mine: dict[Name, Future[Outcome]] = {}
        others: dict[Name, Future[Outcome]] = {}
        with self._lock:
            for name in names:
                if name in self._under_way:
                    others[name] = self._under_way[name]
                else:
                    mine[name] = mine.get(name, Future())
            self._under_way.update(mine)
        return mine, others

    def _land(self, name: Name, future: "Future[Outcome]", outcome: Outcome) -> None:
        self._give_up(name, future)
        future.set_result(outcome)

    def _give_up(self, name: Name, future: "Future[Outcome]") -> None:
        """Let the next who wants ``name`` begin anew."""
        with self._lock:
            if self._under_way.get(name) is future:
                del self._under_way[name]
