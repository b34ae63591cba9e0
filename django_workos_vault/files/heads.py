"""How files begin and end that this process has read, in a store where each look is a request."""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from threading import Lock

#: Each takes four kilobytes with the header, as a rule, and a frame of 64 KiB where the end was looked at.
_MOST = 32
_MOST_BYTES = 1 << 17


@dataclass(frozen=True, slots=True, repr=False)
class Head:
    """One version of a stored object: ``tag`` is the store's name for it.

    ``start`` is the header, which is ciphertext and a wrapped key. ``end`` is what was read last of the
    object, up to its end, or nothing. None of it is believed: whoever opens the file authenticates it again.
    """

    tag: str
    size: int
    start: bytes
    end: bytes = b""

    def read_at(self, offset: int, length: int) -> bytes | None:
        """Return those bytes if they are here."""
        stop = min(offset + length, self.size)
        if stop <= len(self.start):
            return self.start[offset:stop]
        begin = offset - (self.size - len(self.end))
        return self.end[begin : begin + stop - offset] if begin >= 0 else None


class Heads:
    """The heads of the files read last. Threads may share it."""

    def __init__(self) -> None:
        self._held: OrderedDict[Hashable, Head] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable) -> Head | None:
        """Return what was seen of the object, whatever became of it since."""
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
            return self._held.get(key)

    def put(self, key: Hashable, head: Head) -> None:
        """Remember ``head``, and forget the one that was not asked for longest."""
        with self._lock:
            if len(head.start) + len(head.end) <= _MOST_BYTES:
                self._held[key] = head
                self._held.move_to_end(key)
            while len(self._held) > _MOST:
                self._held.popitem(last=False)

    def forget(self, key: Hashable) -> None:
        """Forget one, or nothing."""
        with self._lock:
            self._held.pop(key, None)


heads = Heads()
