"""A vault without a network, for development and tests: keys derived from one local master key.

Blobs have the size and the semantics of WorkOS Vault's: each context item is a key of its own, any one of
them unwraps, and one of them can be revoked. Whoever reads the master key can read everything sealed under
it, which is why ``check --deploy`` refuses this backend.
"""

import os
import threading
from base64 import b64decode
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from django_workos_vault.backends.base import VaultBackend
from django_workos_vault.backends.carried import Arguments
from django_workos_vault.backends.local.keyfile import load_or_create_key
from django_workos_vault.backends.local.keys import LocalKeys
from django_workos_vault.backends.local.state import MEMORY, LocalState
from django_workos_vault.backends.local.store import ObjectStore
from django_workos_vault.backends.local.wrapping import MASTER_KEY_BYTES
from django_workos_vault.backends.objects import Actor
from django_workos_vault.backends.observing import Observed
from django_workos_vault.backends.operations import CREATE_OBJECT, UPDATE_OBJECT, Operation
from django_workos_vault.exceptions import InvalidVaultConfiguration, VaultRequestError

Result = TypeVar("Result")

_ACTOR = Actor(id="key_local", name="LocalVault")


class LocalVault(VaultBackend):
    """Data keys wrapped by keys derived from ``master_key``, or from the one kept in ``key_file``.

    ``master_key`` is 32 bytes, raw or as base64 text. ``key_file`` is a path; the file is made on first use,
    readable by its owner alone. Give exactly one, or InvalidVaultConfiguration is raised. ``objects_file`` is
    an SQLite file, made on first use, that keeps objects and revocations, or ``":memory:"``; without it there
    are no objects, and revocations end with the process. With ``pretend_remote``, async code is told where it
    would wait for a vault that is reached over a network: what works with a warm key alone shows in tests.
    """

    for_development = True
    answers_at_once = True

    def __init__(
        self,
        *,
        master_key: str | bytes | None = None,
        key_file: str | os.PathLike[str] | None = None,
        objects_file: str | os.PathLike[str] | None = None,
        pretend_remote: bool = False,
    ) -> None:
        if not isinstance(pretend_remote, bool):
            raise InvalidVaultConfiguration("pretend_remote must be True or False.")
        if pretend_remote:
            self.answers_at_once = False
        self._state = LocalState(MEMORY if objects_file is None else objects_file)
        self.keys = LocalKeys(_master_key_loader(master_key, key_file), self._state)
        self.objects = None if objects_file is None else ObjectStore(self._state, self.keys)
        self._lock = threading.Lock()
        self.requests_made = 0

    def __repr__(self) -> str:
        return "<LocalVault>"

    def call(self, operation: Operation[Result], arguments: Arguments) -> Result:
        operation.check(arguments)
        with Observed(self.observer, operation.name):
            return self.carry_out(operation, arguments, _ACTOR)

    def carry_out(self, operation: Operation[Result], arguments: Arguments, actor: Actor) -> Result:
        """Do what ``actor`` asks for, within no limits but the vault's own."""
        at_work = self.keys if operation.is_about_keys else self.objects
        if at_work is None:
            raise VaultRequestError("This LocalVault keeps no objects: give it the option objects_file.")
        self._count_request()
        signed = {"actor": actor} if operation in (CREATE_OBJECT, UPDATE_OBJECT) else {}
        result: Result = arguments.pass_to(getattr(at_work, operation.name), **signed)
        return result

    def revoke(self, name: str, value: str) -> str:
        """Withdraw the key of one context item, as an organization does that takes back its own key.

        From now on this key neither wraps nor unwraps: a blob that another, unrevoked key wraps too still
        opens, any other raises VaultPermissionDenied. Returns the id of the key.
        """
        return self.keys.revoke(name, value)

    def close(self) -> None:
        super().close()
        self._state.close()

    def _count_request(self) -> None:
        with self._lock:
            self.requests_made += 1


def _master_key_loader(
    master_key: str | bytes | None, key_file: str | os.PathLike[str] | None
) -> Callable[[], bytes]:
    if master_key is not None and key_file is None:
        decoded = _decoded(master_key)
        return lambda: decoded
    if key_file is not None and master_key is None:
        return partial(load_or_create_key, Path(key_file))
    raise InvalidVaultConfiguration("LocalVault takes either master_key or key_file.")


def _decoded(master_key: str | bytes) -> bytes:
    if isinstance(master_key, bytes) and len(master_key) == MASTER_KEY_BYTES:
        return master_key
    try:
        decoded = b64decode(master_key, validate=True)
    except (TypeError, ValueError):
        decoded = b""
    if len(decoded) != MASTER_KEY_BYTES:
        raise InvalidVaultConfiguration(
            f"LocalVault's master_key must be {MASTER_KEY_BYTES} bytes, raw or as base64."
        )
    return decoded
