"""A storage that seals what it is given to keep, and keeps it in another storage."""

import asyncio
import posixpath
import secrets
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import Any, Protocol

from asgiref.sync import sync_to_async
from django.core.files import File
from django.core.files.storage import Storage
from django.core.files.utils import validate_file_name

from django_workos_vault.context import KeyContext
from django_workos_vault.exceptions import EnvelopeError
from django_workos_vault.files.content import SealedContent
from django_workos_vault.files.half_written import remove_half
from django_workos_vault.files.outer_storage import OuterStorage
from django_workos_vault.files.sources import forget_source, opens_with_the_first_read, source_of
from django_workos_vault.files.stored_file import StoredFile
from django_workos_vault.forbidding import check_opening_allowed
from django_workos_vault.streams.cipher import FileCipher, read_header
from django_workos_vault.streams.padding import Padding
from django_workos_vault.streams.reader import SealedFile
from django_workos_vault.streams.values import as_bytes


class Sealing(Protocol):
    """How files are sealed: the storage's own way for all, or a field's for one row."""

    padding: Padding | None
    conceal_names: bool

    def cipher(self) -> FileCipher:
        """Return what seals and opens them."""

    def context(self) -> KeyContext:
        """Return the key context to seal under."""

    def binding(self) -> bytes:
        """Return the row's 16 bytes, or nothing."""

    def url(self, name: str) -> str | None:
        """Return where the plaintext is served, or None."""


class SealedStorage(OuterStorage):
    """Keeps files in ``inner``, sealed as ``sealing`` says."""

    def __init__(self, inner: Storage, sealing: Sealing) -> None:
        self._inner = inner
        self.sealing = sealing

    @property
    def inner(self) -> Storage:
        """The storage that has the ciphertext."""
        return self._inner

    def save(
        self, name: str | None, content: Any, max_length: int | None = None, *, original_name: str = ""
    ) -> str:
        """Seal ``content`` (a file, or anything with ``chunks()`` or ``read()``) and return its name there.

        ``original_name`` is sealed with it: the last part of ``name`` unless given. When this raises, nothing
        of the file stays behind.
        """
        name = str(content.name if name is None else name).replace("\\", "/")
        validate_file_name(name, allow_relative_path=True)
        directory, last = posixpath.split(name)
        sealing = self.sealing
        if sealing.conceal_names:
            name = posixpath.join(directory, secrets.token_hex(16))
        stream = sealing.cipher().seal(
            _chunks(content),
            sealing.context(),
            binding=sealing.binding(),
            name=original_name or last,
            padding=sealing.padding,
        )
        name = self.inner.get_available_name(name, max_length=max_length)
        sealed = SealedContent(stream, name)
        try:
            return self.inner.save(name, sealed, max_length=max_length)
        except BaseException:
            remove_half(self.inner, name, sealed.started)
            raise

    def open(self, name: str, mode: str = "rb") -> StoredFile:
        """Return the plaintext of a stored file, for reading.

        Raises FileNotFoundError, an EnvelopeError that says what is wrong with it, VaultError when its key
        cannot be unwrapped, DecryptionForbidden where opening is off, ValueError for another mode. A file on
        S3 that this process has read before is asked for at the first read, which raises these then.
        """
        if mode not in ("rb", "r", "rt"):
            raise ValueError(f"An encrypted file is written by save() alone: {mode!r} is no mode for it.")
        check_opening_allowed(self.sealing.cipher().keyring.vault)
        later = mode == "rb" and opens_with_the_first_read(self.inner, name)
        sealed = None if later else self.opened(name)
        return StoredFile(partial(self.opened, name), name, mode, sealed=sealed)

    async def aopen(self, name: str) -> StoredFile:
        """:meth:`open` for async code, as bytes: neither the storage nor Vault blocks the event loop."""
        sealed = await self.aopened(name)
        return StoredFile(partial(self.opened, name), name, "rb", sealed=sealed)

    def opened(self, name: str, wanted: tuple[int, int] | None = None) -> SealedFile:
        """Return the plaintext of a stored file, without Django's file around it. Raises as :meth:`open`.

        ``wanted`` is what will be read first, from where to where: some storages save a request then.
        """
        cipher = self.sealing.cipher()
        source = source_of(self.inner, name, wanted)
        try:
            return cipher.open(source, binding=self.sealing.binding())
        except BaseException:
            source.close()
            raise

    async def aopened(self, name: str, wanted: tuple[int, int] | None = None) -> SealedFile:
        """:meth:`opened` for async code."""
        cipher = self.sealing.cipher()
        check_opening_allowed(cipher.keyring.vault)
        binding = await sync_to_async(self.sealing.binding)()
        source = await asyncio.to_thread(source_of, self.inner, name, wanted)
        try:
            with suppress(EnvelopeError):  # which opening it tells
                header = await asyncio.to_thread(read_header, source)
                await cipher.keyring.aload([header.wants])
            return await sync_to_async(cipher.open)(source, binding=binding)
        except BaseException:
            source.close()
            raise

    def size(self, name: str) -> int:
        """Return the bytes of plaintext. Opens the file's end, which alone can tell."""
        with self.opened(name) as file:
            return file.size

    def url(self, name: str | None) -> str:
        """Return where the plaintext is served, or else the inner URL, which gives ciphertext."""
        return (self.sealing.url(name) if name else None) or self.inner.url(name)

    def delete(self, name: str) -> None:
        """Delete the file in the inner storage."""
        forget_source(self.inner, name)
        self.inner.delete(name)


def _chunks(content: Any) -> Iterator[bytes]:
    if hasattr(content, "chunks"):
        return map(as_bytes, content.chunks())
    return map(as_bytes, File(content).chunks())
