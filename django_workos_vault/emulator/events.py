"""The audit list: who did what with which key, in the shape of WorkOS's ``vault.*`` events."""

import threading
from collections import deque
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from django_workos_vault.backends.objects import Actor

Event = dict[str, Any]
MAX_EVENTS = 10_000


class EventLog:
    """The last 10,000 events. No event holds a value, a data key or an API key."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque(maxlen=MAX_EVENTS)
        self._lock = threading.Lock()

    def record(self, name: str, actor: Actor, **data: Any) -> None:
        """Add the event ``name`` (for example ``vault.dek.decrypted``), caused by ``actor``."""
        event = {
            "object": "event",
            "id": f"event_{uuid4().hex}",
            "event": name,
            "data": {"actor_id": actor.id, "actor_source": "api", "actor_name": actor.name, **data},
            "created_at": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        }
        with self._lock:
            self._events.append(event)

    def all(self) -> list[Event]:
        """Return the events, oldest first."""
        with self._lock:
            return list(self._events)
