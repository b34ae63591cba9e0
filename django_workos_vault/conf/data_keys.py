"""``DATA_KEYS`` of a vault: how long a data key is used, and for how much."""

from collections.abc import Mapping
from dataclasses import fields
from datetime import timedelta

from django_workos_vault.conf.unknown import refuse_unknown
from django_workos_vault.exceptions import InvalidVaultConfiguration
from django_workos_vault.keyring.policy import DataKeyPolicy

_ENVELOPES = ("inline", "reference")


def data_key_policy(where: str, given: object) -> DataKeyPolicy:
    """Return the validated option. Raises InvalidVaultConfiguration that begins with ``where``."""
    where = f"{where}['DATA_KEYS']"
    if not isinstance(given, Mapping):
        raise InvalidVaultConfiguration(f"{where} must be a dict, not {type(given).__name__}.")
    defaults = DataKeyPolicy()
    refuse_unknown(where, given, frozenset(f.name for f in fields(DataKeyPolicy)))
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
