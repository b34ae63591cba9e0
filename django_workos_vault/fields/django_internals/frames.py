"""What is only to be learned from the stack: for whom Django calls a field just now.

Looking at the caller's code object costs about 0.1 us; walking up the stack, some microseconds. So walks are
for what happens once a query, a fixture or a cold key; the attribute's look at its caller is for each value.
"""

import sys
from collections.abc import Iterator
from types import CodeType, FrameType
from typing import Any

from django.core.serializers.xml_serializer import Serializer as XMLSerializer
from django.db.migrations.autodetector import MigrationAutodetector
from django.db.models import Field, Model
from django.db.models.fields.related_descriptors import ForwardOneToOneDescriptor
from django.db.models.query import QuerySet
from django.db.models.sql import Query
from django.db.models.sql.compiler import SQLAggregateCompiler, SQLCompiler, SQLInsertCompiler


def _code_of(function: Any) -> Iterator[CodeType]:
    """Yield the function's code and that of its comprehensions, which up to Python 3.11 have frames."""
    yield function.__code__
    yield from (const for const in function.__code__.co_consts if isinstance(const, CodeType))


# Django's own code that moves a value from one place to another without looking at it. It gets the cell
# as it is: refresh_from_db() would otherwise open every cell, and fail on one that cannot be opened;
# full_clean() would turn a cell nobody touched into an assigned value, and open all of a row's for any
# constraint of the model; loaddata would seal anew; dumpdata in XML asks every value whether it is None;
# a child makes its parent's instance of its own values, also to be deleted.
_MOVES_VALUES = {
    id(code): code  # by identity: hashing a code object takes as long as opening a cell
    for function in (
        Field.pre_save,
        Model.refresh_from_db,
        Model.clean_fields,
        Model._get_field_expression_map,  # type: ignore[attr-defined]
        Model._save_table,  # type: ignore[attr-defined]
        SQLInsertCompiler.pre_save_val,
        XMLSerializer.handle_field,
        QuerySet.bulk_update,
        ForwardOneToOneDescriptor.get_object,
    )
    for code in _code_of(function)
}


def let_move_values(function: Any) -> None:
    """Let another package's ``function``, too, move values from one place to another without opening them."""
    _MOVES_VALUES.update((id(code), code) for code in _code_of(function))


def caller_moves_values() -> bool:
    """Whether what reads or sets an attribute of ours only moves the value. The descriptor asks this."""
    return id(sys._getframe(2).f_code) in _MOVES_VALUES


_REFRESHES = Model.refresh_from_db.__code__


def caller_refreshes() -> bool:
    """Whether what sets an attribute of ours to None is ``refresh_from_db()``: it assigns nothing new."""
    return sys._getframe(2).f_code is _REFRESHES


def _callers() -> Iterator[FrameType]:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        yield frame
        frame = frame.f_back


def rows_of_bulk_create() -> list[Model]:
    """Return the rows of the ``bulk_create()`` under way, nothing where there is none.

    Django hands rows to a field one by one, and their keys are better asked for together.
    """
    code = QuerySet.bulk_create.__code__
    return next((list(frame.f_locals["objs"]) for frame in _callers() if frame.f_code is code), [])


def at_work(kind: type[Any]) -> Any:
    """Return the serializer, or deserializer, of class ``kind`` in whose call we are, or None.

    It asks fields for values, or gives them some, as anybody else does.
    """
    for frame in _callers():
        if "self" in frame.f_code.co_varnames[:1] and isinstance(frame.f_locals.get("self"), kind):
            return frame.f_locals["self"]
    return None


# Both compare with ``==`` what deconstruct() gives for the old and the new field, and nothing else tells them
# from the comparison that finds altered fields.
_COMPARES_FOR_RENAMES = frozenset(
    (
        MigrationAutodetector.only_relation_agnostic_fields.__code__,
        MigrationAutodetector.create_renamed_fields.__code__,
    )
)
_AUTODETECTOR_DEPTH = 16


def looks_for_renames() -> bool:
    """Whether the migration autodetector asks, further up the stack, if two fields are one field renamed.

    What concerns cells alone must not count there: a rename that goes with a new ``label``, say, would become
    a removal and an addition, and the cells would be lost.
    """
    nearest = zip(range(_AUTODETECTOR_DEPTH), _callers(), strict=False)
    return any(frame.f_code in _COMPARES_FOR_RENAMES for _, frame in nearest)


#: Where a compiler compiles another query inside its own, and the local variable that is the outer compiler.
_COMPILES_ANOTHER = {
    id(function.__code__): (local, function.__code__)  # by identity, as above
    for function, local in (
        (Query.as_sql, "compiler"),
        (SQLCompiler.get_combinator_sql, "self"),
        (SQLCompiler.get_qualify_sql, "self"),
        (SQLAggregateCompiler.as_sql, "self"),
    )
}

_EXECUTES = SQLCompiler.execute_sql.__code__


def outer_compilers() -> Iterator[Any]:
    """Yield the compilers inside of which the current query is being compiled, the innermost first.

    Neither a query nor its compiler knows them, so they are looked for once a query.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code is not _EXECUTES:  # not _callers(): this runs for every query
        found = _COMPILES_ANOTHER.get(id(frame.f_code))
        if found is not None:
            yield frame.f_locals[found[0]]
        frame = frame.f_back
