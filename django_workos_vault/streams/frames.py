"""The body of an encrypted file: frames that are sealed one by one, numbered, and the last one marked.

The STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizár: Online Authenticated-Encryption and its
Nonce-Reuse Misuse-Resistance, 2015) over AES-256-GCM, with the nonce that age uses: eleven bytes of frame
number, one byte that is 1 for the last frame. A frame that was moved, left out, taken from another file or
appended opens under no nonce that is tried.
"""

from collections.abc import Iterable, Iterator

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from django_workos_vault.datakey import TAG_BYTES
from django_workos_vault.exceptions import MalformedEnvelope, TamperedEnvelope
from django_workos_vault.streams.header import START_BYTES, header_length
from django_workos_vault.streams.sources import Source

#: Bytes of plaintext whose frames are asked for together.
AT_ONCE = 1 << 20


def seal_frames(chunks: Iterable[bytes], key: AESGCM, frame_bytes: int) -> Iterator[bytes]:
    """Yield the sealed frames of the plaintext that ``chunks`` are, in pieces of any size.

    A plaintext of no bytes is one empty frame. At most one frame is held in memory besides a chunk.
    """
    number = 0
    held: bytes | bytearray = b""
    chunk, view = b"", memoryview(b"")
    try:
        for chunk in chunks:
            if len(held) + len(chunk) <= frame_bytes:
                held = bytes(chunk) if not held else bytearray().join((held, chunk))
                continue
            view = memoryview(chunk).cast("B")
            at = 0
            if held:  # filled up, it is not the last: there is more
                at = frame_bytes - len(held)
                yield key.encrypt(_nonce(number), bytearray().join((held, view[:at])) if at else held, None)
                number += 1
            while len(view) - at > frame_bytes:
                yield key.encrypt(_nonce(number), view[at : at + frame_bytes], None)
                number += 1
                at += frame_bytes
            held = bytes(view[at:]) if at or type(chunk) is not bytes else chunk
        yield key.encrypt(_nonce(number, last=True), held, None)
    finally:
        del held, chunk, view  # a report of what went wrong shows the locals of this frame


class Frames:
    """The frames of one stored file, behind its header. Opens only those that are asked for.

    ``offset`` is where they begin in ``source``. Raises MalformedEnvelope when they cannot be whole.
    """

    def __init__(self, source: Source, offset: int, key: AESGCM, frame_bytes: int) -> None:
        body = source.size - offset
        self._source = source
        self._offset = offset
        self._key = key
        self._frame_bytes = frame_bytes
        self._stored = frame_bytes + TAG_BYTES
        self._last = -(-body // self._stored) - 1
        rest = body % self._stored
        if body < TAG_BYTES or 0 < rest < TAG_BYTES or (self._last and rest == TAG_BYTES):
            raise MalformedEnvelope("The file ends within a frame: it was cut short.")
        self._at_once = max(1, AT_ONCE // frame_bytes)
        self._recent: tuple[int, bytes] = (-1, b"")
        self._ends = False
        #: bytes of plaintext, padding included: what the storage says until :meth:`check_end` has seen it
        self.length = body - (self._last + 1) * TAG_BYTES

    def pieces(self, start: int, stop: int) -> Iterator[bytes]:
        """Yield the plaintext from ``start`` to ``stop``, or to its end, frame by frame.

        Raises TamperedEnvelope before a byte of the frame at fault is given out, MalformedEnvelope when the
        storage gives fewer bytes than it said there are. What is said to lie behind the end is not believed
        before the last frame was seen.
        """
        if stop >= self.length:
            stop = self.length
            self.check_end()
        number, end = start // self._frame_bytes, -(-stop // self._frame_bytes)
        while start < stop and number < end:
            count = min(self._at_once, end - number)
            for frame in self._opened(number, count):
                begin = number * self._frame_bytes
                if start <= begin and stop >= begin + len(frame):
                    yield frame
                else:
                    yield frame[max(0, start - begin) : stop - begin]
                number += 1

    def check_end(self) -> None:
        """Open the last frame, once: only it tells that nothing was cut off or appended."""
        if not self._ends:
            for _ in self._opened(self._last, 1):
                pass

    def close(self) -> None:
        """Let go of the key, and of the frame that was opened last."""
        self._recent = (-1, b"")
        del self._key

    def _opened(self, number: int, count: int) -> Iterator[bytes]:
        held, frame = self._recent
        if count == 1 and held == number:
            yield frame
            return
        at = self._offset + number * self._stored
        wanted = min(count * self._stored, self._source.size - at)
        stored = memoryview(self._source.read_at(at, wanted))
        if len(stored) != wanted:
            raise MalformedEnvelope("The file ends early: its storage gives fewer bytes than it said.")
        for index in range(count):
            frame = self._open(number + index, stored[index * self._stored : (index + 1) * self._stored])
            self._recent = number + index, frame
            yield frame

    def _open(self, number: int, stored: memoryview) -> bytes:
        last = number == self._last
        try:
            frame = self._key.decrypt(_nonce(number, last=last), stored, None)
        except InvalidTag:
            raise self._fault(number, stored, last=last) from None
        self._ends = self._ends or last
        return frame

    def _fault(self, number: int, stored: memoryview, *, last: bool) -> TamperedEnvelope:
        try:
            self._key.decrypt(_nonce(number, last=not last), stored, None)
        except InvalidTag:
            return TamperedEnvelope(
                f"Frame {number} of the file was changed after it was sealed, or does not belong there."
            )
        if last:
            return TamperedEnvelope(f"The file was cut short: frame {number} was not its last.")
        return TamperedEnvelope(f"Something was appended to the file: frame {number} was its last.")


def stored_range(header: bytes, start: int, stop: int) -> tuple[int, int]:
    """Return where behind ``header`` the frames are that hold the plaintext from ``start`` to ``stop``.

    Both are what a whole file would give: the frames end where it ends.
    """
    length, exponent = header_length(header[:START_BYTES]), header[START_BYTES - 5]
    stored = (1 << exponent) + TAG_BYTES
    return length + (start >> exponent) * stored, length + -(-stop >> exponent) * stored


def _nonce(number: int, *, last: bool = False) -> bytes:
    return number.to_bytes(11) + (b"\x01" if last else b"\x00")
