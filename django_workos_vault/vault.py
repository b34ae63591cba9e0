"""``vaults["default"]``: a configured vault, with verbs that seal and open values of no field."""

from collections.abc import AsyncIterable, Iterator, Mapping
from typing import Any, BinaryIO, Literal, TypeVar, overload

from asgiref.sync import sync_to_async

from django_workos_vault.configured_vault import ConfiguredVault
from django_workos_vault.sdk_format import SDK
from django_workos_vault.streams import values
from django_workos_vault.streams.padding import Padding
from django_workos_vault.streams.reader import SealedFile
from django_workos_vault.streams.sources import FileSource
from django_workos_vault.streams.values import Data

__all__ = ["Vault"]

#: What values are sealed for when nothing else is said.
VALUES = "value"

Blob = TypeVar("Blob", bytes, str)


class Vault(ConfiguredVault):
    """One configured vault, as ``vaults`` gives it."""

    @overload
    def encrypt(
        self,
        data: Data,
        *,
        key_context: Mapping[str, str] | None = ...,
        label: str = ...,
        format: Literal["file"] = ...,
    ) -> bytes: ...

    @overload
    def encrypt(
        self,
        data: Data,
        *,
        key_context: Mapping[str, str] | None = ...,
        format: Literal["sdk"],
        associated_data: str | None = ...,
        sdk: SDK = ...,
    ) -> str: ...

    def encrypt(
        self,
        data: Data,
        *,
        key_context: Mapping[str, str] | None = None,
        label: str = VALUES,
        format: str = "file",  # noqa: A002
        associated_data: str | None = None,
        sdk: SDK = "python",
    ) -> bytes | str:
        """Return ``data`` sealed, for whatever is no field: bytes, text (as UTF-8), a file, an iterable.

        ``key_context`` is the vault's own unless given. ``label`` names what the value is for: it opens under
        no other. With ``format="sdk"`` the answer is the text that the ``encrypt()`` of the WorkOS SDK
        ``sdk`` would give, which has no label but may have ``associated_data``. Raises VaultError when no
        key can be had, TypeError and ValueError for what cannot be sealed.
        """
        context = self.context_of(key_context)
        if _is_sdk(format, label, associated_data):
            return values.seal_for_sdk(self.keyring, data, context, associated_data, sdk)
        return values.seal_value(self.file_cipher(label), data, context)

    def decrypt(
        self,
        blob: bytes | str,
        *,
        label: str = VALUES,
        format: str = "file",  # noqa: A002
        associated_data: str | None = None,
        sdk: SDK = "python",
    ) -> bytes:
        """Return the bytes that :meth:`encrypt` sealed; of text, ``.decode()`` makes text again.

        Raises an EnvelopeError that says what is wrong with the blob, VaultError when its key cannot be
        unwrapped, DecryptionForbidden where opening is off.
        """
        if _is_sdk(format, label, associated_data):
            return values.open_from_sdk(self.keyring, _of(str, blob), associated_data, sdk)
        return values.open_value(self.file_cipher(label), _of(bytes, blob))

    @overload
    async def aencrypt(
        self,
        data: Data | AsyncIterable[bytes],
        *,
        key_context: Mapping[str, str] | None = ...,
        label: str = ...,
        format: Literal["file"] = ...,
    ) -> bytes: ...

    @overload
    async def aencrypt(
        self,
        data: Data | AsyncIterable[bytes],
        *,
        key_context: Mapping[str, str] | None = ...,
        format: Literal["sdk"],
        associated_data: str | None = ...,
        sdk: SDK = ...,
    ) -> str: ...

    async def aencrypt(self, data: Data | AsyncIterable[bytes], **options: Any) -> bytes | str:
        """:meth:`encrypt` for async code. An async iterable of bytes is taken too."""
        sealed: bytes | str = await sync_to_async(self.encrypt)(await values.gathered(data), **options)
        return sealed

    async def adecrypt(
        self,
        blob: bytes | str,
        *,
        label: str = VALUES,
        format: str = "file",  # noqa: A002
        associated_data: str | None = None,
        sdk: SDK = "python",
    ) -> bytes:
        """:meth:`decrypt` for async code."""
        if _is_sdk(format, label, associated_data):
            return await values.aopen_from_sdk(self.keyring, _of(str, blob), associated_data, sdk)
        await values.load_key(self.keyring, _of(bytes, blob))
        return await sync_to_async(self.decrypt)(blob, label=label)

    def encrypt_stream(
        self,
        data: Data,
        *,
        key_context: Mapping[str, str] | None = None,
        label: str = VALUES,
        name: str = "",
        padding: Padding | None = None,
    ) -> Iterator[bytes]:
        """Return an iterator over the bytes of an encrypted file that holds ``data``, of any length.

        ``name`` is sealed with it; ``padding`` (``"padme"``, or a block size in bytes) hides its length.
        The key is fetched at once, and raises as :meth:`encrypt` does; ``data`` is read as it is needed.
        """
        context = self.context_of(key_context)
        return self.file_cipher(label).seal(values.chunks_of(data), context, name=name, padding=padding)

    def decrypt_stream(self, file: BinaryIO, *, label: str = VALUES) -> SealedFile:
        """Return the plaintext of an encrypted file as a file, which reads of ``file`` only what it needs.

        ``file`` is binary and seekable. Raises as :meth:`decrypt` does, when frames are read too.
        """
        return self.file_cipher(label).open(FileSource(file))


def _is_sdk(format: str, label: str, associated_data: str | None) -> bool:  # noqa: A002
    if format not in ("file", "sdk"):
        raise ValueError(f"{format!r} is no format; known: 'file', 'sdk'.")
    if (label if format == "sdk" else associated_data) not in (VALUES, None):
        raise ValueError("A value in the SDKs' format has associated_data, others have a label.")
    return format == "sdk"


def _of(kind: type[Blob], blob: object) -> Blob:
    if not isinstance(blob, kind):
        raise TypeError(f"This format is opened from {kind.__name__}, not from {type(blob).__name__}.")
    return blob
