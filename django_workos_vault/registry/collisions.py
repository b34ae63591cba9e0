"""Doing anew what a database took back for another transaction's sake."""

from collections.abc import Callable
from typing import TypeVar

from django.db import OperationalError, connections

_TRIES = 8

Result = TypeVar("Result")


def tried_again(alias: str, work: Callable[[], Result]) -> Result:
    """Return what ``work`` returns, having tried it anew where others were in its way.

    Part of a transaction of the caller's, it is tried once. Raises OperationalError.
    """
    is_outermost = not connections[alias].in_atomic_block
    for left in reversed(range(_TRIES if is_outermost else 1)):
        try:
            return work()
        except OperationalError as exc:
            if not left or not _collided(exc):
                raise
    raise AssertionError


def _collided(exc: OperationalError) -> bool:
    """Whether the transaction was taken back: after a deadlock, above READ COMMITTED, and in clusters."""
    return exc.args[:1] == (1213,) or getattr(exc.__cause__, "sqlstate", "") in ("40001", "40P01")
