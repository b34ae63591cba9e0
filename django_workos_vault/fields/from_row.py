"""``FromRow``: a key-context value that each row gives."""

from operator import attrgetter

from django.core.exceptions import ObjectDoesNotExist
from django.db.models import Model
from django.utils.deconstruct import deconstructible

from django_workos_vault.exceptions import MissingKeyContext


@deconstructible(path="django_workos_vault.fields.FromRow")
class FromRow:
    """A key-context value read from the row when it is sealed.

    ``path`` is a dotted attribute path from the instance, through relations if need be:
    ``FromRow("organization.workos_id")``. Use ``select_related`` where rows are saved in bulk, or each row
    costs a query.
    """

    def __init__(self, path: str) -> None:
        self.path = path

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FromRow) and self.path == other.path

    def __hash__(self) -> int:
        return hash((FromRow, self.path))

    def __repr__(self) -> str:
        return f"FromRow({self.path!r})"

    def value(self, instance: Model) -> str:
        """Return the row's value as a string.

        Raises MissingKeyContext when the row has none: a cell must never be sealed under a key that
        the context does not name.
        """
        try:
            value = attrgetter(self.path)(instance)
        except (AttributeError, ObjectDoesNotExist) as exc:
            raise self._missing(instance) from exc
        if value is None or value == "":
            raise self._missing(instance)
        return str(value)

    def _missing(self, instance: Model) -> MissingKeyContext:
        return MissingKeyContext(
            f"This {instance._meta.label} has no {self.path}, which chooses the key of its encrypted fields. "
            "Set it before saving."
        )
