"""One line of the checklist, and what to do about Vault's errors."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal

from django_workos_vault.exceptions import (
    InvalidVaultConfiguration,
    UndeclaredKeyContext,
    VaultAuthenticationError,
    VaultContextMismatch,
    VaultError,
    VaultPermissionDenied,
    VaultRateLimited,
    VaultUnavailable,
)

#: Makes a progress bar (a context manager with ``update(n)``) for a total of things of some name.
Progress = Callable[[int, str], AbstractContextManager[Any]]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one step found about one thing. A problem, and a warning, comes with ``advice``."""

    step: str
    subject: str
    status: Literal["ok", "warning", "problem", "skipped"]
    message: str
    advice: str = ""


def advice_for(error: VaultError | InvalidVaultConfiguration) -> str:
    """Return what to do when Vault, or its configuration, raised ``error``."""
    for kind, advice in _ADVICE:
        if isinstance(error, kind):
            return advice
    return "Read the message. If Vault refuses a request of this package, report it as a bug."


_ADVICE: tuple[tuple[type[Exception], str], ...] = (
    (InvalidVaultConfiguration, "Correct the setting that the message names."),
    (VaultAuthenticationError, "Take a current API key from the WorkOS dashboard, of the right environment."),
    (VaultRateLimited, "Wait a minute and run this again; look for what else uses up the API key's limit."),
    (VaultUnavailable, "Check base_url, DNS, proxy and firewall, then WorkOS's status page; run this again."),
    (
        UndeclaredKeyContext,
        "Correct the rows, run vault_reencrypt on their columns and, when no cell needs its key any more, "
        "vault_forget with its item; or declare it in DECLARED_CONTEXTS.",
    ),
    (
        VaultContextMismatch,
        "Write nothing with this vault: its keys are not the ones you chose. Is base_url really Vault's?",
    ),
    (
        VaultPermissionDenied,
        "Ask the key's owner whether it was withdrawn, and check the API key's permissions.",
    ),
)
