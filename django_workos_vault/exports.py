"""For django-import-export: columns that show masks, in exports and in the preview of an import."""

from copy import copy
from functools import cache
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from import_export import fields

from django_workos_vault.admin_lookups import encrypted_field
from django_workos_vault.reading import masked

__all__ = ["MaskedField", "masked_resource"]


class ShowsMask(fields.Field):  # type: ignore[misc]
    """In front of a column's class: shows the mask of ``attribute``, and takes values in place of it."""

    def export(self, instance: Any, **kwargs: Any) -> Any:
        return masked(instance, self.attribute) or ""

    def save(self, instance: Any, row: Any, *args: Any, **kwargs: Any) -> None:
        """Take a value; the mask itself, as an export has it, leaves what is stored."""
        given = row.get(self.column_name)
        if not self.readonly and isinstance(given, str) and "••••" in given:
            if instance._state.adding or given != masked(instance, self.attribute):
                raise ValidationError(_("This stands for a value, and is none itself."), code="mask")
            return
        super().save(instance, row, *args, **kwargs)


class MaskedField(ShowsMask):
    """A column of a Resource that shows masks and imports nothing: ``ssn = MaskedField("ssn")``.

    ``attribute`` is the field's name, or leads to it: ``"patient__ssn"``.
    """

    def __init__(self, attribute: str, column_name: str | None = None, **kwargs: Any) -> None:
        super().__init__(attribute, column_name or attribute, **{**kwargs, "readonly": True})


@cache
def masked_resource(resource_class: Any) -> Any:
    """Return a class like ``resource_class``, of a Resource, with masks in the place of encrypted values.

    A column that the resource makes by itself, in a ``dehydrate_`` method, is as that method has it.
    """
    model = getattr(resource_class._meta, "model", None)
    if model is None:  # a resource of something else
        return resource_class
    columns = {
        name: _masked_column(column)
        if column.attribute and encrypted_field(model, column.attribute) is not None
        else column
        for name, column in resource_class.fields.items()
    }
    masked_class: Any = type(resource_class)(
        resource_class.__name__, (resource_class,), {"__module__": resource_class.__module__}
    )
    masked_class.fields.update(columns)
    return masked_class


def _masked_column(column: Any) -> Any:
    if isinstance(column, ShowsMask):
        return column
    column = copy(column)
    column_class: Any = type(column)
    column.__class__ = _in_front_of(column_class)
    return column


@cache
def _in_front_of(column_class: Any) -> Any:
    return type(column_class.__name__, (ShowsMask, column_class), {"__module__": column_class.__module__})
