"""Ranges of an object in a store where each is a request."""

from collections.abc import Hashable
from dataclasses import replace
from threading import Lock
from typing import NamedTuple, Protocol

from django_workos_vault.exceptions import EnvelopeError, MalformedEnvelope
from django_workos_vault.files.heads import Head, heads
from django_workos_vault.streams.cipher import AT_FIRST
from django_workos_vault.streams.frames import stored_range
from django_workos_vault.streams.header import START_BYTES, header_length

#: The first request: the header, most times, and the first frame.
_AT_FIRST = 1 << 17
#: Reading on where the last request ended asks for this much more, and twice as much each time, up to that.
_AHEAD, _MOST_AHEAD = 1 << 18, 1 << 22
#: What is asked for with the first request of a file whose header is known, at most.
_MOST_WANTED = 1 << 21


class Answer(NamedTuple):
    """Bytes of an object, the store's name for its version, and how many bytes that has."""

    data: bytes
    tag: str
    size: int


class StoredObject(Protocol):
    """An object as its store keeps it."""

    @property
    def key(self) -> Hashable:
        """What no other object of any store is named by."""

    def get(self, start: int, length: int, tag: str) -> Answer:
        """Return the bytes of the range, of the version ``tag`` if it is one. A request, or two.

        Raises FileNotFoundError, :class:`Replaced` where there is another version by now, and what the store
        does. An object of no bytes has no range: it may have neither tag nor size.
        """


class Replaced(MalformedEnvelope):
    """The object is another one by now."""

    def __init__(self) -> None:
        super().__init__("The file was replaced while it was read. Open it again.")


class RangedSource:
    """A stored object, read in ranges, a few large ones where it is read from one end to the other.

    All of them are of one version of the object: an error tells when it was replaced meanwhile. Where this
    process has read the object before, and the plaintext ``wanted`` is told, from where to where, the first
    request is for that, and for the version whose header is known; if there is another by now, it begins
    anew.
    """

    def __init__(self, stored: StoredObject, wanted: tuple[int, int] | None = None) -> None:
        self._object = stored
        self._lock = Lock()
        self._ahead = _AHEAD
        self._head: Head | None = None
        if wanted is None or not self._has_not_changed(wanted):
            self._begin()

    def read_at(self, offset: int, length: int) -> bytes:
        """Return what a source does."""
        with self._lock:
            if self._head is not None and (known := self._head.read_at(offset, length)) is not None:
                return known
            end = min(offset + length, self.size)
            begin = offset - self._at
            if begin < 0 or begin > len(self._held):
                return self._elsewhere(offset, end)
            if end > self._at + len(self._held):
                self._read_on(begin, end)
                begin = 0
            return self._held[begin : begin + max(0, end - offset)]

    def close(self) -> None:
        """Nothing is open between two requests."""
        self._held = b""

    def _begin(self) -> None:
        self._at, self._tag, self.size = 0, "", 0
        self._held = self._get(0, _AT_FIRST)
        if self.size == len(self._held):  # no more requests to save
            return
        try:
            length = header_length(self._held[:START_BYTES])
        except EnvelopeError:  # which the reader tells
            return
        known = heads.get(self._object.key)
        self._head = Head(self._tag, self.size, self._held[: max(length, AT_FIRST)])
        if known and (known.tag, known.size, known.start) == (self._tag, self.size, self._head.start):
            self._head = known
        heads.put(self._object.key, self._head)

    def _has_not_changed(self, wanted: tuple[int, int]) -> bool:
        """Whether the object is the one that is known still. If so, what is wanted of it was read."""
        known = heads.get(self._object.key)
        if known is None:
            return False
        start, stop = stored_range(known.start, *wanted)
        start, stop = min(start, known.size - 1), min(stop, start + _MOST_WANTED, known.size)
        self._tag, self.size = known.tag, known.size
        try:
            held = self._get(start, max(1, stop - start))
        except (FileNotFoundError, Replaced):
            heads.forget(self._object.key)
            return False
        self._at, self._held, self._head = start, held, known
        return True

    def _read_on(self, begin: int, end: int) -> None:
        held_end = self._at + len(self._held)
        stop = min(self.size, max(end, held_end + self._ahead))
        self._held = self._held[begin:] + self._get(held_end, stop - held_end)
        self._at += begin
        self._ahead = min(2 * self._ahead, _MOST_AHEAD)

    def _elsewhere(self, offset: int, end: int) -> bytes:
        got = self._get(offset, end - offset) if end > offset else b""
        if end < self.size:  # the end is looked at once, and what was held is wanted again
            self._at, self._held, self._ahead = offset, got, _AHEAD
        elif self._head is not None:
            self._head = replace(self._head, end=got)
            heads.put(self._object.key, self._head)
        return got

    def _get(self, start: int, length: int) -> bytes:
        data, tag, size = self._object.get(start, length, self._tag)
        if self._tag and (self._tag, self.size) != (tag, size):  # a store that knows no condition
            raise Replaced
        self._tag, self.size = tag, size
        return data
