"""What is shown of a cell to somebody who may not read it."""

from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from django_workos_vault import masks
from django_workos_vault.exceptions import DecryptionForbidden, EnvelopeError, VaultError
from django_workos_vault.fields.cell import Withheld

#: What stands in the place of a mask that cannot be made.
CANNOT_BE_OPENED = _("cannot be opened")


def quote_no_value(error: ValidationError) -> None:
    """Mask the value that a single ``error`` quotes, as "value" or by another name for the same."""
    params = error.params or {}
    if "value" not in params:
        return
    quoted = [name for name, given in params.items() if name == "value" or given == params["value"]]
    error.params = {**params, **dict.fromkeys(quoted, masks.FULL)}
    try:
        error.message % error.params
    except (TypeError, ValueError):
        error.message = _("Enter a valid value.")


def masked_value(field: Any, held: Any) -> str:
    """Return ``field``'s mask of what an instance holds (not None). Raises what opening a cell raises.

    The mask ``full`` opens nothing.
    """
    return masks.masked(field.mask, held.open if isinstance(held, Withheld) else lambda: held)


def masked_or_marked(field: Any, held: Any) -> str:
    """Return :func:`masked_value`, or "cannot be opened"."""
    try:
        return masked_value(field, held)
    except (DecryptionForbidden, EnvelopeError, VaultError):
        return str(CANNOT_BE_OPENED)


def masked_of(field: Any, instance: Any) -> str | None:
    """Return what is shown in place of the value that ``instance`` has of ``field``; None for NULL."""
    held = field.held_by(instance)
    return None if held is None else masked_or_marked(field, held)
