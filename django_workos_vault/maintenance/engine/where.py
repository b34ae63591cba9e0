"""Rows of one key context only, or of one value of a plain column: ``organization_id=org_1``."""

from collections.abc import Sequence
from typing import Any

from django.core.exceptions import FieldError, ValidationError
from django.db.models import Model, Q, QuerySet

from django_workos_vault.exceptions import InvalidVaultConfiguration
from django_workos_vault.fields.field import EncryptedField
from django_workos_vault.fields.from_row import FromRow


class UnknownCondition(Exception):
    """The condition names neither an item of a column's key context nor a plain column of its model."""


class Where:
    """``name=value``: an item of the key context of the columns; else a plain column of their model.

    Raises UnknownCondition, for ``fields`` of one model.
    """

    def __init__(self, text: str, fields: Sequence[EncryptedField]) -> None:
        self._name, equals, self._value = text.partition("=")
        if not (self._name and equals and self._value):
            raise UnknownCondition(f"{text!r} is not name=value.")
        self._fields = [field for field in fields if self._name in _items(field)]
        self._rows = Q()
        plain = None
        model = fields[0].model
        if self._fields:
            conditions = [self._condition(field) for field in self._fields]
            if all(conditions):  # else one of them means every row
                for condition in conditions:
                    self._rows |= condition or Q()
        else:
            plain = _plain(model, self._name)
        if not self._fields and plain is None:
            raise UnknownCondition(
                f"{self._name!r} is no item of a key context of {', '.join(map(str, fields))}, and no plain "
                f"column of {model._meta.label}."
            )
        try:
            if "\0" in self._value.encode().decode():
                raise ValueError
            if plain is not None:
                self._rows = Q(**{self._name: plain.to_python(self._value)})
            self.of(QuerySet(model))
        except (ValidationError, ValueError, TypeError, FieldError):
            raise UnknownCondition(f"{text!r}: {model._meta.label} holds no such value.") from None

    def _condition(self, field: EncryptedField) -> Q | None:
        """Return the rows whose key context has the item, None where no query can tell."""
        item = _items(field)[self._name]
        if isinstance(item, FromRow):
            return item.rows_with(field.model, self._value)
        return Q() if item == self._value else Q(pk__in=[])

    def of(self, rows: "QuerySet[Model]") -> "QuerySet[Model]":
        """Return those of ``rows`` in which a cell can be meant."""
        return rows.filter(self._rows)

    def means(self, field: EncryptedField, instance: Model) -> bool:
        """Return whether the row's cell of ``field`` is meant, by the key context that it has now."""
        if not self._fields:
            return True
        try:
            return field in self._fields and field.context_for(instance).items[self._name] == self._value
        except InvalidVaultConfiguration:
            return False


def _items(field: EncryptedField) -> dict[str, Any]:
    if field.key_context is not None:
        return dict(field.key_context)
    context = field.vault.key_context
    return {} if context is None else dict(context.items)


def _plain(model: type[Model], name: str) -> Any:
    columns: Any = model._meta.concrete_fields
    named = (each for each in columns if name in (each.name, each.attname))
    return next((each for each in named if not hasattr(each, "bind_to")), None)
