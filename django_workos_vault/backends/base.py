"""The interface that every vault backend offers: the three key calls, each with an async twin.

Limits and shapes are those of the Vault API description (``CreateDataKeyRequest``, ``DecryptRequest``,
``RekeyRequest``).
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping

from django_workos_vault.exceptions import InvalidVaultConfiguration
from django_workos_vault.keys import DataKey

MAX_CONTEXT_ITEMS = 10
MAX_CONTEXT_VALUE_LENGTH = 500


class VaultBackend(ABC):
    """Makes, unwraps and rekeys data keys.

    Every method raises a :class:`~django_workos_vault.exceptions.VaultError` when the vault cannot, or
    will not, do it. Backends are shared by all threads and event loops of a process.
    """

    #: requests sent since the process started, for people and tests that count them
    requests_made: int = 0

    @abstractmethod
    def create_data_key(self, context: Mapping[str, str]) -> DataKey:
        """Make a data key, wrapped by the KEK of each item of ``context``."""

    @abstractmethod
    def decrypt_data_key(self, wrapped: bytes) -> DataKey:
        """Unwrap ``wrapped`` (raw bytes, as stored in an envelope)."""

    @abstractmethod
    def rekey_data_key(self, wrapped: bytes, context: Mapping[str, str]) -> DataKey:
        """Wrap the same data key again, under ``context``."""

    @abstractmethod
    async def acreate_data_key(self, context: Mapping[str, str]) -> DataKey:
        """:meth:`create_data_key` for async code."""

    @abstractmethod
    async def adecrypt_data_key(self, wrapped: bytes) -> DataKey:
        """:meth:`decrypt_data_key` for async code."""

    @abstractmethod
    async def arekey_data_key(self, wrapped: bytes, context: Mapping[str, str]) -> DataKey:
        """:meth:`rekey_data_key` for async code."""

    def close(self) -> None:
        """Release pooled connections. The backend can be used again afterwards."""


def validate_key_context(context: object) -> dict[str, str]:
    """Return ``context`` as a dict when Vault would take it: 1 to 10 items, strings of at most 500 characters.

    Raises InvalidVaultConfiguration, naming the key at fault but never a value, which may be personal.
    Source: the API description, ``CreateDataKeyRequest.context``. An empty context names no KEK.
    """
    if not isinstance(context, Mapping):
        raise InvalidVaultConfiguration(f"A key context is a mapping of strings, not {type(context).__name__}.")
    if not context:
        raise InvalidVaultConfiguration("A key context needs at least one item: each item names a key.")
    if len(context) > MAX_CONTEXT_ITEMS:
        raise InvalidVaultConfiguration(
            f"A key context has at most {MAX_CONTEXT_ITEMS} items, this one has {len(context)}."
        )
    for name, value in context.items():
        if not isinstance(name, str):
            raise InvalidVaultConfiguration(f"A key context's names are strings, not {type(name).__name__}.")
        if not isinstance(value, str):
            raise InvalidVaultConfiguration(
                f"Key context item {name!r} must be a string, not {type(value).__name__}."
            )
        if not value:
            raise InvalidVaultConfiguration(f"Key context item {name!r} is empty: it would name a shared key.")
        if len(value) > MAX_CONTEXT_VALUE_LENGTH:
            raise InvalidVaultConfiguration(
                f"Key context item {name!r} has {len(value)} characters; Vault takes at most "
                f"{MAX_CONTEXT_VALUE_LENGTH}."
            )
    return dict(context)
