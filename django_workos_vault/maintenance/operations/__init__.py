"""What a run does to each cell, by name."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from django_workos_vault.maintenance.operations.base import AtOnce, NotAsWritten, Operation
from django_workos_vault.maintenance.operations.copying import Copying
from django_workos_vault.maintenance.operations.mending import Rebinding, Reindexing, Relabelling
from django_workos_vault.maintenance.operations.moving import Moving
from django_workos_vault.maintenance.operations.rekeying import Rekeying
from django_workos_vault.maintenance.operations.relocation import Relocation
from django_workos_vault.maintenance.operations.resealing import Resealing

__all__ = [
    "NAMES",
    "AtOnce",
    "Copying",
    "Moving",
    "NotAsWritten",
    "Operation",
    "Rekeying",
    "Resealing",
    "operation",
]

NAMES = ("reseal", "rekey", "move", "envelope", "reindex", "relabel", "rebind", "encrypt", "decrypt")


def operation(
    name: str, since: datetime | None = None, options: Mapping[str, Any] | None = None
) -> Operation:
    """Return the operation of a run that began at ``since``, with the run's ``options``.

    Raises KeyError for a name that is none.
    """
    given = options or {}
    makers: dict[str, Callable[[], Operation]] = {
        "reseal": lambda: Resealing(since),
        "rekey": Rekeying,
        "move": lambda: Moving(given["from_vault"]),
        "envelope": Relocation,
        "reindex": Reindexing,
        "relabel": Relabelling,
        "rebind": Rebinding,
        "encrypt": lambda: Copying(given["plain"]),
        "decrypt": lambda: Copying(given["plain"], back=True),
    }
    return makers[name]()
