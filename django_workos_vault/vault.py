"""``vaults["default"]``: alias to configured vault, one per process.

Vaults are kept as Django keeps file storages: shared by all threads and tasks, so that key caches and
connection pools are. (``BaseConnectionHandler`` keeps one object per thread and task.)
"""

import hmac
from collections.abc import Callable, Iterator
from contextlib import suppress
from threading import Lock
from typing import Any

from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from django_workos_vault import blind, conf
from django_workos_vault.backends.base import VaultBackend
from django_workos_vault.cipher import Cipher
from django_workos_vault.exceptions import InvalidVaultConfiguration
from django_workos_vault.forbidding import ForbidDecryption
from django_workos_vault.keyring.index_keys import IndexKeys
from django_workos_vault.keyring.policy import KeyRingStats
from django_workos_vault.keyring.ring import KeyRing
from django_workos_vault.registry import DatabaseRegistry, DatabaseRootKeys

#: The root key's version that references are proven with: the blind indexes' first.
_PROOFS = 1


class Vault:
    """One configured vault: its backend (the API calls) and its key ring (the data keys in use)."""

    def __init__(self, settings: conf.VaultSettings) -> None:
        self.alias = settings.alias
        self.key_context = settings.key_context
        self.declared = settings.declared
        self.policy = settings.policy
        self.backend = _backend(settings)
        self.keyring = KeyRing(
            vault=settings.alias,
            backend=self.backend,
            registry=DatabaseRegistry(settings.alias),
            policy=settings.policy,
            declared=settings.declared,
        )
        self.index_keys = IndexKeys(
            vault=settings.alias,
            backend=self.backend,
            store=DatabaseRootKeys(settings.alias),
            context=settings.key_context,
            ttl=settings.policy.cache_ttl.total_seconds(),
            declared=settings.declared,
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

    @property
    def proves_at_once(self) -> bool:
        """Whether :meth:`object_prover` asks neither Vault nor the database."""
        return self.index_keys.is_ready(_PROOFS)

    def decryption_forbidden(self) -> ForbidDecryption:
        """Make every opening in this thread or task raise DecryptionForbidden. Also a decorator."""
        return ForbidDecryption(self.alias)

    def stats(self) -> KeyRingStats:
        """Return what this vault did in this process so far."""
        return self.keyring.stats()


class VaultHandler:
    """The configured vaults, made when first asked for."""

    def __init__(self) -> None:
        self._vaults: dict[str, Vault] = {}
        self._lock = Lock()

    def __getitem__(self, alias: str) -> Vault:
        """Return the vault ``alias``. Raises InvalidVaultConfiguration when it is unknown or wrong."""
        try:
            return self._vaults[alias]
        except KeyError:
            with self._lock:
                if alias not in self._vaults:
                    self._vaults[alias] = Vault(conf.vault_settings(alias))
                return self._vaults[alias]

    def __iter__(self) -> Iterator[str]:
        return iter(conf.vault_aliases())

    def usable(self) -> Iterator[Vault]:
        """Yield the vaults whose settings are right; the system checks tell of the others."""
        with suppress(InvalidVaultConfiguration):
            for alias in self:
                with suppress(InvalidVaultConfiguration):
                    yield self[alias]

    def reset(self) -> None:
        """Drop every vault with its keys and connections. The next use reads the settings again."""
        with self._lock:
            for vault in self._vaults.values():
                vault.keyring.close()
                vault.index_keys.forget()
                vault.backend.close()
            self._vaults.clear()


def _backend(settings: conf.VaultSettings) -> VaultBackend:
    where = f"{conf.SETTING}[{settings.alias!r}]['BACKEND']"
    try:
        backend_class = import_string(settings.backend)
    except ImportError as exc:
        raise InvalidVaultConfiguration(f"{where}: {exc}") from exc
    if not (isinstance(backend_class, type) and issubclass(backend_class, VaultBackend)):
        raise InvalidVaultConfiguration(f"{where}: {settings.backend} is not a vault backend class.")
    return conf.make_backend(settings, backend_class)


vaults = VaultHandler()


def _reset_on_setting_change(*, setting: str, **kwargs: Any) -> None:
    if setting == conf.SETTING:
        conf.hide_secrets()
        vaults.reset()


setting_changed.connect(_reset_on_setting_change)
