"""Errors at the field that is taken, where Django would blame the whole row.

The database enforces uniqueness, and ``full_clean()`` checks every ``UniqueConstraint``. But Django knows a
constraint over an expression as nobody's in particular, and DRF does not know it at all.
"""

from typing import Any

from django.core.exceptions import ValidationError
from django.db import router
from django.db.models import BinaryField, Model, UniqueConstraint, Value
from django.db.models.lookups import Exact
from django.utils.text import capfirst

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
        row = serializer.instance
        refuse_duplicate(field, value, row if isinstance(row, Model) else None)


refuse_duplicate_in_serializer.requires_context = True  # type: ignore[attr-defined]  # DRF passes its own field
