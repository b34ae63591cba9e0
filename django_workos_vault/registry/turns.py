"""One at a time, of all processes: who looks at the root keys of a version and then stores one."""

from collections.abc import Callable
from typing import TypeVar

from django.db import transaction
from django.db.models import F

from django_workos_vault.exceptions import VaultUnavailable
from django_workos_vault.models import IndexKeyTurn
from django_workos_vault.registry.collisions import tried_again

Result = TypeVar("Result")


def in_turn(alias: str, version: int, work: Callable[[], Result]) -> Result:
    """Return what ``work`` returns, in a transaction that is alone in its turn for ``version``.

    It sees what those before it have committed. Raises OperationalError where the database gives no turn.
    """
    return tried_again(alias, lambda: _in_turn(alias, version, work))


def _in_turn(alias: str, version: int, work: Callable[[], Result]) -> Result:
    rows = IndexKeyTurn.objects.using(alias)
    row = rows.filter(version=version)
    if not row.exists():
        # Before the transaction: MariaDB locks the gap for both, and calls it a deadlock.
        rows.bulk_create([IndexKeyTurn(version=version)], ignore_conflicts=True)
    with transaction.atomic(using=alias):
        # The first statement is a write: SQLite waits for its lock here, the snapshot of the others begins
        # behind the lock or fails, and in a cluster two such writes collide.
        if not row.update(taken=F("taken") + 1):
            raise VaultUnavailable("The registry's tables were emptied meanwhile. Try again.")
        return work()
