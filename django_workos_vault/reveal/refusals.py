"""Why a value is not revealed: what the user is told, and what goes on record."""

from django.utils.translation import gettext_lazy as _

GONE = _("There is no such row, or you may not see it.")
NO_FIELD = _("There is no encrypted field of this name on this page.")
NO_VALUE = _("There is no value.")
NOT_ALLOWED = _("You may not see this value.")
NOT_TO_COMPARE = _("You may not compare with this value.")
NOT_TO_EXPORT = _("You may not reveal values to a file.")
NO_RECORD = _(
    "This could not be recorded, so nothing is revealed. Try again later, or tell an administrator."
)
UNKNOWN = _("This page does not know what is asked of it.")


class Refused(Exception):
    """Nothing is revealed. ``status`` is HTTP's, ``message`` for the user, ``outcome`` for the record."""

    def __init__(self, status: int, message: object, outcome: str) -> None:
        super().__init__(outcome)
        self.status = status
        self.message = message
        self.outcome = outcome
