"""Which cells an expression hands on as they are stored. What would compute over them is refused.

Only cells of one column may come out of one expression: whoever opens them has one field to do it with.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from django.core.exceptions import FieldError
from django.db.models import Case, Count, Exists, ExpressionWrapper, Subquery, Value, When
from django.db.models.expressions import Col, OrderBy, Ref
from django.db.models.functions import Coalesce
from django.db.models.lookups import IsNull, Lookup
from django.db.models.sql import Query

from django_workos_vault.fields.django_internals.queries import is_ordering, output_field, selected

INSTEAD = "Load the rows and do it in Python."


def field_of_cells(expression: Any) -> Any:
    """Return the encrypted field whose cells ``expression`` hands on; None when it hands on none.

    ``expression`` is a resolved expression, a query used as one, or a field that stands for its column.
    Raises FieldError when cells are used for more than being handed on. Classes of ours that know what to do
    with ciphertext say so with an attribute ``reads_ciphertext``.
    """
    if isinstance(expression, Col):
        return _opens(expression.target)
    if getattr(expression, "holds_cells", False):
        return expression
    if isinstance(expression, Value):
        return _opens(output_field(expression))  # which seals it
    if isinstance(expression, Exists) or getattr(expression, "reads_ciphertext", False):
        return None
    if isinstance(expression, Query):
        return next(filter(None, map(field_of_cells, selected(expression))), None)
    sources = _sources(expression)
    cells = [field_of_cells(source) for source in sources]
    field = next(filter(None, cells), None) if cells else None
    if field is None or isinstance(expression, IsNull):
        return None
    if isinstance(expression, Count):
        return _counted(expression, field, cells)
    if isinstance(expression, OrderBy) or is_ordering(expression):
        raise no_order(field)
    if isinstance(expression, Coalesce | Case | When):
        results = sources[1:] if isinstance(expression, When) else sources
        return _one_of(expression, field, results, cells[-len(results) :])
    if isinstance(expression, Ref | ExpressionWrapper | Subquery):
        return _as_they_are(expression, field)
    raise _computed(expression, field)


def origins(expression: Any) -> Iterator[Any]:
    """Yield the columns, constants and subqueries that the cells which ``expression`` hands on are from."""
    if field_of_cells(expression) is not None:
        inner = [] if isinstance(expression, Col | Query | Subquery) else _sources(expression)
        if not inner:
            yield expression
        for source in inner:
            yield from origins(source)


def no_order(field: Any) -> FieldError:
    """Return the error for ordering by ``field``."""
    return FieldError(
        f"Cannot order by {field}: {field.holds_cells} have no order. Sort in Python after loading."
    )


def opens_alike(field: Any, other: Any) -> bool:
    """Whether ``field`` reads the cells of ``other`` as it reads its own."""
    return field is other or (
        (type(field), field.vault_alias, field.label, field.previous_labels)
        == (type(other), other.vault_alias, other.label, other.previous_labels)
        and not (field.is_bound or other.is_bound)
    )


def is_constant_null(expression: Any) -> bool:
    """Whether ``expression`` is the constant NULL, which may stand in place of a cell."""
    return isinstance(expression, Value) and expression.value is None


def _sources(expression: Any) -> list[Any]:
    get_sources = getattr(expression, "get_source_expressions", None)
    sources = [source for source in get_sources() if source is not None] if get_sources else []
    values = getattr(expression, "rhs", None) if isinstance(expression, Lookup) else None
    if isinstance(values, list | tuple | set | frozenset):
        sources += [value for value in values if hasattr(value, "resolve_expression")]
    return sources


def _counted(count: Any, field: Any, cells: list[Any]) -> None:
    if any(cells[1:]):
        raise _computed(count, field)
    if count.distinct:
        raise FieldError(
            f"Cannot count distinct values of {field}: all {field.holds_cells} are different. {INSTEAD}"
        )


def _one_of(expression: Any, field: Any, results: Iterable[Any], cells: Iterable[Any]) -> Any:
    for result, found in zip(results, cells, strict=True):
        if found is not None and not opens_alike(field, found):
            raise FieldError(
                f"Cannot choose between {field} and {found} in {type(expression).__name__}: a result opens "
                "as one column's cells only. Select both and choose in Python."
            )
        if found is None and not is_constant_null(result):
            raise FieldError(
                f"Cannot choose between {field} and something that is no cell of it in "
                f"{type(expression).__name__}: the result could not be opened. Give Value() the field as "
                "output_field, or choose in Python."
            )
    if isinstance(expression, When):
        return field
    return _as_they_are(expression, field)


def _as_they_are(expression: Any, field: Any) -> Any:
    reader = field if isinstance(expression, Ref) else _opens(expression.output_field)
    if reader is None or not opens_alike(reader, field):
        raise FieldError(
            f"Cannot read {field} as a {type(expression.output_field).__name__} in "
            f"{type(expression).__name__}: only the field itself opens its cells. Leave output_field out."
        )
    return field


def _opens(output_field: Any) -> Any:
    return output_field if getattr(output_field, "holds_cells", False) else None


def _computed(expression: Any, field: Any) -> FieldError:
    return FieldError(
        f"Cannot use {field} in {type(expression).__name__}: it would compute over {field.holds_cells}. "
        f"{INSTEAD}"
    )
