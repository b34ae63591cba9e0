"""The beginning of a stored file, which is what its header says; and its end, which says that it is whole."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from django_workos_vault.datakey import TAG_BYTES
from django_workos_vault.exceptions import EnvelopeError
from django_workos_vault.streams.cipher import AT_FIRST, read_header
from django_workos_vault.streams.header import MAGIC, START_BYTES, FileHeader, header_length
from django_workos_vault.streams.sources import Source


@dataclass(frozen=True, slots=True, repr=False)
class Beginning:
    """The first bytes of a file of ``size`` bytes, and the last, as a source that has no others."""

    start: bytes
    size: int
    end: bytes = b""

    @property
    def state(self) -> str:
        """What it is where it has no header."""
        if not self.size:
            return "empty"
        return "damaged" if self.start.startswith(MAGIC[: self.size]) else "not encrypted"

    def header(self) -> FileHeader:
        """Return the header. Raises MalformedEnvelope or UnknownFormat."""
        return read_header(self)

    def read_at(self, offset: int, length: int) -> bytes:
        """Return what is held of those bytes."""
        behind = offset - (self.size - len(self.end))
        return self.end[behind : behind + length] if behind >= 0 else self.start[offset : offset + length]

    def close(self) -> None:
        """Nothing is open."""


def beginning_of(opened: Callable[[], Source]) -> Beginning:
    """Read the beginning of a stored file, in one range where its header is as long as most.

    Raises FileNotFoundError, and what the storage does.
    """
    source = opened()
    try:
        return _beginning(source)
    finally:
        source.close()


def both_ends_of(opened: Callable[[], Source]) -> Beginning:
    """Read the last two frames too: a file is opened with them, and its size told. Raises the same."""
    source = opened()
    try:
        beginning = _beginning(source)
        try:
            header = beginning.header()
        except EnvelopeError:  # which opening it tells
            return beginning
        frame = header.frame_bytes + TAG_BYTES
        last = (source.size - header.length - 1) // frame
        at = header.length + max(0, last - 1) * frame
        return replace(beginning, end=source.read_at(at, source.size - at))
    finally:
        source.close()


def _beginning(source: Source) -> Beginning:
    start = source.read_at(0, min(AT_FIRST, source.size))
    with suppress(EnvelopeError):  # which header() tells
        missing = header_length(start[:START_BYTES]) - len(start)
        start += source.read_at(len(start), missing) if missing > 0 else b""
    return Beginning(start, source.size)
