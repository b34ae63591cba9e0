"""Reading a value "or else", or its mask: what an application shows of a value that it cannot have."""

from collections.abc import Callable
from typing import Any, TypeVar

from django.core.exceptions import FieldDoesNotExist
from django.db.models import Model
from django.db.models.constants import LOOKUP_SEP

from django_workos_vault.exceptions import EnvelopeError, VaultError, is_outage
from django_workos_vault.fields.vault_field import VaultField

__all__ = ["masked", "read_or", "value_or"]

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


def masked(instance: Model, path: str) -> str | None:
    """Return the mask of an encrypted field of ``instance``, or of a row that it refers to: "patient__ssn".

    What ``instance.get_ssn_masked()`` returns: None for NULL or where there is no such row, and "cannot be
    opened" where the mask needs a value that cannot be had. Raises FieldDoesNotExist if ``path`` leads to no
    encrypted field.
    """
    *steps, name = path.split(LOOKUP_SEP)
    holder: Any = instance
    for step in steps:
        holder = getattr(holder, step, None)
    if holder is None:
        return None
    field = holder._meta.get_field(name)
    if not isinstance(field, VaultField):
        raise FieldDoesNotExist(f"{path!r} of {type(instance).__name__} is no encrypted field.")
    return field.masked_of(holder)
