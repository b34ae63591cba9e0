"""Keys that Vault refused a moment ago: asked for again now and then, and not for every cell of a page."""

import copy
from collections.abc import Callable

from django_workos_vault.exceptions import VaultError, WrongKey

Refusal = VaultError | WrongKey

#: How long a refusal is taken as Vault's answer, in seconds. Who gives access back waits that long.
REMEMBERED = 10.0


class Refusals:
    """What Vault answered, by the commitment and the wrapped key that were asked for; at most ``size``.

    By both, because anybody who can write a cell can make a changed blob be refused. An outage, a rate limit
    or a wrong API key says nothing about a key, and is not kept here.
    """

    def __init__(self, size: int, clock: Callable[[], float]) -> None:
        self._size = size
        self._clock = clock
        self._refused: dict[tuple[bytes, bytes], tuple[float, Refusal]] = {}

    def get(self, asked: tuple[bytes, bytes]) -> Refusal | None:
        """Return a refusal of ``asked`` that is still good, as a new exception, or None."""
        found = self._refused.get(asked)
        # A copy has no traceback, which would grow with each raise and hold on to everybody's frames.
        return copy.copy(found[1]) if found is not None and self._clock() < found[0] else None

    def add(self, asked: tuple[bytes, bytes], error: Refusal) -> None:
        """Remember that Vault refused ``asked``."""
        if len(self._refused) >= self._size:
            self._refused.clear()
        self._refused[asked] = self._clock() + REMEMBERED, copy.copy(error)

    def clear(self) -> None:
        """Forget them all."""
        self._refused.clear()
