"""``FromRow``: a key-context value that each row gives."""

from operator import attrgetter
from typing import Any

from django.core.exceptions import FieldDoesNotExist, ObjectDoesNotExist
from django.db.models import CharField, IntegerField, Model, Q, TextField, UUIDField
from django.db.models.constants import LOOKUP_SEP
from django.utils.deconstruct import deconstructible

from django_workos_vault.exceptions import MissingKeyContext

#: Columns whose values a database finds by the text that Python makes of them.
_COMPARED_AS_TEXT = (CharField, IntegerField, TextField, UUIDField)


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
        """Return a condition that each row with ``value`` meets; None where no query can tell.

        A database compares texts its own way, so rows that meet it need not have the value. Raises
        ValidationError where no row can.
        """
        *names, last = self.path.split(".")
        try:
            for name in names:
                relation = model._meta.get_field(name)
                if not (relation.many_to_one or relation.one_to_one) or relation.auto_created:
                    return None
                model = relation.related_model
                if model is None:
                    return None  # a generic relation
            column = model._meta.get_field(last)
        except FieldDoesNotExist:
            return None  # a property
        while last == getattr(column, "attname", None) != column.name:  # the key of a related row
            names.append(column.name)
            column = column.target_field
            last = column.attname
        if not isinstance(column, _COMPARED_AS_TEXT) or hasattr(column, "vault_alias"):
            return None
        column.to_python(value)
        return Q(**{LOOKUP_SEP.join((*names, column.name)): value})

    def _missing(self, instance: Model) -> MissingKeyContext:
        return MissingKeyContext(
            f"This {instance._meta.label} has no {self.path}, which chooses the key of its encrypted fields. "
            "Set it before saving."
        )
