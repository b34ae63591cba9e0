"""The beginning of a stored file: what its header says, and nothing of its frames."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from django_workos_vault.exceptions import EnvelopeError
from django_workos_vault.streams.cipher import AT_FIRST, read_header
from django_workos_vault.streams.header import MAGIC, START_BYTES, FileHeader, header_length
from django_workos_vault.streams.sources import Source


@dataclass(frozen=True, slots=True, repr=False)
class Beginning:
    """The first bytes of a file of ``size`` bytes, as a source that has no others."""

    start: bytes
    size: int

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
        return self.start[offset : offset + length]

    def close(self) -> None:
        """Nothing is open."""


def beginning_of(opened: Callable[[], Source]) -> Beginning:
    """Read the beginning of a stored file, in one range where its header is as long as most.

    Raises FileNotFoundError, and what the storage does.
    """
    source = opened()
    try:
        start = source.read_at(0, min(AT_FIRST, source.size))
        with suppress(EnvelopeError):  # which header() tells
            missing = header_length(start[:START_BYTES]) - len(start)
            start += source.read_at(len(start), missing) if missing > 0 else b""
        return Beginning(start, source.size)
    finally:
        source.close()
