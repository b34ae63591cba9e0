"""``EncryptedStorage``: the sealing storage as ``STORAGES`` and fields declare it."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from django.core.files.storage import Storage, storages
from django.urls import reverse
from django.utils.deconstruct import deconstructible

from django_workos_vault.context import KeyContext
from django_workos_vault.files.sealed_storage import SealedStorage
from django_workos_vault.handler import vaults
from django_workos_vault.streams.cipher import FileCipher
from django_workos_vault.streams.padding import Padding, check_padding


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
        self.sealing = _OneWay(
            vault, key_context, label, tuple(previous_labels), padding, conceal_names, url_name
        )

    @cached_property
    def inner(self) -> Storage:
        """The storage that has the ciphertext. Made when it is first needed: it may be named before it is."""
        if isinstance(self._given, str):
            return storages[self._given]
        if isinstance(self._given, Mapping):
            return storages.create_storage(dict(self._given))
        return self._given


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
