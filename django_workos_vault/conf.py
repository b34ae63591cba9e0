"""The only reader of ``django.conf.settings``: ``WORKOS_VAULTS``, taken apart and validated."""

import os
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from difflib import get_close_matches
from functools import partial
from hashlib import sha256
from inspect import Parameter, signature
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string

from django_workos_vault.backends.base import VaultBackend
from django_workos_vault.backends.observing import Observer
from django_workos_vault.context import DeclaredContexts, KeyContext
from django_workos_vault.exceptions import InvalidVaultConfiguration
from django_workos_vault.frame_locals import leaves_no_locals
from django_workos_vault.keyring.policy import DataKeyPolicy

SETTING = "WORKOS_VAULTS"
DUMP_PLAINTEXT = "WORKOS_VAULT_DUMP_PLAINTEXT"
THROTTLE = "WORKOS_VAULT_THROTTLE"
_VAULT_OPTIONS = frozenset(
    {"ALSO_READS", "BACKEND", "KEY_CONTEXT", "DECLARED_CONTEXTS", "DATA_KEYS", "OBSERVER", "OPTIONS", "SHELL"}
)
_ENVELOPES = ("inline", "reference")
#: Options that hold a secret. An address with a password in any other is taken for one as well.
_SECRETS = frozenset({"api_key", "master_key", "rate_limit_store"})
_HIDDEN = "'********************'"


class _SecretText(str):
    """A setting's text, which every page, report and traceback shows by this repr."""

    __slots__ = ()

    def __repr__(self) -> str:
        return _HIDDEN


class _SecretBytes(bytes):
    """The same of bytes."""

    def __repr__(self) -> str:
        return _HIDDEN

    __str__ = __repr__


@dataclass(frozen=True, slots=True)
class VaultSettings:
    """One entry of ``WORKOS_VAULTS``. ``options`` may hold an API key and stays out of the repr."""

    alias: str
    backend: str
    key_context: KeyContext | None
    declared: DeclaredContexts
    policy: DataKeyPolicy
    options: Mapping[str, Any]
    observer: Observer | None = None
    also_reads: tuple[str, ...] = ()
    forbids_shell: bool = False

    def __repr__(self) -> str:
        return f"<VaultSettings {self.alias!r} {self.backend}>"


def hide_secrets() -> None:
    """Put values that do not show themselves in the place of the secrets among the settings.

    Django's error pages and mails show all settings, and hide only what is called a key or a password.
    """
    for options in _all_options():
        if isinstance(options, dict):
            options |= {name: _hidden(name, value) for name, value in options.items()}


def _hidden(name: object, value: object) -> object:
    if type(value) is bytes and name in _SECRETS:
        return _SecretBytes(value)
    if type(value) is str and (name in _SECRETS or re.search("://[^/]*@", value)):
        return _SecretText(value)
    return value


def vault_aliases() -> list[str]:
    """Return the configured aliases. Raises InvalidVaultConfiguration when the setting is no mapping."""
    return list(_all_vaults())


@leaves_no_locals
def vault_settings(alias: str) -> VaultSettings:
    """Return the validated settings of one vault.

    Raises InvalidVaultConfiguration that names the alias and the option at fault.
    """
    vaults = _all_vaults()
    if alias not in vaults:
        raise InvalidVaultConfiguration(
            f"{SETTING} has no vault {alias!r}.{_nearest(alias, vaults)} "
            f"Configured: {', '.join(sorted(vaults)) or 'none'}."
        )
    where = f"{SETTING}[{alias!r}]"
    given = vaults[alias]
    if not isinstance(given, Mapping):
        raise InvalidVaultConfiguration(f"{where} must be a dict, not {type(given).__name__}.")
    _refuse_unknown(where, given, _VAULT_OPTIONS)
    backend = given.get("BACKEND")
    if not isinstance(backend, str) or not backend:
        raise InvalidVaultConfiguration(f"{where}['BACKEND'] must be the dotted path of a backend class.")
    options = given.get("OPTIONS", {})
    if not isinstance(options, Mapping):
        raise InvalidVaultConfiguration(f"{where}['OPTIONS'] must be a dict, not {type(options).__name__}.")
    return VaultSettings(
        alias=alias,
        backend=backend,
        key_context=_key_context(where, given),
        declared=_declared(where, given.get("DECLARED_CONTEXTS", {})),
        policy=_policy(where, given.get("DATA_KEYS", {})),
        options=options,
        observer=_observer(alias, given.get("OBSERVER")),
        also_reads=_also_reads(alias, given.get("ALSO_READS", ()), vaults),
        forbids_shell=_forbids_shell(where, given.get("SHELL", "allow")),
    )


def in_production() -> bool:
    """Whether Django's debug mode is off."""
    return not settings.DEBUG


def project_directory() -> Path:
    """Return the directory of the settings module; the current one where settings have no module."""
    module = sys.modules.get(getattr(settings, "SETTINGS_MODULE", ""))
    path = getattr(module, "__file__", None)
    return Path(path).parent if path else Path.cwd()


def api_key_digests() -> frozenset[bytes]:
    """Return the SHA-256 digests of the configured API keys, for finding them without holding them."""
    return frozenset(
        sha256(options["api_key"].encode()).digest()
        for options in _all_options()
        if isinstance(options.get("api_key"), str) and options["api_key"]
    )


def local_key_files() -> list[Path]:
    """Return the files in which local vaults keep their master keys."""
    given = (options.get("key_file") for options in _all_options())
    return [Path(path) for path in given if isinstance(path, str | os.PathLike)]


def _all_options() -> Iterator[Mapping[Any, Any]]:
    """Yield the options of each vault, of what is a mapping at all: the settings may be wrong."""
    vaults = getattr(settings, SETTING, None)
    for entry in vaults.values() if isinstance(vaults, Mapping) else ():
        options = entry.get("OPTIONS") if isinstance(entry, Mapping) else None
        if isinstance(options, Mapping):
            yield options


def admin_options() -> object:
    """Return ``WORKOS_VAULT_ADMIN`` as it is given."""
    return getattr(settings, "WORKOS_VAULT_ADMIN", {})


def client_id() -> object:
    """Return ``WORKOS_CLIENT_ID``, of the settings or else of the environment; None where nobody gives it."""
    return getattr(settings, "WORKOS_CLIENT_ID", None) or os.environ.get("WORKOS_CLIENT_ID")


def dumps_plaintext() -> bool:
    """Return whether ``dumpdata`` writes plaintext instead of cells."""
    return getattr(settings, DUMP_PLAINTEXT, False) is True


def maintenance_throttle() -> Callable[[str], float] | None:
    """Return what says how long a run waits between batches. Raises InvalidVaultConfiguration."""
    path = getattr(settings, THROTTLE, None)
    if path is None:
        return None
    try:
        throttle: Callable[[str], float] = import_string(path)
    except (ImportError, AttributeError, TypeError):
        raise InvalidVaultConfiguration(
            f"{THROTTLE} must be the dotted path of a callable that takes a database alias and returns "
            "seconds."
        ) from None
    return throttle


def exception_reporter_filter() -> str:
    """Return the dotted path of the class that Django's error reports are filtered by."""
    return str(settings.DEFAULT_EXCEPTION_REPORTER_FILTER)


def uses_time_zones() -> bool:
    """Return Django's ``USE_TZ``."""
    return bool(settings.USE_TZ)


def make_backend(vault: VaultSettings) -> VaultBackend:
    """Construct the vault's BACKEND from its OPTIONS, naming alias and option in every error."""
    backend_class = _backend_class(vault)
    where = f"{SETTING}[{vault.alias!r}]['OPTIONS']"
    parameters = signature(backend_class).parameters.values()
    if not any(each.kind is Parameter.VAR_KEYWORD for each in parameters):
        _refuse_unknown(where, vault.options, [each.name for each in parameters])
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


def _all_vaults() -> Mapping[str, Any]:
    hide_secrets()
    vaults = getattr(settings, SETTING, None)
    if not isinstance(vaults, Mapping):
        raise InvalidVaultConfiguration(
            f"{SETTING} must be a dict of vaults: manage.py vault_check --explain settings."
        )
    return vaults


def _refuse_unknown(where: str, given: Mapping[Any, Any], known: Collection[str]) -> None:
    unknown = sorted(set(given) - set(known), key=str)
    if unknown:
        raise InvalidVaultConfiguration(
            f"{where} has an unknown option {unknown[0]!r}.{_nearest(unknown[0], known)} "
            f"Known: {', '.join(sorted(known))}."
        )


def _nearest(name: object, known: Iterable[str]) -> str:
    by_lower = {each.lower(): each for each in known}
    similar = get_close_matches(str(name).lower(), by_lower, n=1)
    return f" Did you mean {by_lower[similar[0]]!r}?" if similar else ""


def _key_context(where: str, given: Mapping[str, Any]) -> KeyContext | None:
    if given.get("KEY_CONTEXT") is None:
        return None
    try:
        return KeyContext(given["KEY_CONTEXT"])
    except InvalidVaultConfiguration as exc:
        raise InvalidVaultConfiguration(f"{where}['KEY_CONTEXT']: {exc}") from None


def _declared(where: str, given: object) -> DeclaredContexts:
    where = f"{where}['DECLARED_CONTEXTS']"
    if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
        raise InvalidVaultConfiguration(f"{where} must be a dict from names of key context items.")
    return DeclaredContexts({name: _declared_values(f"{where}[{name!r}]", given[name]) for name in given})


def _declared_values(where: str, values: object) -> Callable[[str], bool]:
    if isinstance(values, str):
        try:
            values = import_string(values)
        except ImportError as exc:
            raise InvalidVaultConfiguration(f"{where}: {exc}") from exc
    if callable(values):
        return values
    if isinstance(values, list | tuple | set | frozenset) and all(isinstance(value, str) for value in values):
        return frozenset(values).__contains__
    raise InvalidVaultConfiguration(
        f"{where} must be a list of strings, or a function of a value, or the dotted path of either."
    )


def _also_reads(alias: str, given: object, vaults: Mapping[str, Any]) -> tuple[str, ...]:
    where = f"{SETTING}[{alias!r}]['ALSO_READS']"
    if not isinstance(given, list | tuple) or not all(isinstance(other, str) for other in given):
        raise InvalidVaultConfiguration(f"{where} must be a list of aliases.")
    for other in given:
        if other == alias or other not in vaults:
            raise InvalidVaultConfiguration(f"{where} names {other!r}, which is no other vault of {SETTING}.")
    return tuple(given)


def _observer(alias: str, given: object) -> Observer | None:
    where = f"{SETTING}[{alias!r}]['OBSERVER']"
    if isinstance(given, str):
        try:
            given = import_string(given)
        except ImportError as exc:
            raise InvalidVaultConfiguration(f"{where}: {exc}") from exc
    if given is None or callable(given):
        return given and partial(given, alias)
    raise InvalidVaultConfiguration(f"{where} must be a function, or the dotted path of one.")


def _forbids_shell(where: str, given: object) -> bool:
    if given not in ("allow", "forbid"):
        raise InvalidVaultConfiguration(f"{where}['SHELL'] must be 'allow' or 'forbid'.")
    return given == "forbid"


def _policy(where: str, given: object) -> DataKeyPolicy:
    where = f"{where}['DATA_KEYS']"
    if not isinstance(given, Mapping):
        raise InvalidVaultConfiguration(f"{where} must be a dict, not {type(given).__name__}.")
    defaults = DataKeyPolicy()
    _refuse_unknown(where, given, frozenset(f.name for f in fields(DataKeyPolicy)))
    for name, value in given.items():
        wanted = type(getattr(defaults, name))
        if type(value) is not wanted:
            raise InvalidVaultConfiguration(
                f"{where}[{name!r}] must be {wanted.__name__}, not {type(value).__name__}."
            )
        least = timedelta(0) if name == "outage_grace" else timedelta(microseconds=1)
        if (isinstance(value, timedelta) and value < least) or (isinstance(value, int) and value < 1):
            raise InvalidVaultConfiguration(f"{where}[{name!r}] must be positive.")
    if given.get("max_messages", 1) > 2**32:
        raise InvalidVaultConfiguration(
            f"{where}['max_messages'] may be at most 2**32: NIST SP 800-38D, section 8.3, for random nonces."
        )
    if given.get("envelope", "inline") not in _ENVELOPES:
        raise InvalidVaultConfiguration(f"{where}['envelope'] must be one of {', '.join(_ENVELOPES)}.")
    return DataKeyPolicy(**given)
