"""What a storage is given to keep: a file that can only be read from its beginning to its end, once."""

import io
import sys
from collections.abc import Iterator
from typing import Any

from django.core.files import File


class SealedContent(File):
    """Bytes that are made while the storage takes them: those of an encrypted file, as a rule.

    ``started`` holds the first of them once the storage has begun: the header, with the file's random salt.
    """

    content_type = "application/octet-stream"  # not guessed from the name, and never compressed

    def __init__(self, stream: Iterator[bytes], name: str) -> None:
        super().__init__(None, name)
        self._stream = stream
        self._left = b""
        self._given = 0
        self.started: bytes | None = None

    @property
    def size(self) -> int:
        """Not known before all of it was made."""
        raise AttributeError("The size is not known yet.")

    def __len__(self) -> int:
        raise TypeError("The size is not known yet.")

    @property
    def closed(self) -> bool:
        """Never."""
        return False

    def chunks(self, chunk_size: int | None = None) -> Iterator[bytes]:
        """Yield what was not read yet."""
        while piece := self._next():
            self._given += len(piece)
            yield piece

    def multiple_chunks(self, chunk_size: int | None = None) -> bool:
        """Not known: yes."""
        return True

    def read(self, size: int | None = -1) -> bytes:
        """Return the next ``size`` bytes, or all that follow."""
        left = sys.maxsize if size is None or size < 0 else size
        read = io.BytesIO()  # which gives out what it holds without a copy: storages ask for many megabytes
        while left and (piece := self._next()):
            taken = read.write(memoryview(piece)[:left])
            left, self._left = left - taken, piece[taken:]
        data = read.getvalue()
        self._given += len(data)
        return data

    def __iter__(self) -> Iterator[bytes]:
        return self.chunks()

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """No: what was sealed once is not sealed again."""
        return False

    def tell(self) -> int:
        """Return how many bytes were read."""
        return self._given

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to the beginning, as long as nothing was read."""
        if offset or whence or self.started is not None:
            raise io.UnsupportedOperation("An encrypted file is written from its beginning to its end.")
        return 0

    def open(self, *args: Any, **kwargs: Any) -> "SealedContent":
        """It is."""
        return self

    def close(self) -> None:
        """Nothing is behind it."""

    def _next(self) -> bytes:
        if self._left:
            piece, self._left = self._left, b""
            return piece
        piece = next(self._stream, b"")
        if self.started is None:
            self.started = piece
        return piece
