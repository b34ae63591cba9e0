"""The options of a vault reached over HTTP, each checked before any request.

Every function raises InvalidVaultConfiguration when the option is wrong, naming it and never quoting a
credential.
"""

import ipaddress
import re
from urllib.parse import urlsplit

from django_workos_vault.backends.carried import Carried
from django_workos_vault.exceptions import InvalidVaultConfiguration


def check_api_key(key: Carried) -> None:
    """Check that ``key`` is a WorkOS API key: ``sk_`` and printable ASCII, as it goes into an HTTP header.

    One that is missing passes: images are built, and translations compiled, where there are no secrets.
    """
    if key.text is None or key.text == "":
        return
    if not isinstance(key.text, str):
        raise InvalidVaultConfiguration(f"api_key must be a string, not {type(key.text).__name__}.")
    if not key.text.startswith("sk_"):
        raise InvalidVaultConfiguration("api_key does not begin with 'sk_': it is not a WorkOS API key.")
    if not re.fullmatch(r"sk_[!-~]+", key.text):
        raise InvalidVaultConfiguration(
            "api_key holds a space, a line break or another character no key has."
        )


def environment(key: Carried) -> str | None:
    """ "test" or "live" where the key's own prefix says so."""
    return next((name for name in ("test", "live") if (key.text or "").startswith(f"sk_{name}_")), None)


def base_url(url: object) -> str:
    """An https address, or an http one on loopback, without a trailing slash."""
    if not isinstance(url, str):
        raise InvalidVaultConfiguration(f"base_url must be a string, not {type(url).__name__}.")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https"):
        raise InvalidVaultConfiguration("base_url must be an address like https://api.workos.com.")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise InvalidVaultConfiguration("base_url takes no user name, query or fragment.")
    if parts.scheme == "http" and not _is_loopback(host):
        raise InvalidVaultConfiguration(
            "base_url must begin with https://: over plain http, allowed on loopback alone, the API key "
            "and every data key could be read on the way."
        )
    return url.rstrip("/")


def positive(name: str, seconds: object) -> float:
    """A number over 0."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < float("inf"):
        raise InvalidVaultConfiguration(f"{name} must be a number of seconds over 0.")
    return float(seconds)


def count(name: str, number: object) -> int:
    """An integer over 0."""
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise InvalidVaultConfiguration(f"{name} must be an integer over 0.")
    return number


def share(name: str, part: object) -> float:
    """A number over 0 and at most 1."""
    if isinstance(part, bool) or not isinstance(part, int | float) or not 0 < part <= 1:
        raise InvalidVaultConfiguration(f"{name} must be a number over 0 and at most 1.")
    return float(part)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
