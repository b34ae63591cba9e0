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


class _Caller:
    """Who awaits a call."""

    def __init__(self) -> None:
        self.since = time.monotonic()
        self.has_left = False


_caller: ContextVar[_Caller | None] = ContextVar("django_workos_vault_caller", default=None)


def waited() -> float:
    """Return the seconds for which this thread's call has waited for the thread."""
    caller = _caller.get()
    return 0.0 if caller is None else time.monotonic() - caller.since


def is_awaited() -> bool:
    """Whether there is still somebody to whom this thread's call could return."""
    caller = _caller.get()
    return caller is None or not caller.has_left


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
        context, caller = copy_context(), _Caller()
        context.run(_caller.set, caller)
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._most, "vault-async")
            future = get_running_loop().run_in_executor(self._pool, context.run, arguments.pass_to, verb)
        try:
            result: Result = await future
        finally:
            caller.has_left = True
        return result

    def close(self) -> None:
        """Let the threads go; later calls begin others."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False)
