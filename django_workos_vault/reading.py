"""Reading a value "or else": what an application shows of a value that cannot be had."""

from collections.abc import Callable
from typing import Any, TypeVar

from django.db.models import Model

from django_workos_vault.exceptions import EnvelopeError, VaultError, is_outage

__all__ = ["read_or", "value_or"]

_Value = TypeVar("_Value")
_Other = TypeVar("_Other")


def value_or(instance: Model, name: str, default: Any = None, *, outage: bool = False) -> Any:
    """Return the attribute ``name`` of ``instance``, or ``default`` when its value cannot be had.

    That is: the key was withdrawn or denied, or Vault fails with it alone, the cell was changed or is another
    row's, the object is gone from Vault. An outage of Vault tells nothing of the value, so it is raised, as
    VaultUnavailable, VaultRateLimited or VaultAuthenticationError; with ``outage`` it gives ``default`` too.
    NULL is None.
    """
    return read_or(lambda: getattr(instance, name), default, outage=outage)


def read_or(read: Callable[[], _Value], default: _Other, *, outage: bool = False) -> _Value | _Other:
    """Return what ``read`` returns, or ``default`` where :func:`value_or` would."""
    try:
        return read()
    except (EnvelopeError, VaultError) as exc:
        if is_outage(exc) and not outage:
            raise
    return default
