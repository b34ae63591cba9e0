"""One authenticated call on its way through the emulator."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django_workos_vault.backends.local import LocalVault
from django_workos_vault.backends.objects import Actor
from django_workos_vault.emulator.events import EventLog
from django_workos_vault.emulator.faults import Faults
from django_workos_vault.emulator.messages import Request


@dataclass(frozen=True)
class Call:
    """The request, the members of its path, who makes it, and what it acts on."""

    request: Request
    path: Mapping[str, str]
    actor: Actor
    vault: LocalVault
    events: EventLog
    faults: Faults

    def record(self, event: str, **data: Any) -> None:
        """Note in the audit list that the caller did ``event``."""
        self.events.record(event, self.actor, **data)
