"""One configured vault, and the verbs on it."""

import hmac
from collections.abc import AsyncIterable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO, Literal, TypeVar, overload

from asgiref.sync import sync_to_async

from django_workos_vault import blind, conf, forbidding
from django_workos_vault.access import AccessRecords, Entry
from django_workos_vault.cipher import Cipher
from django_workos_vault.client import Client
from django_workos_vault.context import KeyContext
from django_workos_vault.exceptions import InvalidVaultConfiguration
from django_workos_vault.forbidding import ForbidDecryption
from django_workos_vault.keyring.index_keys import IndexKeys
from django_workos_vault.keyring.policy import KeyRingStats
from django_workos_vault.keyring.ring import KeyRing
from django_workos_vault.registry import DatabaseRegistry, DatabaseRootKeys
from django_workos_vault.sdk_format import SDK
from django_workos_vault.streams import values
from django_workos_vault.streams.cipher import FileCipher
from django_workos_vault.streams.padding import Padding
from django_workos_vault.streams.reader import SealedFile
from django_workos_vault.streams.sources import FileSource
from django_workos_vault.streams.values import Data

__all__ = ["Vault"]

#: The root key's version that references are proven with: the blind indexes' first.
_PROOFS = 1

#: What values are sealed for when nothing else is said.
VALUES = "value"

Blob = TypeVar("Blob", bytes, str)


class Vault(Client):
    """One configured vault: its backend (the API calls) and its key ring (the data keys in use).

    ``others`` gives the vaults of its ALSO_READS.
    """

    def __init__(
        self,
        settings: conf.VaultSettings,
        access_records: Callable[[], AccessRecords] | None = None,
        others: "Callable[[], Sequence[Vault]]" = tuple,
    ) -> None:
        super().__init__(conf.make_backend(settings))
        self._access_records = access_records or self.access_records
        #: aliases of vaults whose cells this one's fields read too
        self.also_reads = settings.also_reads
        self.forbids_shell = settings.forbids_shell
        self.alias = settings.alias
        self.key_context = settings.key_context
        self.declared = settings.declared
        self.policy = settings.policy
        self.keyring = KeyRing(
            vault=settings.alias,
            backend=self.backend,
            registry=DatabaseRegistry(settings.alias),
            policy=settings.policy,
            declared=settings.declared,
            others=(lambda: [other.keyring for other in others()]) if settings.also_reads else tuple,
        )
        self.index_keys = IndexKeys(
            vault=settings.alias,
            backend=self.backend,
            store=DatabaseRootKeys(settings.alias),
            context=settings.key_context,
            ttl=settings.policy.cache_ttl.total_seconds(),
            declared=settings.declared,
            others=(lambda: [other.index_keys for other in others()]) if settings.also_reads else tuple,
        )
        self._ciphers: dict[tuple[str, tuple[str, ...]], Cipher] = {}

    def __repr__(self) -> str:
        return f"<Vault {self.alias!r} {type(self.backend).__name__}>"

    def cipher(self, label: str, previous_labels: tuple[str, ...] = ()) -> Cipher:
        """Return the cipher for the cells of one label, the same object each time."""
        try:
            return self._ciphers[label, previous_labels]
        except KeyError:
            return self._ciphers.setdefault(
                (label, previous_labels), Cipher(self.keyring, label, previous_labels)
            )

    def digest(self, label: str, kind: blind.Kind, message: bytes) -> bytes:
        """Return the 32-byte blind-index digest of ``message`` in the index ``kind`` of ``label``."""
        return blind.digest(self.index_keys.key(kind.version, kind.info(label)), message, kind.bits)

    def object_prover(self, label: str) -> Callable[[bytes], bytes]:
        """Return what makes the 32-byte proofs of the references of ``label`` (HMAC-SHA-256).

        Raises VaultError when its key cannot be had.
        """
        key = self.index_keys.key(_PROOFS, f"object-reference:{label}".encode())
        return lambda message: hmac.digest(key, message, "sha256")

    def access_records(self) -> AccessRecords:
        """Return the chain of access records, with a key of this vault."""
        return AccessRecords(lambda: self.index_keys.key(_PROOFS, b"access-records"))

    @property
    def proves_at_once(self) -> bool:
        """Whether :meth:`object_prover` asks neither Vault nor the database."""
        return self.index_keys.is_ready(_PROOFS)

    def file_cipher(self, label: str, previous_labels: tuple[str, ...] = ()) -> FileCipher:
        """Return what seals and opens the files of one label."""
        return FileCipher(self.keyring, label, previous_labels)

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

    def context_of(self, given: Mapping[str, str] | None) -> KeyContext:
        """Return ``given`` as a key context, else the vault's own. Raises InvalidVaultConfiguration."""
        context = self.key_context if given is None else KeyContext(given)
        if context is None:
            raise InvalidVaultConfiguration(f"Vault {self.alias!r} has no KEY_CONTEXT: give a key_context.")
        return context

    def decryption_forbidden(self) -> ForbidDecryption:
        """Make every opening in this thread or task raise DecryptionForbidden. Also a decorator."""
        return ForbidDecryption(self.alias)

    @contextmanager
    def justified(self, reason: str) -> Iterator[None]:
        """Open cells in this block, for a ``reason`` that goes on record: where ``SHELL`` is ``"forbid"``.

        The record is written before anything can be opened. Raises ValueError without a reason,
        AccessNotRecorded when the record cannot be written.
        """
        if not isinstance(reason, str) or not reason.strip():
            raise ValueError("justified() takes a reason, such as a ticket's number.")
        self._access_records().append([Entry.of_process("shell", vault=self.alias, reason=reason.strip())])
        with forbidding.justified(self.alias):
            yield

    def stats(self) -> KeyRingStats:
        """Return what this vault did in this process so far."""
        return self.keyring.stats()

    def rotate(self, key_context: Mapping[str, str] | None = None) -> str:
        """Make a new data key, whatever the age of the current one, and return its id.

        Everything written from now on under ``key_context``, the vault's own unless given, is sealed with it;
        what the older keys sealed opens as before. Raises VaultError when Vault cannot make one.
        """
        return self.keyring.retire(self.context_of(key_context)).id

    def forget_keys(self) -> None:
        """Drop every key from this process's memory. The next use asks Vault again."""
        self.keyring.forget()
        self.index_keys.forget()

    def close(self) -> None:
        """Drop every key from memory and close the connections. The next use makes them anew."""
        self.forget_keys()
        self.backend.close()


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
