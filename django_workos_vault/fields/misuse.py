"""Queries that would silently compute over ciphertext. Each is refused while it is compiled.

A column does not know what it is compiled for, but everything around it is being compiled at that moment,
further up the stack.
"""

import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

from django.core.exceptions import FieldError
from django.db.models import Count, F, Func
from django.db.models.expressions import Col, CombinedExpression, OrderBy
from django.db.models.functions import Coalesce
from django.db.models.lookups import IsNull, Lookup
from django.db.models.sql.compiler import SQLCompiler, SQLUpdateCompiler
from django.db.models.sql.where import WhereNode

_SELECT = SQLCompiler.as_sql.__code__
_GROUP_BY = SQLCompiler.get_group_by.__code__
_INSTEAD = "Load the rows and do it in Python."


def refuse_misuse(column: Col, compiler: Any) -> None:
    """Raise FieldError when ``column``, which is being compiled, is used for more than reading its cells.

    Classes of ours that know what to do with ciphertext say so with an attribute ``reads_ciphertext``.
    """
    refusal = None
    for frame in _frames_of_the_query():
        user = frame.f_locals.get("self")
        if getattr(user, "reads_ciphertext", False):
            return
        if isinstance(user, WhereNode):
            break
        refusal = refusal or _refusal(column, user, frame, compiler.query)
    else:
        refusal = refusal or _refused_selection(column, compiler.query)
    if refusal:
        raise FieldError(refusal)


def _frames_of_the_query() -> Iterator[FrameType]:
    frame: FrameType | None = sys._getframe(3)
    while frame is not None and frame.f_code.co_name != "execute_sql":
        code = frame.f_code
        # A SELECT as such uses its columns for nothing; to look at the locals of its frame takes long.
        if code is not _SELECT and (code.co_name.startswith("as_") or code is _GROUP_BY):
            yield frame
        frame = frame.f_back


def _refusal(column: Col, user: Any, frame: FrameType, query: Any) -> str | None:
    field = column.target
    if isinstance(user, OrderBy):
        return f"Cannot order by {field}: ciphertext has no order. Sort in Python after loading."
    if isinstance(user, SQLUpdateCompiler):
        return (
            f"Cannot copy {field} with an expression: another column cannot open its cells. "
            "Load the rows and assign the attribute."
        )
    if frame.f_code is _GROUP_BY and not _keeps_rows_apart(column, query):
        return f"Cannot group by {field}: equal values have different ciphertexts. {_INSTEAD}"
    if isinstance(user, Count) and user.distinct:  # type: ignore[attr-defined]
        return f"Cannot count distinct values of {field}: all ciphertexts are different. {_INSTEAD}"
    computes = isinstance(user, CombinedExpression | Func) and not isinstance(user, Count | Coalesce)
    if computes or (isinstance(user, Lookup) and not isinstance(user, IsNull)):
        return f"Cannot use {field} in {type(user).__name__}: it would compute over ciphertext. {_INSTEAD}"
    return None


def _refused_selection(column: Col, query: Any) -> str | None:
    field = column.target
    names = {name for name, annotation in query.annotation_select.items() if annotation is column}
    if query.combinator:
        names.add(field.name)
    if names & {_ordering_name(item) for item in query.order_by}:
        return f"Cannot order by {field}: ciphertext has no order. Sort in Python after loading."
    if query.distinct and (field.name in query.distinct_fields or not _keeps_rows_apart(column, query)):
        return f"Cannot select distinct values of {field}: all ciphertexts are different. {_INSTEAD}"
    return None


def _keeps_rows_apart(column: Col, query: Any) -> bool:
    """Whether every row is a row of its own anyway, by its primary key."""
    return query.default_cols or any(
        isinstance(other, Col) and other.alias == column.alias and other.target.primary_key
        for other in query.select
    )


def _ordering_name(item: Any) -> str:
    expression = item.expression if isinstance(item, OrderBy) else item
    return getattr(expression, "name", "") if isinstance(expression, F) else str(expression).removeprefix("-")
