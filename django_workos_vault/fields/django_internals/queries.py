"""What Django's queries are made of, as far as we look at them: all private to Django."""

from collections.abc import Iterator
from typing import Any

from django.core.exceptions import FieldError
from django.db.models import F, OrderBy, Subquery
from django.db.models.constants import LOOKUP_SEP
from django.db.models.expressions import Col, ColPairs, Ref

_DEEPEST_ORDERING = 16


def is_schema(query: Any) -> bool:
    """Whether ``query`` stands for an expression in a table's definition: an index, a constraint."""
    return not query.alias_cols


def selected(query: Any) -> list[Any]:
    """Return what each column of the result is made of: expressions, and fields for a model's own columns."""
    columns = default_columns(query) if query.default_cols else list(query.select)
    if query.selected is None:
        return [*query.extra_select, *columns, *query.annotation_select.values()]
    return [
        query.annotations[what] if isinstance(what, str) else columns[what] if isinstance(what, int) else what
        for what in query.selected.values()
    ]


def default_columns(query: Any) -> list[Any]:
    """Return the fields that a query for instances loads."""
    mask = query.get_select_mask()
    return [field for field in query.get_meta().concrete_fields if not mask or field in mask]


def branches(query: Any) -> list[Any]:
    """Return the queries that a UNION, INTERSECT or EXCEPT combines, each with the columns it will select.

    One that is combined itself stands as the queries it is made of.
    """
    combined = []
    for branch in query.combined_queries:
        if query.selected is not None and branch.selected is None:
            branch = branch.clone()
            branch.set_values(query.selected)
        combined += branches(branch) if branch.combinator else [branch]
    return combined


def conditions(query: Any) -> Iterator[Any]:
    """Yield the WHERE (with HAVING) of a query and the conditions of its joins."""
    yield query.where
    for join in query.alias_map.values():
        if getattr(join, "filtered_relation", None) is not None:
            yield join.filtered_relation.resolved_condition


def grouped(query: Any) -> list[Any]:
    """Return the expressions that GROUP BY will have because of what is selected or named in HAVING."""
    explicit = query.group_by if isinstance(query.group_by, tuple | list) else ()
    references: list[Any] = [expr for expr in explicit if isinstance(expr, Ref)]
    named = [query.annotations.get(reference.refs) for reference in references]
    expressions = [expr for expr in explicit if not isinstance(expr, Ref)]
    expressions += [reference.source for reference in references]
    for output in selected(query):
        if any(output is annotation for annotation in named):
            continue
        if hasattr(output, "get_group_by_cols"):
            expressions += output.get_group_by_cols()
        elif hasattr(output, "attname"):
            expressions.append(output)
    if query.where.contains_aggregate:
        having = query.where.split_having_qualify(must_group_by=True)[1]
        expressions += having.get_group_by_cols() if having else []
    return expressions


def is_ordering(expression: Any) -> bool:
    """Whether ``expression`` is a list of orderings, such as a window's."""
    return type(expression).__name__ in {"OrderByList", "AggregateOrderBy"}


def ordered_by(query: Any) -> Iterator[Any]:
    """Yield what the query is ordered by: resolved expressions, and fields for columns."""
    items = query.extra_order_by or query.order_by
    if not items and query.default_ordering and query.group_by is None:
        meta = query.get_meta()
        items = meta.ordering if meta else ()
    for item in items:
        expression: Any = item.expression if isinstance(item, OrderBy) else item
        is_name = isinstance(expression, str)
        if is_name or type(expression).resolve_expression is F.resolve_expression:
            yield from named(query, expression if is_name else expression.name)
        else:
            yield expression.resolve_expression(query.clone(), allow_joins=True, reuse=None)


def named(query: Any, name: str) -> Iterator[Any]:
    """Yield what an ordering or DISTINCT ON by ``name`` looks at."""
    name = name.removeprefix("-").removeprefix("+")
    if name in query.annotations:
        yield query.annotations[name]
        return
    names = name.split(LOOKUP_SEP)
    opts = query.get_meta()
    if name == "?" or name in query.extra or "." in name or names[0] in query.annotations or opts is None:
        return
    path, field, targets, _ = query.names_to_path(names, opts)
    yield from targets
    follows = field.is_relation and path and getattr(field, "attname", None) != names[-1] and name != "pk"
    if not follows or len(names) > _DEEPEST_ORDERING:
        return
    for item in path[-1].to_opts.ordering:
        if isinstance(item, str):
            if item != "?":
                yield from named(query, f"{name}{LOOKUP_SEP}{item.removeprefix('-')}")
        else:
            ordering = item if isinstance(item, OrderBy) else item.asc()
            prefixed = ordering.prefix_references(f"{name}{LOOKUP_SEP}")
            yield prefixed.expression.resolve_expression(query.clone(), allow_joins=True, reuse=None)


def identified(query: Any, expressions: list[Any]) -> frozenset[str]:
    """Return the table aliases whose row is known from its primary key among ``expressions``, or follows."""
    found = {expr.alias for expr in expressions if is_primary_key(expr) and isinstance(expr, Col | ColPairs)}
    if query.default_cols:
        found.update([*query.alias_map][:1])  # Query.base_table would remember that there is none yet
    for alias, join in query.alias_map.items():  # a join comes after what it joins
        field = getattr(join, "join_field", None)
        if join.parent_alias in found and field is not None and (field.many_to_one or field.one_to_one):
            found.add(alias)
    return frozenset(found)


def way(query: Any, key: Any, column: Any) -> tuple[Any, ...] | None:
    """Return the relations that lead from the row of the primary key ``key`` to that of ``column``.

    Both are columns of ``query``, or fields of an instance's row. None when the one does not tell the other.
    """
    if hasattr(column, "attname") or hasattr(key, "attname"):
        return () if hasattr(column, "attname") and hasattr(key, "attname") else None
    alias, steps = getattr(column, "alias", None), []
    while alias != key.alias:
        join = query.alias_map.get(alias)
        field = getattr(join, "join_field", None)
        if join is None or field is None or not (field.many_to_one or field.one_to_one):
            return None
        steps.append((field, join.filtered_relation))
        alias = join.parent_alias
    return tuple(steps)


def filtered_relation(query: Any, name: str) -> Any:
    """Return the FilteredRelation that ``query`` was annotated with as ``name``, or None."""
    return query._filtered_relations.get(name)


def output_field(expression: Any) -> Any:
    """Return the field that the result of ``expression`` is read as, None where it does not tell."""
    try:
        return expression.output_field
    except (AttributeError, FieldError):
        return None


def is_primary_key(expression: Any) -> bool:
    """Whether ``expression`` is a primary key: a field, a column or the columns of a composite one."""
    field = getattr(expression, "target", None) or getattr(expression, "output_field", expression)
    return bool(getattr(field, "primary_key", False))


def tables_of(query: Any, expression: Any) -> set[str]:
    """Return the aliases of the tables in ``query`` that an expression takes its value from."""
    if hasattr(expression, "attname"):
        return set()  # of rows that are selected whole
    if isinstance(expression, Subquery) and expression.query.combinator:
        return {""}  # which nobody knows
    return {column.alias for column in query._gen_cols([expression], include_external=True)}
