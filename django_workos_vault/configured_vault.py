"""One configured vault: its backend, its keys in this process, and what is made of them."""

import hmac
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

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
from django_workos_vault.streams.cipher import FileCipher

#: The root key's version that references are proven with: the blind indexes' first.
_PROOFS = 1


class ConfiguredVault(Client):
    """A backend (the API calls) and a key ring (the data keys in use), as one entry of the settings has them.

    ``others`` gives the vaults of its ALSO_READS.
    """

    def __init__(
        self,
        settings: conf.VaultSettings,
        access_records: Callable[[], AccessRecords] | None = None,
        others: "Callable[[], Sequence[ConfiguredVault]]" = tuple,
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
        return AccessRecords(
            lambda: self.index_keys.key(_PROOFS, b"access-records"),
            lambda: self.index_keys.made_elsewhere(_PROOFS),
        )

    @property
    def proves_at_once(self) -> bool:
        """Whether :meth:`object_prover` asks neither Vault nor the database."""
        return self.index_keys.is_ready(_PROOFS)

    def file_cipher(self, label: str, previous_labels: tuple[str, ...] = ()) -> FileCipher:
        """Return what seals and opens the files of one label."""
        return FileCipher(self.keyring, label, previous_labels)

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
