"""The plaintext of a stored file as Django's file."""

import asyncio
import io
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

from django.core.files import File

from django_workos_vault.streams.reader import SealedFile


class StoredFile(File):
    """Django's file around a :class:`SealedFile`. ``opened`` gives it, when told what is read of it first.

    Without ``sealed``, that is not before the first read: a storage can be asked for what is read alone then.
    """

    def __init__(
        self,
        opened: Callable[[tuple[int, int] | None], SealedFile],
        name: str,
        mode: str,
        *,
        sealed: SealedFile | None,
    ) -> None:
        self._opened = opened
        self._later = sealed is None
        self._at = 0
        super().__init__(None, name)
        self.mode = mode
        if sealed is not None:
            self._begin_with(sealed)

    @property
    def file(self) -> Any:
        """The plaintext as a file."""
        if self._later:
            self._begin((self._at, self._at + 1))
        if self._file is None:
            raise ValueError("I/O operation on closed file.")
        return self._file

    @file.setter
    def file(self, file: Any) -> None:
        self._file = file

    @property
    def sealed(self) -> SealedFile:
        """The same as bytes."""
        return self.begun((self._at, self._at + 1))

    @property
    def original_name(self) -> str:
        """The name that was sealed with the file."""
        return self.sealed.original_name

    @property
    def size(self) -> int:
        """Bytes of plaintext."""
        return self.sealed.size

    @property
    def closed(self) -> bool:
        """Whether it is."""
        return not self._later and (self._file is None or self._file.closed)

    def begun(self, wanted: tuple[int, int] | None) -> SealedFile:
        """Return :attr:`sealed`, of which ``wanted`` is read first."""
        if self._later:
            self._begin(wanted)
        return self._sealed

    def open(self, mode: str | None = None, *args: Any, **kwargs: Any) -> "StoredFile":
        """Go to the beginning, or open the file again after it was closed."""
        if mode not in (None, self.mode):
            raise ValueError(f"The file is open for {self.mode!r}, and not for {mode!r}.")
        if self.closed:
            self._at = 0
            self._begin(None)
        else:
            self.seek(0)
        return self

    def close(self) -> None:
        """Close the stored file too."""
        if self._later:
            self._later = False
        elif self._file is not None:
            self._file.close()

    def read(self, size: int | None = -1) -> Any:
        """Return the next ``size`` bytes, or all that follow."""
        if self._later:
            self._begin((self._at, sys.maxsize if size is None or size < 0 else self._at + size))
        return self.file.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place, behind the end too. Return it."""
        if not self._later or whence != io.SEEK_SET or offset < 0:
            at: int = self.file.seek(offset, whence)
            return at
        self._at = offset
        return offset

    def tell(self) -> int:
        """Return the place of the next byte."""
        return self._at if self._later else self.file.tell()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        sealed = await asyncio.to_thread(lambda: self.sealed)
        async for piece in sealed:
            yield piece

    def _begin(self, wanted: tuple[int, int] | None) -> None:
        self._begin_with(self._opened(wanted))

    def _begin_with(self, sealed: SealedFile) -> None:
        self._sealed = sealed
        self._file = self._sealed if self.mode == "rb" else io.TextIOWrapper(io.BufferedReader(self._sealed))
        self._later = False
        if self._at:
            self._file.seek(self._at)
