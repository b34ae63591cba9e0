"""A vault's backend, made from its settings."""

from inspect import Parameter, signature

from django.utils.module_loading import import_string

from django_workos_vault.backends.base import VaultBackend
from django_workos_vault.conf.entry import SETTING, VaultSettings
from django_workos_vault.conf.unknown import refuse_unknown
from django_workos_vault.exceptions import InvalidVaultConfiguration


def make_backend(vault: VaultSettings) -> VaultBackend:
    """Construct the vault's BACKEND from its OPTIONS, naming alias and option in every error."""
    backend_class = _backend_class(vault)
    where = f"{SETTING}[{vault.alias!r}]['OPTIONS']"
    parameters = signature(backend_class).parameters.values()
    if not any(each.kind is Parameter.VAR_KEYWORD for each in parameters):
        refuse_unknown(where, vault.options, [each.name for each in parameters])
    try:
        backend = backend_class(**vault.options)
    except InvalidVaultConfiguration as exc:
        raise InvalidVaultConfiguration(f"{where}: {exc}") from None
    except TypeError as exc:
        # The message names the argument, never its value; the traceback would carry the API key.
        raise InvalidVaultConfiguration(f"{where}: {exc}") from None
    backend.observer = vault.observer
    return backend


def _backend_class(vault: VaultSettings) -> type[VaultBackend]:
    where = f"{SETTING}[{vault.alias!r}]['BACKEND']"
    try:
        backend_class = import_string(vault.backend)
    except ImportError as exc:
        raise InvalidVaultConfiguration(f"{where}: {exc}") from exc
    if not (isinstance(backend_class, type) and issubclass(backend_class, VaultBackend)):
        raise InvalidVaultConfiguration(f"{where}: {vault.backend} is not a vault backend class.")
    return backend_class
