"""Rows as bare as may be: a primary key, cells, and what chooses their key contexts. No model instances."""

from collections.abc import Iterable, Sequence
from contextlib import nullcontext, suppress
from functools import partial
from itertools import repeat
from types import NoneType
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connections
from django.db.models import (
    CharField,
    F,
    IntegerField,
    QuerySet,
    TextField,
    UUIDField,
    prefetch_related_objects,
)

try:
    from psycopg import Cursor as ServerCursor
    from psycopg.pq import Format

    is_psycopg3 = True
except ImportError:
    is_psycopg3 = False

from django_workos_vault.context import KeyContext
from django_workos_vault.fields.column import as_bytes, sealing_converter
from django_workos_vault.fields.field import EncryptedField
from django_workos_vault.maintenance.cells import StoredBytes, prefetches
from django_workos_vault.maintenance.row_versions import RowVersion

#: PostgreSQL's types of which Django gets the same from the binary format as from text.
_SAME_IN_BINARY = {"bigint", "integer", "smallint", "text", "uuid", "varchar"}


#: Fields whose values are equal when they name the same key context.
_COMPARABLE = (CharField, IntegerField, TextField, UUIDField)


class BareRow:
    """A row's primary key, and its cells as they are stored: a part of what an instance costs.

    ``chooser`` is an instance with the same values in the columns that choose key contexts, None where none
    do. Rows share it, and what they lack is looked for there. ``version`` is None where it is not told.
    """

    def __init__(
        self, pk: Any, cells: Sequence[Any], chooser: Any, version: str | None, columns: "_Columns"
    ) -> None:
        self.pk = pk
        self.cells = cells
        self.chooser = chooser
        self.version = version
        self.columns = columns

    def __getattr__(self, name: str) -> Any:
        return getattr(self.chooser, name)


class _Columns:
    """Where the rows of a batch have the cells of each field, and what seals them up for an instance."""

    def __init__(self, fields: Sequence[EncryptedField]) -> None:
        self.places = {field.attname: place for place, field in enumerate(fields)}
        self.makers = {field.attname: sealing_converter(field) for field in fields}


def as_instances(rows: Iterable[Any]) -> None:
    """Have bare rows among ``rows`` hold their cells as instances do: each still sealed."""
    for row in rows:
        if isinstance(row, BareRow):
            held, columns = row.__dict__, row.columns
            for name, place in columns.places.items():
                if name not in held:
                    held[name] = columns.makers[name](row.cells[place], None, None)


def cells_of(field: EncryptedField, rows: Sequence[BareRow]) -> list[bytes | None]:
    """Return what rows that were read together hold in a column, None for NULL."""
    if not rows:
        return []
    place = rows[0].columns.places[field.attname]
    stored = [row.cells[place] for row in rows]
    if {*map(type, stored)} <= {bytes, NoneType}:
        return stored
    return [cell if type(cell) is bytes or cell is None else as_bytes(cell) for cell in stored]


def key_contexts(field: EncryptedField, rows: Sequence[BareRow]) -> list[KeyContext | None]:
    """Return the key context of the cell of each of ``rows``, None for a row that has none."""
    if not field.scheme.needs_row:
        return [next(field.scheme.contexts_of(rows[:1]), None)] * len(rows)  # type: ignore[arg-type]
    choosers = [id(row.chooser) for row in rows]
    known = {
        chooser: next(field.scheme.contexts_of([row]), None)  # type: ignore[list-item]
        for chooser, row in dict(zip(choosers, rows, strict=True)).items()
    }
    return list(map(known.__getitem__, choosers))


def suffice(fields: Iterable[EncryptedField]) -> bool:
    """Whether cells of ``fields`` are replaced by what is in bare rows alone."""
    return all(
        not (field.scheme.is_bound or field.digests.compounds) and _chosen_by_columns(field)
        for field in fields
    )


def _chosen_by_columns(field: EncryptedField) -> bool:
    for item in field.scheme.chosen_by:
        column = item.column(field.model)
        target = getattr(column, "target_field", column)
        if not isinstance(target, _COMPARABLE):  # or a property
            return False
        if hasattr(target, "holds_cells") or hasattr(target, "from_db_value"):
            return False
    return True


def read(
    fields: Sequence[EncryptedField], queryset: "QuerySet[Any]", *, versions: bool = False
) -> list[BareRow]:
    """Return the rows of ``queryset``, of the model of ``fields``, for which bare rows :func:`suffice`.

    With the ``versions`` of the rows, where the database tells them.
    """
    choosing = tuple(dict.fromkeys(name for field in fields for name in field.scheme.context_columns))
    cells: list[F] = [StoredBytes(field.attname) for field in fields]
    if versions:
        cells.append(RowVersion(fields[0].attname))
    values = queryset.prefetch_related(None).values_list("pk", *choosing, *cells)
    with _in_binary(values, choosing):
        records = list(values)
    end = 1 + len(choosing)
    choosers: Iterable[Any] = repeat(None)
    if choosing:
        chosen = [record[1:end] for record in records]
        by_choice = _choosers(fields, queryset.db, choosing, dict(zip(chosen, records, strict=True)))
        choosers = map(by_choice.__getitem__, chosen)
    columns = _Columns(fields)
    return [
        BareRow(record[0], record[end:], chooser, record[-1] if versions else None, columns)
        for record, chooser in zip(records, choosers, strict=False)
    ]


def _choosers(
    fields: Sequence[EncryptedField], using: str, names: tuple[str, ...], records: dict[Any, Any]
) -> dict[Any, Any]:
    """Return an instance for all that rows hold in the columns ``names``, with the relations they lead to."""
    model = fields[0].model
    keys = [column.attname for column in model._meta.pk_fields]
    loaded = [column.attname for column in model._meta.concrete_fields if column.attname in (*keys, *names)]
    choosers = {}
    for chosen, record in records.items():
        pk = record[0] if len(keys) > 1 else record[:1]
        held = dict(zip((*keys, *names), (*pk, *chosen), strict=True))
        choosers[chosen] = model.from_db(using, loaded, [held[name] for name in loaded])
    prefetch_related_objects(list(choosers.values()), *prefetches(fields, using))
    return choosers


def _in_binary(queryset: "QuerySet[Any]", names: Iterable[str]) -> Any:
    """Have PostgreSQL send cells as they are while the rows are read: as text they are twice as long."""
    connection: Any = connections[queryset.db]
    options = queryset.model._meta
    columns = [*options.pk_fields, *map(options.get_field, names)]
    types = {str(column.db_type(connection)).partition("(")[0] for column in columns}
    if is_psycopg3 and connection.vendor == "postgresql" and types <= _SAME_IN_BINARY:
        with suppress(EmptyResultSet):
            statement = queryset.query.get_compiler(connection=connection).as_sql()[0]
            return connection.execute_wrapper(partial(_ask_for_binary, statement))
    return nullcontext()


def _ask_for_binary(statement: str, execute: Any, sql: Any, params: Any, many: bool, context: Any) -> Any:
    if sql == statement:  # and no other that somebody's wrapper sends meanwhile
        cursor = context["cursor"]
        cursor.cursor.close()
        cursor.cursor = ServerCursor(cursor.db.connection)
        cursor.cursor.format = Format.BINARY
    return execute(sql, params, many, context)
