"""One entry of ``WORKOS_VAULTS``, taken apart and validated."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.utils.module_loading import import_string

from django_workos_vault.backends.observing import Observer
from django_workos_vault.conf.data_keys import data_key_policy
from django_workos_vault.conf.unknown import nearest, refuse_unknown
from django_workos_vault.context import DeclaredContexts, KeyContext
from django_workos_vault.exceptions import InvalidVaultConfiguration
from django_workos_vault.keyring.policy import DataKeyPolicy

SETTING = "WORKOS_VAULTS"
OPTIONS = frozenset(
    {"ALSO_READS", "BACKEND", "KEY_CONTEXT", "DECLARED_CONTEXTS", "DATA_KEYS", "OBSERVER", "OPTIONS", "SHELL"}
)


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


def read_entry(vaults: Mapping[str, Any], alias: str) -> VaultSettings:
    """Return the settings of the vault ``alias`` among ``vaults``. Raises InvalidVaultConfiguration."""
    if alias not in vaults:
        raise InvalidVaultConfiguration(
            f"{SETTING} has no vault {alias!r}.{nearest(alias, vaults)} "
            f"Configured: {', '.join(sorted(vaults)) or 'none'}."
        )
    where = f"{SETTING}[{alias!r}]"
    given = vaults[alias]
    if not isinstance(given, Mapping):
        raise InvalidVaultConfiguration(f"{where} must be a dict, not {type(given).__name__}.")
    refuse_unknown(where, given, OPTIONS)
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
        policy=data_key_policy(where, given.get("DATA_KEYS", {})),
        options=options,
        observer=_observer(alias, given.get("OBSERVER")),
        also_reads=_also_reads(alias, given.get("ALSO_READS", ()), vaults),
        forbids_shell=_forbids_shell(where, given.get("SHELL", "allow")),
    )


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
