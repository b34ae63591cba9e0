"""A vault's own threads, in which the calls of async code run: a bounded number, for all event loops."""

import threading
import time
from asyncio import get_running_loop
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from typing import TypeVar

from django_workos_vault.backends import forks
from django_workos_vault.backends.carried import Arguments

Result = TypeVar("Result")

_asked_at: ContextVar[float | None] = ContextVar("django_workos_vault_asked_at", default=None)


def waited() -> float:
    """Return the seconds for which this thread's call has waited for the thread."""
    asked_at = _asked_at.get()
    return 0.0 if asked_at is None else time.monotonic() - asked_at


class Threads:
    """At most ``most`` threads, begun when they are needed. A forked process has its own."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._begin()
        forks.watch(self)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None

    async def run(self, verb: Callable[..., Result], arguments: Arguments) -> Result:
        """Return what ``verb`` returns, called in a thread with the caller's context variables.

        A call that has not begun when it is cancelled never does; one that has goes on, and nobody waits.
        """
        context = copy_context()
        context.run(_asked_at.set, time.monotonic())
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._most, "vault-async")
            future = get_running_loop().run_in_executor(self._pool, context.run, arguments.pass_to, verb)
        result: Result = await future
        return result

    def close(self) -> None:
        """Let the threads go; later calls begin others."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False)
