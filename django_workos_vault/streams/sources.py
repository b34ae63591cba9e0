"""Stored bytes that can be read anywhere."""

import io
from threading import Lock
from typing import BinaryIO, Protocol


class Source(Protocol):
    """Stored bytes that can be read anywhere, by several threads."""

    @property
    def size(self) -> int:
        """How many there are."""

    def read_at(self, offset: int, length: int) -> bytes:
        """Return ``length`` bytes from ``offset``, fewer only where the stored bytes end."""

    def close(self) -> None:
        """Let go of what is behind it."""


class FileSource:
    """A seekable binary file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._lock = Lock()
        self.size = file.seek(0, io.SEEK_END)

    def read_at(self, offset: int, length: int) -> bytes:
        """Return what :class:`Source` says. A raw file may give less than is asked for at a time."""
        with self._lock:
            self._file.seek(offset)
            read = self._file.read(length) or b""
            while len(read) < length and (more := self._file.read(length - len(read))):
                read += more
            return read

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class BytesSource:
    """Bytes in memory."""

    def __init__(self, stored: bytes) -> None:
        self._stored = stored
        self.size = len(stored)

    def read_at(self, offset: int, length: int) -> bytes:
        """Return what :class:`Source` says."""
        return self._stored[offset : offset + length]

    def close(self) -> None:
        """Nothing is behind it."""
