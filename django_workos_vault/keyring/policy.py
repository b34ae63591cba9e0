"""How a vault's data keys are used: the ``DATA_KEYS`` setting, and the numbers that show it at work."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class DataKeyPolicy:
    """The ``DATA_KEYS`` setting.

    ``rotate_after`` is the age at which the next write makes another key. ``max_messages`` bounds the values
    sealed with one key; with random 96-bit nonces NIST SP 800-38D (section 8.3) allows 2**32. ``cache_ttl``
    is how long a plaintext key may stay in memory, ``cache_size`` how many may; while Vault cannot
    be reached, and only then, keys are used for ``outage_grace`` longer. ``envelope`` is ``"inline"`` (each
    cell carries its wrapped key) or ``"reference"`` (the registry keeps it).
    """

    rotate_after: timedelta = timedelta(days=30)
    max_messages: int = 2**31
    cache_ttl: timedelta = timedelta(minutes=5)
    cache_size: int = 1024
    outage_grace: timedelta = timedelta(0)
    envelope: str = "inline"


@dataclass(frozen=True, slots=True)
class KeyRingStats:
    """What a vault did in this process since it started, or since it was forked.

    ``requests`` went to Vault; ``sealed`` and ``opened`` count values; ``cache_hits`` and ``cache_misses``
    count the values whose key was, or was not, in memory; ``keys_cached`` are in memory now.
    ``keys_created`` and ``keys_unwrapped`` are answers of Vault; ``leases`` are blocks taken from message
    budgets; ``outage_uses`` count how often a key's time was stretched because Vault could not be reached.
    ``asks_again_in`` are the seconds for which calls fail at once, because Vault failed a moment ago.
    """

    requests: int
    sealed: int
    opened: int
    cache_hits: int
    cache_misses: int
    keys_cached: int
    keys_created: int
    keys_unwrapped: int
    leases: int
    outage_uses: int
    asks_again_in: float = 0.0


class Counters:
    """The numbers behind :class:`KeyRingStats`; cheap to add to, and exact under the GIL."""

    __slots__ = ("created", "leases", "misses", "opened", "outage_uses", "sealed", "unwrapped")

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin at zero."""
        self.sealed = self.opened = self.misses = 0
        self.created = self.unwrapped = self.leases = self.outage_uses = 0
