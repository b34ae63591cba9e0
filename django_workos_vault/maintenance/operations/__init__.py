"""What a run does to each cell, by name."""

from collections.abc import Callable
from datetime import datetime

from django_workos_vault.maintenance.operations.base import NotAsWritten, Operation
from django_workos_vault.maintenance.operations.rekeying import Rekeying
from django_workos_vault.maintenance.operations.resealing import Resealing

__all__ = ["NAMES", "NotAsWritten", "Operation", "Rekeying", "Resealing", "operation"]

NAMES = ("reseal", "rekey")


def operation(name: str, since: datetime | None = None) -> Operation:
    """Return the operation of a run that began at ``since``. Raises KeyError for a name that is none."""
    makers: dict[str, Callable[[], Operation]] = {"reseal": lambda: Resealing(since), "rekey": Rekeying}
    return makers[name]()
