"""For Django REST framework, beyond what its own classes do with encrypted fields."""

from collections.abc import Callable
from typing import Any

from django.db.models.constants import LOOKUP_SEP
from django.utils.translation import gettext_lazy as _
from rest_framework import filters, serializers
from rest_framework.fields import SkipField, empty

from django_workos_vault.paths import encrypted_path
from django_workos_vault.reading import masked, read_or

__all__ = ["MaskedField", "OrderingFilter", "ValueOrField"]

_UNREADABLE: Any = object()


class OrderingFilter(filters.OrderingFilter):
    """REST framework's filter of that name, without orderings by encrypted columns, which have no order.

    It offers every field of the serializer unless told otherwise, and a visitor who asks for one that is
    encrypted would get an error of the server. Here such an ordering is passed over, as one by a field that
    does not exist.
    """

    def get_valid_fields(self, queryset: Any, view: Any, context: Any = None) -> Any:
        """Return the names that may be ordered by, with what they are called."""
        offered = super().get_valid_fields(queryset, view, {} if context is None else context)
        return [(name, title) for name, title in offered if encrypted_path(queryset, name) is None]


class MaskedField(serializers.Field[Any, Any, Any, Any]):
    """Shows the mask of an encrypted field, read-only: ``ssn = MaskedField()``.

    ``source="patient.ssn"`` leads to a field of another row. What is shown is what
    :func:`~django_workos_vault.reading.masked` returns.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "read_only": True})

    def get_attribute(self, instance: Any) -> Any:
        """Return the mask: the value itself is not read."""
        return masked(instance, LOOKUP_SEP.join(self.source_attrs))

    def to_representation(self, value: Any) -> Any:
        return value


class ValueOrField(serializers.Field[Any, Any, Any, Any]):
    """Shows ``unreadable`` in the place of a value that cannot be had, so that the other rows are shown.

    ``field`` is the serializer field of the value; in a ModelSerializer it is the model field's own unless
    given. ``outage`` is that of :func:`~django_workos_vault.reading.value_or`. The field is read-only unless
    there is a mark to know an unreadable value by: with ``unreadable="(sealed)"``, whoever sends the mark
    back leaves the stored value as it is.
    """

    default_error_messages = {"mark": _("This stands for a value that cannot be read, and is none itself.")}

    def __init__(
        self,
        field: serializers.Field[Any, Any, Any, Any] | None = None,
        *,
        unreadable: Any = None,
        outage: bool = False,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("read_only", unreadable is None)
        if unreadable is None and not kwargs["read_only"]:
            raise TypeError(
                "A ValueOrField that can be written needs a mark, unreadable='(sealed)' for example: null, "
                "sent back, would clear a value that could not be read."
            )
        self._field = field
        self._unreadable = unreadable
        self._outage = outage
        self._told = frozenset(kwargs)
        super().__init__(**kwargs)

    def bind(self, field_name: str, parent: Any) -> None:
        super().bind(field_name, parent)
        self._inner = self._field or self._field_of_model(parent)
        self._inner.bind(field_name, parent)
        self._inner.source, self._inner.source_attrs = self.source, self.source_attrs
        for name in {"required", "allow_null", "default"} - self._told:
            if name != "required" or not self.read_only:
                setattr(self, name, getattr(self._inner, name))

    def _field_of_model(self, parent: Any) -> Any:
        model_field = parent.Meta.model._meta.get_field(self.source)
        field_class, kwargs = parent.build_standard_field(self.source, model_field)
        return field_class(**kwargs)

    def get_attribute(self, instance: Any) -> Any:
        return self._read(lambda: self._inner.get_attribute(instance))

    def to_representation(self, value: Any) -> Any:
        if value is not _UNREADABLE:  # some fields read their value only here
            value = self._read(lambda: self._inner.to_representation(value))
        return self._unreadable if value is _UNREADABLE else value

    def _read(self, read: Callable[[], Any]) -> Any:
        return read_or(read, _UNREADABLE, outage=self._outage)

    def run_validation(self, data: Any = empty) -> Any:
        if data is not empty and data == self._unreadable:
            if getattr(self.parent, "instance", None) is None:
                self.fail("mark")
            raise SkipField
        return self._inner.run_validation(data)
