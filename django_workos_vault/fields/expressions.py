"""Which expressions may be written into an encrypted column: constants of that very column, nothing else."""

from typing import Any

from django.core.exceptions import FieldError
from django.db.models import Case, Value
from django.db.models.functions import Cast

from django_workos_vault.fields.django_internals.queries import output_field


def refuse_expression(field: Any, expression: Any) -> None:
    """Raise FieldError unless ``expression`` is what ``bulk_update()`` makes of plain values.

    The database would compute any other expression over ciphertext, or store its plaintext result.
    """
    if not _is_constant(field, expression):
        raise FieldError(
            f"Cannot write {type(expression).__name__} into {field}: the database cannot encrypt. "
            "Load the rows, assign values and save."
        )


def _is_constant(field: Any, expression: Any) -> bool:
    if isinstance(expression, Value):
        return expression.value is None or output_field(expression) is field
    if isinstance(expression, Cast):
        return all(_is_constant(field, source) for source in expression.get_source_expressions())
    if isinstance(expression, Case):
        results = [when.result for when in expression.cases]
        return all(_is_constant(field, result) for result in (*results, expression.default))
    return False
