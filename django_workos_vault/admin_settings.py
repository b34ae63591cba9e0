"""``WORKOS_VAULT_ADMIN``: how values are revealed in the admin, taken apart and validated."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.utils.module_loading import import_string

from django_workos_vault import conf
from django_workos_vault.exceptions import InvalidVaultConfiguration

SETTING = "WORKOS_VAULT_ADMIN"


@dataclass(frozen=True, slots=True)
class AdminSettings:
    """The setting, with defaults for what it does not say."""

    #: the alias of the vault whose key the access records are chained with
    record_vault: str = "default"
    #: how long a value is shown
    reveal_for: timedelta = timedelta(seconds=30)
    #: whether a reveal or a comparison takes a reason
    reason_required: bool = False
    #: for how long a password holds that was entered once more; None asks for none
    password_for: timedelta | None = None
    #: values that one user may reveal in 24 hours
    daily_limit: int | None = None
    #: comparisons that one user may make in an hour
    matches_an_hour: int = 30
    #: from where a request comes: a name in ``request.META``, or a function of the request
    remote_address: str | Callable[[Any], str] = "REMOTE_ADDR"


_KINDS: dict[str, tuple[type, ...]] = {
    "RECORD_VAULT": (str,),
    "REVEAL_FOR": (timedelta,),
    "REASON_REQUIRED": (bool,),
    "PASSWORD_FOR": (timedelta, type(None)),
    "DAILY_LIMIT": (int, type(None)),
    "MATCHES_AN_HOUR": (int,),
}
_KNOWN = (*_KINDS, "REMOTE_ADDRESS")


def admin_settings() -> AdminSettings:
    """Return the validated setting. Raises InvalidVaultConfiguration that names the option at fault."""
    given = conf.admin_options()
    if not isinstance(given, Mapping):
        raise InvalidVaultConfiguration(f"{SETTING} must be a dict, not {type(given).__name__}.")
    for name, value in given.items():
        if name not in _KNOWN:
            raise InvalidVaultConfiguration(
                f"{SETTING} has an unknown option {name!r}. Known: {', '.join(sorted(_KNOWN))}."
            )
        if name in _KINDS:
            _check(name, value)
    options = {name.lower(): value for name, value in given.items()}
    if "remote_address" in options:
        options["remote_address"] = _remote_address(options["remote_address"])
    settings = AdminSettings(**options)
    if settings.record_vault not in conf.vault_aliases():
        raise InvalidVaultConfiguration(
            f"{SETTING}['RECORD_VAULT'] is {settings.record_vault!r}, which {conf.SETTING} does not have."
        )
    return settings


def _check(name: str, value: Any) -> None:
    kinds = _KINDS[name]
    if type(value) not in kinds:
        named = " or ".join("None" if kind is type(None) else kind.__name__ for kind in kinds)
        raise InvalidVaultConfiguration(f"{SETTING}[{name!r}] must be {named}, not {type(value).__name__}.")
    too_little = (type(value) is timedelta and value < timedelta(seconds=1)) or (
        type(value) is int and value < 1
    )
    if too_little:
        raise InvalidVaultConfiguration(f"{SETTING}[{name!r}] must be at least 1, or a second.")


def _remote_address(given: Any) -> Any:
    if isinstance(given, str) and "." in given:
        try:
            given = import_string(given)
        except ImportError as exc:
            raise InvalidVaultConfiguration(f"{SETTING}['REMOTE_ADDRESS']: {exc}") from exc
    if isinstance(given, str) or callable(given):
        return given
    raise InvalidVaultConfiguration(
        f"{SETTING}['REMOTE_ADDRESS'] must be a name in request.META, or a function of the request."
    )
