"""What stands in the place of a value that somebody may not see."""

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from django_workos_vault import masks

#: What stands in the place of a mask that cannot be made.
UNREADABLE = _("cannot be opened")


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
