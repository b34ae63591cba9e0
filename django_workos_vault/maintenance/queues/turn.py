"""What a task does, whatever queue it came from: one chunk of a run."""

import enum
import logging

from django.db import DatabaseError

from django_workos_vault.exceptions import VaultError
from django_workos_vault.maintenance.engine import runs
from django_workos_vault.maintenance.engine.work import Worker
from django_workos_vault.maintenance.operations import NotAsWritten

logger = logging.getLogger("django_workos_vault")

#: Seconds until a task looks again whether a worker has died that had one of the last chunks.
LOOKS_AGAIN = 5


class QueueRefused(Exception):
    """The queue cannot be used. The message is one line that says what to do."""


class Turn(enum.Enum):
    """What comes after a task: another one now, one later, or none."""

    NEXT = "next"
    LATER = "later"
    OVER = "over"


def one_turn(number: int, using: str) -> Turn:
    """Do one chunk of run ``number`` in the database ``using``; say whether another task is to follow.

    What stops a run stands in the run, not in the task's outcome: a task that is only repeated helps nothing.
    """
    try:
        run = runs.find(number, using)
        if run.state != runs.State.RUNNING:
            return Turn.OVER
        did = Worker(run).one_chunk()
        run.refresh_from_db()
    except (VaultError, NotAsWritten, runs.RunRefused, DatabaseError) as exc:
        logger.warning("A worker of run %s stopped: %s.", number, type(exc).__name__)
        return Turn.OVER
    if run.state != runs.State.RUNNING:
        return Turn.OVER
    return Turn.NEXT if did else Turn.LATER
