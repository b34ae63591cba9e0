"""The plaintext of a sealed file, as a file: read anywhere, opening only the frames that are needed."""

import asyncio
import io
from collections.abc import AsyncIterator, Iterator
from threading import Lock
from typing import Any

from django_workos_vault.exceptions import MalformedEnvelope
from django_workos_vault.forbidding import check_opening_allowed
from django_workos_vault.frame_locals import forget_locals, leaves_no_locals
from django_workos_vault.streams.frames import AT_ONCE, Frames
from django_workos_vault.streams.padding import SIZE_BYTES
from django_workos_vault.streams.sources import Source


class SealedFile(io.RawIOBase):
    """A binary file that can only be read. Threads may share it: each read takes the next bytes.

    ``original_name`` is the name that was sealed with it, or an empty string. ``etag`` is another for every
    sealing. Reading raises TamperedEnvelope before a byte of the frame at fault is given out,
    MalformedEnvelope where the storage gives less than it said, DecryptionForbidden where opening is off.
    """

    def __init__(
        self,
        source: Source,
        frames: Frames,
        *,
        vault: str,
        original_name: str,
        etag: str,
        padded: bool,
    ) -> None:
        self.original_name = original_name
        self.etag = etag
        self._source = source
        self._frames = frames
        self._vault = vault
        self._padded = padded
        self._size = -1
        self._at = 0
        self._lock = Lock()

    def __repr__(self) -> str:
        return f"<SealedFile {'closed' if self.closed else 'open'}>"

    @property
    def size(self) -> int:
        """Bytes of plaintext, padding not counted. Opens the last frame, which alone can tell."""
        if self._size < 0:
            self._check()
            self._frames.check_end()
            length = self._frames.length
            if self._padded:
                size = int.from_bytes(b"".join(self._frames.pieces(length - SIZE_BYTES, length)))
                if length < SIZE_BYTES or size > length - SIZE_BYTES:
                    raise MalformedEnvelope("The file is marked as padded, but its plaintext is not.")
                length = size
            self._size = length
        return self._size

    @leaves_no_locals
    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next ``size`` bytes, or all that follow; fewer only at the end."""
        with self._lock:
            self._check()
            stop = self._stop(size)
            pieces = list(self._frames.pieces(self._at, stop))
            data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            self._at += len(data)
            return data

    readall = read

    @leaves_no_locals
    def readinto(self, buffer: Any, /) -> int:
        """Fill ``buffer`` with the next bytes. Return how many there were."""
        view = memoryview(buffer).cast("B")
        with self._lock:
            self._check()
            done = 0
            for piece in self._frames.pieces(self._at, self._stop(len(view))):
                view[done : done + len(piece)] = piece
                done += len(piece)
            self._at += done
            return done

    def chunks(
        self, chunk_size: int | None = None, *, start: int = 0, stop: int | None = None
    ) -> Iterator[bytes]:
        """Yield the plaintext from ``start`` to ``stop``, by default all of it, wherever the file stands.

        In pieces of ``chunk_size`` bytes where that is given, else as the frames are. The file's own position
        is left alone, so that several threads can go through one file.
        """
        try:
            stop = self._end(stop)
            step = chunk_size or AT_ONCE
            for at in range(start, stop, step):
                self._check()
                pieces = self._frames.pieces(at, min(at + step, stop))
                if chunk_size is None:
                    yield from pieces
                else:
                    yield b"".join(pieces)
        except Exception as exc:
            forget_locals(exc)
            raise

    def multiple_chunks(self, chunk_size: int | None = None) -> bool:
        """Whether :meth:`chunks` would yield more than one, as Django's files tell."""
        return self.size > (chunk_size or AT_ONCE)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self.achunks():
            yield piece

    async def achunks(self, *, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        """:meth:`chunks` for async code: storages are asked in a thread."""
        stop = await asyncio.to_thread(self._end, stop)
        for at in range(start, stop, AT_ONCE):
            end = min(at + AT_ONCE, stop)
            yield await asyncio.to_thread(b"".join, self.chunks(start=at, stop=end))

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to a place, behind the end too. Return it."""
        self._check()
        with self._lock:
            base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at}.get(whence)
            if base is None:
                base = self.size
            if base + offset < 0:
                raise ValueError(f"negative seek position {base + offset}")
            self._at = base + offset
            return self._at

    def tell(self) -> int:
        """Return the place of the next byte."""
        return self._at

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def close(self) -> None:
        """Close the stored file too."""
        if not self.closed:
            self._frames.close()
            self._source.close()
        super().close()

    def _end(self, stop: int | None) -> int:
        return self.size if stop is None else min(stop, self.size)

    def _stop(self, size: int | None) -> int:
        """Return where a read of ``size`` bytes ends. What the storage says of the end is not believed."""
        wanted = None if size is None or size < 0 else self._at + size
        if self._padded:
            return self._end(wanted)
        return self._frames.length if wanted is None else wanted

    def _check(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file.")
        check_opening_allowed(self._vault)
