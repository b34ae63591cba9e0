"""Rows of one key context only, or of one value of a plain column: ``organization_id=org_1``."""

import json
from collections.abc import Sequence
from typing import Any

from django.core.exceptions import FieldError, ValidationError
from django.db.models import JSONField, Model, Q, QuerySet

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
        model = fields[0].model
        plain = None if self._fields else _plain(model, self._name)
        if not self._fields and plain is None:
            raise UnknownCondition(
                f"{self._name!r} is no item of a key context of {', '.join(map(str, fields))}, and no plain "
                f"column of {model._meta.label}."
            )
        try:
            if "\0" in self._value.encode().decode():
                raise ValueError
            self._rows = self._condition() if plain is None else _holding(plain, self._value)
            self.of(QuerySet(model))
        except (ValidationError, ValueError, TypeError, OverflowError, FieldError):
            raise no_such_value(text, model) from None

    def _condition(self) -> Q:
        """Return the rows of which a column's key context has the item, all where no query can tell."""
        rows = Q()
        for field in self._fields:
            item = _items(field)[self._name]
            condition: Q | None = Q() if item == self._value else Q(pk__in=[])
            if isinstance(item, FromRow):
                condition = item.rows_with(field.model, self._value)
            if not condition:
                return Q()
            rows |= condition
        return rows

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


def no_such_value(text: str, model: type[Model]) -> UnknownCondition:
    """Return the refusal of a condition with a value that the column's type does not hold."""
    return UnknownCondition(f"{text!r}: {model._meta.label} holds no such value.")


def _items(field: EncryptedField) -> dict[str, Any]:
    if field.key_context is not None:
        return dict(field.key_context)
    context = field.vault.key_context
    return {} if context is None else dict(context.items)


def _plain(model: type[Model], name: str) -> Any:
    columns: Any = model._meta.concrete_fields
    named = (each for each in columns if name in (each.name, each.attname))
    return next((each for each in named if not hasattr(each, "bind_to")), None)


def _holding(column: Any, text: str) -> Q:
    value = json.loads(text) if isinstance(column, JSONField) else column.to_python(text)
    return Q(**{column.name: value})
