"""Errors at the field that is taken, where Django would blame the whole row.

The database enforces uniqueness, and ``full_clean()`` checks every ``UniqueConstraint``. But Django knows a
constraint over an expression as nobody's in particular, and DRF does not know it at all.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.db import router
from django.db.models import BinaryField, F, Model, UniqueConstraint, Value
from django.db.models.constants import LOOKUP_SEP
from django.db.models.lookups import Exact
from django.utils.text import capfirst, get_text_list
from django.utils.translation import gettext

from django_workos_vault.frame_locals import leaves_no_locals
from django_workos_vault.indexes import BlindIndex


def constraints_on(field: Any) -> list[tuple[UniqueConstraint, BlindIndex]]:
    """Return the unconditional constraints over a blind index of ``field`` and nothing else."""
    return [
        (constraint, constraint.expressions[0])
        for constraint in field.model._meta.constraints
        if isinstance(constraint, UniqueConstraint)
        and constraint.condition is None
        and len(constraint.expressions) == 1
        and isinstance(constraint.expressions[0], BlindIndex)
        and constraint.expressions[0].source_name == field.name
    ]


def names_of_constraints_over(field: Any) -> list[str]:
    """Return the names of all unique constraints that compare a blind index of ``field``."""
    return [
        constraint.name
        for constraint in field.model._meta.constraints
        if isinstance(constraint, UniqueConstraint)
        and any(isinstance(e, BlindIndex) and e.source_name == field.name for e in constraint.expressions)
    ]


@leaves_no_locals
def refuse_duplicate(field: Any, value: Any, instance: Model | None) -> None:
    """Raise ValidationError (code ``unique``) when another row than ``instance`` has ``value`` already."""
    if value is None:
        return
    using = router.db_for_write(field.model, instance=instance)
    for constraint, index in constraints_on(field):
        digest = index.digest_of(field, value, instance)
        if digest is None:
            continue
        taken = field.model._default_manager.using(using).filter(
            Exact(index, Value(digest.raw, BinaryField()))
        )
        key = None if instance is None else instance._get_pk_val(field.model._meta)  # not that of a child
        if instance is not None and not instance._state.adding and key is not None:
            taken = taken.exclude(pk=key)
        if taken.exists():
            raise _taken(field, constraint)


def _shared_constraints_on(field: Any) -> Iterator[tuple[UniqueConstraint, BlindIndex, list[str]]]:
    """Yield the unconditional constraints over one blind index of ``field`` and plain columns, named last."""
    for constraint in field.model._meta.constraints:
        if not isinstance(constraint, UniqueConstraint) or constraint.condition is not None:
            continue
        parts: list[Any] = [*constraint.expressions]
        ours = [each for each in parts if isinstance(each, BlindIndex) and each.source_name == field.name]
        names = [each.name for each in parts if type(each) is F and LOOKUP_SEP not in each.name]  # type: ignore[attr-defined]
        if len(ours) == 1 and names and len(names) + 1 == len(parts):
            yield constraint, ours[0], names


@leaves_no_locals
def refuse_shared_duplicate(
    field: Any, value: Any, instance: Model | None, of_row: Callable[[str], Any]
) -> None:
    """Raise ValidationError when another row has ``value`` together with what ``of_row`` gives by name.

    As where a number is unique in each organization. NULL equals nothing.
    """
    if value is None:
        return
    for constraint, index, names in _shared_constraints_on(field):
        others = {name: of_row(name) for name in names}
        if any(other is None for other in others.values()):
            continue
        digest = index.digest_of(field, value, instance)
        if digest is None:
            continue
        using = router.db_for_write(field.model, instance=instance)
        taken = field.model._default_manager.using(using).filter(
            Exact(index, Value(digest.raw, BinaryField())), **others
        )
        if instance is not None and not instance._state.adding:
            taken = taken.exclude(pk=instance._get_pk_val(field.model._meta))
        if taken.exists():
            raise _taken_together(field, constraint, names)


def _taken_together(field: Any, constraint: UniqueConstraint, names: list[str]) -> ValidationError:
    if constraint.violation_error_message != constraint.default_violation_error_message:
        return ValidationError(constraint.get_violation_error_message(), code="unique_together")
    options = field.model._meta
    labels = [capfirst(options.get_field(name).verbose_name) for name in (*names, field.name)]
    return ValidationError(
        gettext("%(model_name)s with this %(field_labels)s already exists."),
        code="unique_together",
        params={
            "model_name": capfirst(options.verbose_name),
            "field_labels": get_text_list(labels, gettext("and")),
        },
    )


def _taken(field: Any, constraint: UniqueConstraint) -> ValidationError:
    if constraint.violation_error_message != constraint.default_violation_error_message:
        return ValidationError(constraint.get_violation_error_message(), code="unique")
    options = field.model._meta
    return ValidationError(
        field.error_messages["unique"],
        code="unique",
        params={"model_name": capfirst(options.verbose_name), "field_label": capfirst(field.verbose_name)},
    )


def refuse_duplicate_in_serializer(value: Any, serializer_field: Any = None) -> None:
    """Raise ValidationError in a serializer of DRF, which takes over a model field's validators.

    Elsewhere it does nothing: models clean themselves.
    """
    if serializer_field is not None:
        serializer = serializer_field.parent
        field = serializer.Meta.model._meta.get_field(serializer_field.source)
        row = serializer.instance if isinstance(serializer.instance, Model) else None
        refuse_duplicate(field, value, row)
        refuse_shared_duplicate(field, value, row, lambda name: _in_serializer(serializer, name, row))


def _in_serializer(serializer: Any, name: str, row: Model | None) -> Any:
    """Return what the row will have in ``name``: what was sent, else the default, else what it has."""
    from rest_framework.exceptions import ValidationError as Invalid
    from rest_framework.fields import SkipField

    sent = getattr(serializer, "initial_data", None)
    fields = [each for each in serializer.fields.values() if each.source == name]
    try:
        if fields and isinstance(sent, Mapping):
            return fields[0].run_validation(fields[0].get_value(sent))
    except SkipField:
        pass
    except Invalid:
        return None  # which is told at that field
    return None if row is None else getattr(row, name)


refuse_duplicate_in_serializer.requires_context = True  # type: ignore[attr-defined]  # DRF passes its own field
