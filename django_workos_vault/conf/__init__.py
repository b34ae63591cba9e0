"""The only reader of ``django.conf.settings``. What it reads is taken apart in the modules beside."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string

from django_workos_vault.conf.backend import make_backend as make_backend
from django_workos_vault.conf.entry import SETTING as SETTING
from django_workos_vault.conf.entry import VaultSettings as VaultSettings
from django_workos_vault.conf.entry import read_entry
from django_workos_vault.conf.hiding import hidden
from django_workos_vault.exceptions import InvalidVaultConfiguration
from django_workos_vault.frame_locals import leaves_no_locals

DUMP_PLAINTEXT = "WORKOS_VAULT_DUMP_PLAINTEXT"
THROTTLE = "WORKOS_VAULT_THROTTLE"


def hide_secrets() -> None:
    """Put values that do not show themselves in the place of the secrets among the settings.

    Django's error pages and mails show all settings, and hide only what is called a key or a password.
    """
    for options in _all_options():
        if isinstance(options, dict):
            options |= {name: hidden(name, value) for name, value in options.items()}


def vault_aliases() -> list[str]:
    """Return the configured aliases. Raises InvalidVaultConfiguration when the setting is no mapping."""
    return list(_all_vaults())


@leaves_no_locals
def vault_settings(alias: str) -> VaultSettings:
    """Return the validated settings of one vault.

    Raises InvalidVaultConfiguration that names the alias and the option at fault.
    """
    return read_entry(_all_vaults(), alias)


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


def _all_vaults() -> Mapping[str, Any]:
    hide_secrets()
    vaults = getattr(settings, SETTING, None)
    if not isinstance(vaults, Mapping):
        raise InvalidVaultConfiguration(
            f"{SETTING} must be a dict of vaults: manage.py vault_check --explain settings."
        )
    return vaults
