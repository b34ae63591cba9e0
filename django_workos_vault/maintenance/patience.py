"""What goes through whole tables has no hurry: without a turn under the rate limit, it waits for the next."""

import time
from collections.abc import Callable
from typing import TypeVar

from django_workos_vault.exceptions import VaultRateLimited

Result = TypeVar("Result")

#: Waits in a row, each of at most a minute or so, that brought no turn.
WAITS = 5


def patiently(work: Callable[[], Result]) -> Result:
    """Return what ``work`` returns. Where it raises VaultRateLimited, it is called again when its turn comes.

    Raises that in the end, where nothing is told of a turn, or others take them all.
    """
    for _ in range(WAITS):
        try:
            return work()
        except VaultRateLimited as exc:
            if exc.retry_after is None:
                raise
            time.sleep(exc.retry_after)
    return work()
