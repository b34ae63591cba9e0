"""Waiting for something that takes no timeout, and only so long."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

Result = TypeVar("Result")


def within(seconds: float, work: Callable[[], Result]) -> Result:
    """Return what ``work`` returns, or raise what it raises. Raises TimeoutError after ``seconds``.

    It runs in a thread of its own, which is left behind after that: it must end by itself at some time. Where
    no thread can be started, as in a process that is about to end, it is simply waited for.
    """
    outcome: Future[Result] = Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as exc:
            outcome.set_exception(exc)

    try:
        threading.Thread(target=run, name="vault-wait", daemon=True).start()
    except RuntimeError:
        run()
    return outcome.result(seconds)
