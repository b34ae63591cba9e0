"""A storage that seals what it is given to keep, and keeps it in another storage."""

import asyncio
import posixpath
import secrets
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from functools import partial
from os import PathLike
from typing import Any, Protocol, cast

from asgiref.sync import sync_to_async
from django.core.files import File
from django.core.files.storage import Storage, storages
from django.core.files.utils import validate_file_name
from django.urls import reverse
from django.utils.deconstruct import deconstructible

from django_workos_vault.context import KeyContext
from django_workos_vault.exceptions import EnvelopeError
from django_workos_vault.files.content import SealedContent
from django_workos_vault.files.sources import forget_source, opens_with_the_first_read, source_of
from django_workos_vault.files.stored_file import StoredFile
from django_workos_vault.forbidding import check_opening_allowed
from django_workos_vault.handler import vaults
from django_workos_vault.streams.cipher import FileCipher, read_header
from django_workos_vault.streams.padding import Padding, check_padding
from django_workos_vault.streams.reader import SealedFile
from django_workos_vault.streams.values import as_bytes

#: As much of a header as has its salt, which no other file has.
_TOLD_APART = 88


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


class SealedStorage(Storage):
    """Keeps files in ``inner``, sealed as ``sealing`` says. Names and times are the inner storage's."""

    def __init__(self, inner: Storage, sealing: Sealing) -> None:
        self._inner: Storage | None = inner
        self.sealing = sealing

    @property
    def inner(self) -> Storage:
        """The storage that has the ciphertext."""
        return cast("Storage", self._inner)

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
            self._remove_half(name, sealed.started)
            raise

    def _remove_half(self, name: str, started: bytes | None) -> None:
        """Remove what a failed writing left under ``name``, and nothing that another one wrote."""
        if started is None:
            return
        with suppress(Exception):  # the error under way says what matters
            if self._remove_if_mine(name, started):
                return
        with suppress(Exception):
            # Another one took the name meanwhile, and the inner storage chose one beside it.
            directory, last = posixpath.split(name)
            root = posixpath.splitext(last)[0]
            for other in self.inner.listdir(directory)[1]:
                if other.startswith(root) and other != last:
                    self._remove_if_mine(posixpath.join(directory, other), started, at_least=_TOLD_APART)

    def _remove_if_mine(self, name: str, started: bytes, at_least: int = 0) -> bool:
        source = source_of(self.inner, name)
        try:
            stored = source.read_at(0, len(started))
        finally:
            source.close()
        mine = len(stored) >= at_least and started.startswith(stored)
        if mine:
            self.inner.delete(name)
        return mine

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

    def exists(self, name: str) -> bool:
        """Whether the inner storage has it."""
        return self.inner.exists(name)

    def listdir(self, path: str) -> Any:
        """Return what the inner storage has there."""
        return self.inner.listdir(path)

    def get_accessed_time(self, name: str) -> datetime:
        """Return what the inner storage knows."""
        return self.inner.get_accessed_time(name)

    def get_created_time(self, name: str) -> datetime:
        """Return what the inner storage knows."""
        return self.inner.get_created_time(name)

    def get_modified_time(self, name: str) -> datetime:
        """Return what the inner storage knows."""
        return self.inner.get_modified_time(name)

    def get_valid_name(self, name: str) -> str:
        """Return what the inner storage makes of it."""
        return self.inner.get_valid_name(name)

    def get_alternative_name(self, file_root: str, file_ext: str) -> str:
        """Return what the inner storage makes of it."""
        return self.inner.get_alternative_name(file_root, file_ext)

    def get_available_name(self, name: str, max_length: int | None = None) -> str:
        """Return what the inner storage makes of it."""
        return self.inner.get_available_name(name, max_length=max_length)

    def generate_filename(self, filename: str | PathLike[str]) -> str:
        """Return what the inner storage makes of it."""
        return self.inner.generate_filename(filename)


@deconstructible(path="django_workos_vault.files.EncryptedStorage")
class EncryptedStorage(SealedStorage):
    """A storage for ``STORAGES``, or for a field, that wraps another.

    ``storage`` is the other one: its alias in ``STORAGES``, a dict as there (``BACKEND``, ``OPTIONS``), or a
    storage. ``vault``, ``key_context`` and ``previous_labels`` are as for encrypted fields; ``label`` names
    what the files are for. ``padding`` is ``"padme"``, a block size in bytes, or None. With
    ``conceal_names`` files get random names; the original one is sealed in the header in any case.
    ``url_name`` is a URL pattern that takes the file's name, and serves it.
    """

    def __init__(
        self,
        storage: str | Mapping[str, Any] | Storage,
        *,
        vault: str = "default",
        key_context: Mapping[str, str] | None = None,
        label: str = "storage",
        previous_labels: tuple[str, ...] = (),
        padding: Padding | None = None,
        conceal_names: bool = False,
        url_name: str | None = None,
    ) -> None:
        check_padding(padding)
        self._given = storage
        self._inner = None
        self.sealing = _OneWay(
            vault, key_context, label, tuple(previous_labels), padding, conceal_names, url_name
        )

    @property
    def inner(self) -> Storage:
        """The storage that has the ciphertext. Made when it is first needed: it may be named before it is."""
        if self._inner is None:
            given = self._given
            if isinstance(given, str):
                given = storages[given]
            elif isinstance(given, Mapping):
                given = storages.create_storage(dict(given))
            self._inner = given
        return self._inner


class _OneWay:
    """A storage's own way of sealing, the same for all its files."""

    def __init__(
        self,
        vault: str,
        key_context: Mapping[str, str] | None,
        label: str,
        previous_labels: tuple[str, ...],
        padding: Padding | None,
        conceal_names: bool,
        url_name: str | None,
    ) -> None:
        self._vault = vault
        self._context = key_context
        self._labels = label, previous_labels
        self._url_name = url_name
        self.padding = padding
        self.conceal_names = conceal_names

    def cipher(self) -> FileCipher:
        return vaults[self._vault].file_cipher(*self._labels)

    def context(self) -> KeyContext:
        return vaults[self._vault].context_of(self._context)

    def binding(self) -> bytes:
        return b""

    def url(self, name: str) -> str | None:
        return reverse(self._url_name, args=[name]) if self._url_name else None


def _chunks(content: Any) -> Iterator[bytes]:
    if hasattr(content, "chunks"):
        return map(as_bytes, content.chunks())
    return map(as_bytes, File(content).chunks())
