"""Queries that would silently compute over ciphertext. Each is refused while it is compiled.

A query is looked at as a whole, once, when the first encrypted column in it is compiled; and with it the
queries around it, which may select nothing encrypted themselves.
"""

from typing import Any

from django.core.exceptions import FieldError
from django.db.models.sql.subqueries import UpdateQuery

from django_workos_vault.fields.django_internals import queries
from django_workos_vault.fields.django_internals.frames import outer_compilers
from django_workos_vault.fields.flow import (
    INSTEAD,
    field_of_cells,
    is_constant_null,
    no_order,
    opens_alike,
    origins,
)

_CHECKED = "_workos_vault_checked"


def refuse_misuse(field: Any, compiler: Any) -> None:
    """Raise FieldError when what is being compiled uses encrypted columns for more than reading their cells.

    ``field`` is that of the column which asks.
    """
    query = compiler.query
    if getattr(compiler, _CHECKED, None) is query:
        return
    if queries.is_schema(compiler.query):
        raise FieldError(
            f"Cannot use {field} in an index, a constraint or a generated column: the database sees "
            f"{field.holds_cells}. Test it for NULL, or name a BlindIndex() there."
        )
    for each in (compiler, *outer_compilers()):
        if getattr(each, _CHECKED, None) is not each.query:
            _check(each.query)
            setattr(each, _CHECKED, each.query)


def _check(query: Any) -> None:
    for expression in (*query.select, *query.annotation_select.values(), *queries.conditions(query)):
        field_of_cells(expression)
    for expression in queries.ordered_by(query):
        if field := field_of_cells(expression):
            raise no_order(field)
    if isinstance(query, UpdateQuery):
        _check_update(query)
    if query.distinct:
        _check_distinct(query)
    if query.group_by is not None:
        _check_groups(query)
    if query.combinator:
        _check_combination(query)


def _check_update(query: Any) -> None:
    for target, _, value in query.values:  # what goes into an encrypted column is judged there
        if not hasattr(target, "holds_cells") and (field := field_of_cells(value)):
            raise FieldError(
                f"Cannot copy {field} with an expression: another column cannot open its cells. "
                "Load the rows and assign the attribute."
            )


def _check_distinct(query: Any) -> None:
    named = [found for name in query.distinct_fields for found in queries.named(query, name)]
    outputs = queries.selected(query)
    compared = named if query.distinct_fields else _not_told_apart(query, outputs, outputs)
    for field in filter(None, map(field_of_cells, compared)):
        raise FieldError(
            f"Cannot select distinct values of {field}: all {field.holds_cells} are different. Select the "
            "primary key too, or do it in Python."
        )


def _check_groups(query: Any) -> None:
    grouped = queries.grouped(query)
    for field in map(field_of_cells, _not_told_apart(query, grouped, grouped)):
        raise FieldError(
            f"Cannot group by {field}: equal values have different {field.holds_cells}. {INSTEAD}"
        )


def _check_combination(query: Any) -> None:
    branches = queries.branches(query)
    outputs = [queries.selected(branch) for branch in branches]
    for column in zip(*outputs, strict=False):
        fields = [field_of_cells(expression) for expression in column]
        for field in filter(None, fields):
            for other, expression in zip(fields, column, strict=True):
                alike = other is not None and fields[0] is not None and opens_alike(fields[0], other)
                if not alike and not (fields[0] is not None and is_constant_null(expression)):
                    raise FieldError(
                        f"Cannot combine {field} with another column in a {query.combinator}: a result opens "
                        "as one column's cells only. Run the queries one by one."
                    )
    if query.combinator == "union" and query.combinator_all:
        return
    places = [{place for place, what in enumerate(row) if queries.is_primary_key(what)} for row in outputs]
    for place in set.intersection(*places):
        known = {_known_from(branch, row, row[place]) for branch, row in zip(branches, outputs, strict=True)}
        if len(known) == 1 and None not in known:
            return
    for field in filter(None, map(field_of_cells, outputs[0])):
        raise FieldError(
            f"Cannot tell equal values of {field} in a {query.combinator}: all {field.holds_cells} are "
            "different. Select the primary key too, or use union(all=True)."
        )


def _known_from(query: Any, outputs: list[Any], key: Any) -> tuple[Any, ...] | None:
    """Return how the cells of ``outputs`` follow from the row of ``key``; None when some do not."""
    ways = []
    for output in outputs:
        found = {queries.way(query, key, origin) for origin in origins(output)}
        if None in found or len(found) > 1:
            return None
        ways.append((field_of_cells(output), *found))
    return tuple(ways)


def _not_told_apart(query: Any, outputs: list[Any], keys: list[Any]) -> list[Any]:
    """Return those of ``outputs`` that hand on cells, while ``keys`` do not name the row they are from."""
    known = queries.identified(query, keys)
    return [
        output
        for output in outputs
        if field_of_cells(output) and not queries.tables_of(query, output) <= known
    ]
