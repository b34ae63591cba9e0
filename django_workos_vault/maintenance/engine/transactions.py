"""One short transaction, tried again where other writers were in its way."""

import time
from collections.abc import Callable
from random import uniform
from typing import Any, TypeVar

from django.db import DatabaseError, DataError, IntegrityError, OperationalError, connections, transaction

#: Seconds to wait for a lock that another transaction holds, before stepping back.
LOCK_TIMEOUT = 3

#: PostgreSQL's classes of errors that speak of rows: raised by triggers, or for a view's condition; and of
#: values that an index does not take.
_STATES = ("09", "27", "44", "P0", "54000")
#: MariaDB's and MySQL's: for a view's condition, and raised by triggers.
_NUMBERS = (1369, 1644)
#: Those after a lock that was waited for in vain: PostgreSQL's, and MariaDB's and MySQL's.
_LOCKED, _LOCKED_NUMBER = "55P03", 1205

Result = TypeVar("Result")


def in_transaction(using: str, work: Callable[[], Result], tries: int = 8) -> Result:
    """Return what ``work`` returns, having committed it.

    On servers a lock is waited for 3 seconds. After a deadlock or such a wait everything is taken back, and
    tried again up to ``tries`` times, later each time. Raises OperationalError after that, and where the
    connection is lost. Part of a transaction of the caller's, it is tried once.
    """
    connection = connections[using]
    for turn in range(1, tries + 1):
        outermost = not connection.in_atomic_block
        try:
            with transaction.atomic(using=using):
                if outermost:
                    _limit_lock_waits(using)
                return work()
        except OperationalError as exc:
            if not outermost or turn == tries or concerns_rows(exc) or not connection.is_usable():
                raise
        time.sleep(uniform(0.5, 1) * min(2.0, 0.02 * 2**turn))  # noqa: S311
    raise AssertionError


def concerns_rows(error: DatabaseError) -> bool:
    """Whether ``error`` speaks of the rows to be written: a constraint or a trigger refuses them."""
    if isinstance(error, IntegrityError | DataError):
        return True
    state, number = _told(error)
    return state.startswith(_STATES) or number in _NUMBERS


def is_locked(error: DatabaseError) -> bool:
    """Whether ``error`` says that another session held a lock for too long. SQLite's are of all rows."""
    state, number = _told(error)
    return state == _LOCKED or number == _LOCKED_NUMBER


def _told(error: DatabaseError) -> tuple[str, object]:
    """Return the state and the number of the driver's error, as far as it has them."""
    cause: Any = error.__cause__
    state: str = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None) or ""
    return state, next(iter(getattr(cause, "args", ())), None)


def _limit_lock_waits(using: str) -> None:
    connection = connections[using]
    if connection.vendor == "postgresql":
        statement = f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}s'"
    elif connection.vendor == "mysql":
        statement = f"SET SESSION innodb_lock_wait_timeout = {LOCK_TIMEOUT}"
    else:
        return  # SQLite's "timeout" is an option of its connection
    with connection.cursor() as cursor:
        cursor.execute(statement)
