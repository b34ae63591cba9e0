"""Errors at the field that is taken, where Django would blame the whole row.

The database enforces uniqueness, and ``full_clean()`` checks every ``UniqueConstraint``. But Django knows a
constraint over an expression as nobody's in particular, and does not check it where a form lacks a column of
it, although the row has one.
"""

from collections.abc import Iterator
from typing import Any

from django.core.exceptions import ValidationError
from django.db import DEFAULT_DB_ALIAS, router
from django.db.models import F, Model, UniqueConstraint
from django.db.models.constants import LOOKUP_SEP
from django.utils.text import capfirst, get_text_list
from django.utils.translation import gettext

from django_workos_vault.fields.cell import Withheld
from django_workos_vault.fields.django_internals.rows import watch_constraints, watch_formsets
from django_workos_vault.frame_locals import leaves_no_locals
from django_workos_vault.indexes import BlindIndex


class LocatedConstraint:
    """A unique constraint over blind indexes, as ``validate_constraints()`` takes it. Its error has a field.

    ``names`` are the fields it compares, encrypted ones last; ``condition_names`` those of its condition.
    """

    fields = ()  # what Django asks every constraint for

    def __init__(self, model: type[Model], constraint: UniqueConstraint) -> None:
        parts = list(_flat(constraint.expressions))
        ours = [each for each in parts if isinstance(each, BlindIndex)]
        self.constraint = constraint
        self.encrypted = list(dict.fromkeys(str(each.source_name) for each in ours))
        others = [each.name.partition(LOOKUP_SEP)[0] for each in parts if isinstance(each, F)]  # type: ignore[attr-defined]
        others += [name for each in ours for name in each.compound_members(model)]
        others = [name for name in dict.fromkeys(others) if name not in self.encrypted]
        self.names = [*others, *self.encrypted]
        condition: Any = constraint.condition
        self.condition_names = sorted(condition.referenced_base_fields) if condition else []

    @property
    def field_name(self) -> str:
        """The field that an error is told at."""
        return self.encrypted[-1]

    @property
    def is_of_one_field(self) -> bool:
        """Whether it is what ``unique=True`` is for a plain field."""
        return len(self.names) == 1 and not self.condition_names

    def validate(
        self, model: type[Model], instance: Model, exclude: Any = None, using: str = DEFAULT_DB_ALIAS
    ) -> None:
        """Raise ValidationError, at a field, where another row has the same."""
        error = self.violation(model, instance, exclude, using)
        if error is not None:
            raise ValidationError({self.field_name: [error]})

    @leaves_no_locals
    def violation(
        self, model: type[Model], instance: Model, exclude: Any = None, using: str = DEFAULT_DB_ALIAS
    ) -> ValidationError | None:
        """Return the error where another row has the same. NULL equals nothing.

        A column that a form leaves out counts as the row has it, unless that is no value of the column.
        """
        left_out = set(exclude or ())
        others = {*self.names, *self.condition_names}.difference(self.encrypted)
        if not all(_holds_a_value(model, instance, name) for name in others & left_out):
            return None
        try:
            self.constraint.validate(model, instance, exclude=left_out - others, using=using)
        except ValidationError:
            return self._error(model)
        return None

    def _error(self, model: type[Model]) -> ValidationError:
        constraint, options = self.constraint, model._meta
        code = "unique" if len(self.names) == 1 else "unique_together"
        code = constraint.violation_error_code or code
        if constraint.violation_error_message != constraint.default_violation_error_message:
            return ValidationError(constraint.get_violation_error_message(), code=code)
        message = gettext("%(model_name)s with this %(field_labels)s already exists.")
        field: Any = options.get_field(self.field_name)
        if len(self.names) == 1:
            message = field.error_messages["unique"]
        compared: list[Any] = [options.get_field(name) for name in self.names]
        labels = [capfirst(each.verbose_name) for each in compared]
        params = {
            "model_name": capfirst(options.verbose_name),
            "field_label": capfirst(field.verbose_name),
            "field_labels": get_text_list(labels, gettext("and")),
        }
        return ValidationError(message, code=code, params=params)


def located(model: type[Model], constraint: Any) -> Any:
    """Return a constraint over blind indexes as one whose error has a field; another constraint as it is."""
    is_ours = isinstance(constraint, UniqueConstraint) and any(
        isinstance(each, BlindIndex) for each in _flat(constraint.expressions)
    )
    return LocatedConstraint(model, constraint) if is_ours else constraint


def locate_errors(model: type[Model]) -> None:
    """Have the errors of the model's constraints over blind indexes told at fields, and within formsets."""
    watch_constraints(model, located)
    watch_formsets(model, _unique_together)


def _unique_together(instance: Model) -> Iterator[tuple[type[Model], tuple[str, ...]]]:
    for model, constraint in located_constraints(instance):
        plain = all(isinstance(each, F | BlindIndex) for each in constraint.constraint.expressions)
        if plain and not constraint.condition_names:
            yield model, tuple(constraint.names)


def located_constraints(instance: Model) -> Iterator[tuple[type[Model], LocatedConstraint]]:
    """Yield the constraints over blind indexes that concern ``instance``, each with its model."""
    for model, constraints in instance.get_constraints():
        for constraint in constraints:
            if isinstance(constraint, LocatedConstraint):
                yield model, constraint


def refuse_duplicate_in_serializer(value: Any, serializer_field: Any = None) -> None:
    """Raise ValidationError in a serializer of REST framework, which takes over a model field's validators.

    Elsewhere it does nothing: models clean themselves.
    """
    if serializer_field is None:
        return
    serializer, name = serializer_field.parent, serializer_field.source
    row = row_to_be(serializer.Meta.model, serializer.instance)
    setattr(row, name, value)
    using = router.db_for_write(type(row), instance=row)
    for model, constraint in located_constraints(row):
        if constraint.is_of_one_field and constraint.field_name == name:
            error = constraint.violation(model, row, using=using)
            if error is not None:
                raise error


refuse_duplicate_in_serializer.requires_context = True  # type: ignore[attr-defined]  # it passes its own field


def row_to_be(model: type[Model], instance: Any) -> Model:
    """Return a row to try values in: a copy of ``instance``, or a new one where that is None.

    Raises RuntimeError for a queryset or list, which a serializer of many rows has until it is told the row.
    """
    if instance is None:
        return model()
    if not isinstance(instance, Model):
        raise RuntimeError(
            "A serializer of many rows does not say which of them it validates. Override "
            "ListSerializer.run_child_validation() to set child.instance."
        )
    row = type(instance).__new__(type(instance))
    row.__dict__.update(instance.__getstate__())
    return row


def names_of_constraints_over(field: Any) -> list[str]:
    """Return the names of all unique constraints that compare a blind index of ``field``."""
    return [
        each.constraint.name
        for each in (located(field.model, each) for each in field.model._meta.constraints)
        if isinstance(each, LocatedConstraint) and field.name in each.encrypted
    ]


def _flat(expressions: Any) -> Iterator[Any]:
    for expression in expressions:
        yield from expression.flatten() if hasattr(expression, "flatten") else (expression,)


def _holds_a_value(model: type[Model], instance: Model, name: str) -> bool:
    field: Any = model._meta.get_field(name)
    if isinstance(instance.__dict__.get(field.attname), Withheld):
        return True
    try:
        field.to_python(getattr(instance, field.attname))
    except ValidationError:
        return False
    return True
