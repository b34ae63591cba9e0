"""``FromRow``: a key-context value that each row gives."""

from operator import attrgetter
from typing import Any

from django.core.exceptions import FieldDoesNotExist, ObjectDoesNotExist
from django.db.models import Model, Q
from django.db.models.constants import LOOKUP_SEP
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

    def column(self, model: type[Model]) -> Any:
        """Return the field of ``model`` that the path begins with, None where it begins with a property."""
        try:
            return model._meta.get_field(self.path.partition(".")[0])
        except FieldDoesNotExist:
            return None

    def relations(self, model: Any) -> str:
        """Return the relations from ``model`` that the path goes through, as a path of a prefetch."""
        followed: list[str] = []
        for name in self.path.split("."):
            try:
                field = model._meta.get_field(name)
            except FieldDoesNotExist:
                break
            if not (field.many_to_one or field.one_to_one) or field.name != name:
                break  # a column, also one that holds the key of a relation
            followed.append(name)
            model = field.related_model
            if model is None:
                break  # a generic relation
        return LOOKUP_SEP.join(followed)

    def rows_with(self, model: Any, value: str) -> Q | None:
        """Return the condition that a row has ``value``, None where no query can tell: of a property."""
        names = self.path.split(".")
        for name in names:
            try:
                field = None if model is None else model._meta.get_field(name)
            except FieldDoesNotExist:
                return None
            if field is None or (field.is_relation and field.related_model is None):
                return None  # behind a column, or a generic relation
            model = field.related_model if field.is_relation else None
        return Q(**{LOOKUP_SEP.join(names): value}) if model is None else None

    def _missing(self, instance: Model) -> MissingKeyContext:
        return MissingKeyContext(
            f"This {instance._meta.label} has no {self.path}, which chooses the key of its encrypted fields. "
            "Set it before saving."
        )
