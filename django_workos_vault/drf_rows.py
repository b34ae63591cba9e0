"""What every ModelSerializer of Django REST framework asks of a row with cells before it is saved."""

from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import router
from django.db.models import Model
from rest_framework.exceptions import ValidationError
from rest_framework.fields import get_error_detail
from rest_framework.settings import api_settings

from django_workos_vault.fields.cell import Sealed
from django_workos_vault.fields.field import EncryptedField
from django_workos_vault.fields.unique import (
    LocatedConstraint,
    located_constraints,
    refuse_duplicate_in_serializer,
    row_to_be,
)


class RowValidator:
    """A serializer's validator: of constraints over blind indexes, and of cells whose row is moved.

    REST framework makes such a validator of constraints over plain fields, and knows none over expressions.
    As there, what was not sent is the row's. Errors are told at the encrypted field.
    """

    requires_context = True

    def __call__(self, attrs: Any, serializer: Any) -> None:
        model, instance = serializer.Meta.model, serializer.instance
        of_many = not isinstance(instance, Model | None)
        if of_many and not any(located_constraints(model())):
            return  # and which of the rows is validated, nobody says
        row, unknown = _row_to_be(attrs, serializer)
        errors: dict[str, Any] = {}
        for field, error in [*_lost(row), *_taken(row, serializer, attrs, unknown)]:
            errors.setdefault(_place(serializer, field), []).extend(get_error_detail(error))
        if errors:
            raise ValidationError(errors)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}()>"


def looks_after(model: type[Model]) -> bool:
    """Whether rows of ``model`` have cells that a :class:`RowValidator` has a word on."""
    return any(
        isinstance(field, EncryptedField) and (field.blind_indexes or field.scheme.remembers_row)
        for field in model._meta.concrete_fields
    )


def _row_to_be(attrs: Any, serializer: Any) -> tuple[Model, set[str]]:
    """Return the row with what was sent, and the names of the fields that only the view knows."""
    row = row_to_be(serializer.Meta.model, serializer.instance)
    sources = {each.source for each in serializer.fields.values() if not each.read_only}
    unknown = set()
    for field in row._meta.concrete_fields:
        sent = [name for name in (field.name, field.attname) if name in attrs]
        try:
            for name in sent:
                setattr(row, name, attrs[name])
        except ValueError:  # a nested serializer's, of which the view will make a row
            unknown.add(field.name)
        if row._state.adding and not sent and sources.isdisjoint((field.name, field.attname)):
            unknown.add(field.name)
    return row, unknown


def _lost(row: Model) -> Any:
    """Yield the fields of cells that must be sealed anew, for their row moves, and cannot be opened."""
    for field in row._meta.concrete_fields:
        held = row.__dict__.get(field.attname)
        if isinstance(field, EncryptedField) and type(held) is Sealed:
            try:
                field.refuse_lost_move(held, row)
            except DjangoValidationError as exc:
                yield field.name, exc


def _taken(row: Model, serializer: Any, attrs: Any, unknown: set[str]) -> Any:
    using = router.db_for_write(type(row), instance=row)
    for model, constraint in located_constraints(row):
        if unknown.isdisjoint(constraint.names) and _concerns(constraint, serializer, attrs, row):
            error = constraint.violation(model, row, using=using)
            if error is not None:
                yield constraint.field_name, error


def _concerns(constraint: LocatedConstraint, serializer: Any, attrs: Any, row: Model) -> bool:
    names = {*constraint.names, *constraint.condition_names}
    if constraint.is_of_one_field and any(
        refuse_duplicate_in_serializer in each.validators
        for each in serializer.fields.values()
        if each.source == constraint.field_name
    ):
        return False  # the field has said so itself
    if row._state.adding:
        return True
    return any(_name(row, sent) in names for sent in attrs)


def _name(row: Model, sent: str) -> str:
    try:
        return row._meta.get_field(sent).name
    except FieldDoesNotExist:
        return ""


def _place(serializer: Any, name: str) -> str:
    shown = (field for field, each in serializer.fields.items() if each.source == name)
    return next(shown, api_settings.NON_FIELD_ERRORS_KEY)
