"""How Vault did, for whoever looks after it."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Health:
    """How Vault did in the eyes of one process.

    ``asks_again_in`` are the seconds for which calls fail at once, ``last_failure`` says why Vault itself
    failed last, ``failed_at`` when. ``requests`` of at most ``requests_allowed`` began in the last minute;
    None where nothing is counted.
    """

    asks_again_in: float = 0.0
    last_failure: str = ""
    failed_at: datetime | None = None
    requests: int | None = None
    requests_allowed: int | None = None
