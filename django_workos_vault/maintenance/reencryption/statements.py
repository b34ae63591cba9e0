"""The one statement that compares and swaps the cells of many rows, in the words of each database.

Each row's key, old and new cells are one row ``v`` of the statement, beside the table ``t``: arrays for
PostgreSQL (``UPDATE ... FROM unnest``), ``VALUES`` for SQLite (3.33 and newer), MariaDB and MySQL, whose
``UPDATE`` joins. Names are quoted, values are parameters. Whether a row was swapped is the database's answer.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

try:
    from psycopg import Cursor as ServerCursor

    is_psycopg3 = True
except ImportError:
    is_psycopg3 = False

#: cells' bytes in a statement: a quarter of what MariaDB takes by default, for escapes double them
MAX_BYTES = 4 * 2**20
_NO_LIMIT = 2**31

_SAME = {"postgresql": "IS NOT DISTINCT FROM", "sqlite": "IS", "mysql": "<=>"}

#: what a column held when it was read, and what it is to hold
Cells = tuple[bytes | None, bytes | None]


_NO_CELLS: Cells = None, None


@dataclass(slots=True, repr=False)
class RowSwap:
    """The cells of one row: ``cells`` by column name, ``number`` to tell the row from others."""

    number: int
    pk: Any
    cells: dict[str, Cells]


def swapped_rows(connection: Any, model: Any, rows: Sequence[RowSwap]) -> set[int]:
    """Carry out ``rows`` of ``model``, each at most once; return the numbers of those swapped.

    A row is swapped whole, or left as it is when one of its cells is not the old one any more. To be called
    in a transaction.
    """
    if not rows:
        return set()
    statement = _Statement(connection, model, rows)
    done: set[int] = set()
    for part in statement.parts(rows):
        done |= statement.execute(part)
    return done


class _Statement:
    def __init__(self, connection: Any, model: Any, rows: Sequence[RowSwap]) -> None:
        self._connection = connection
        self._vendor: str = connection.vendor
        self._names = list(dict.fromkeys(name for row in rows for name in row.cells))
        self._table_name = model._meta.db_table
        self._pk_fields = model._meta.pk_fields
        self._has_gaps = any(len(row.cells) < len(self._names) for row in rows)
        has_nulls = any(None in pair for row in rows for pair in row.cells.values())
        self._equals = _SAME[self._vendor] if has_nulls else "="
        self._width = 1 + len(self._pk_fields) + len(self._names) * (3 if self._has_gaps else 2)

    def parts(self, rows: Sequence[RowSwap]) -> Iterator[list[RowSwap]]:
        """Yield ``rows`` in portions that a statement can take."""
        if self._vendor != "postgresql" and any(new is None for row in rows for _, new in row.cells.values()):
            yield from ([row] for row in rows)  # NULL does not tell who made it so: only the count does
            return
        limit = None if self._vendor == "postgresql" else self._connection.features.max_query_params
        at_most = (limit or _NO_LIMIT) // self._width or 1
        part: list[RowSwap] = []
        size = 0
        for row in rows:
            length = sum(map(len, filter(None, chain.from_iterable(row.cells.values()))))
            if part and (len(part) >= at_most or size + length > MAX_BYTES):
                yield part
                part, size = [], 0
            part.append(row)
            size += length
        if part:
            yield part

    def execute(self, rows: list[RowSwap]) -> set[int]:
        source, params = self._source(rows)
        wait = "SET STATEMENT innodb_lock_wait_timeout = 0 FOR " if self._must_not_wait(rows) else ""
        table, unchanged = self._table, self._unchanged
        with self._cursor() as cursor:
            if self._vendor == "mysql":  # its optimizer must not read, and lock, the whole table
                by_key = f"STRAIGHT_JOIN {table} AS t FORCE INDEX (PRIMARY) ON {self._join}"
                joined = f"{wait}UPDATE {source} {by_key}"
                cursor.execute(f"{joined} SET {self._sets('t.')} WHERE {unchanged}", params)
            else:
                returning = " RETURNING v.column1" if self._vendor == "postgresql" else ""
                update = f"UPDATE {table} AS t SET {self._sets('')} FROM {source}"  # noqa: S608
                cursor.execute(f"{update} WHERE {self._join} AND {unchanged}{returning}", params)
            if self._vendor == "postgresql":
                return {number for (number,) in cursor.fetchall()}
            if cursor.rowcount == len(rows) or len(rows) == 1:
                return {row.number for row in rows} if cursor.rowcount else set()
            # Swapped rows are locked until the transaction ends, and nobody else has the same new cells.
            joined = f"{source} JOIN {table} AS t ON {self._join}"
            cursor.execute(f"SELECT v.column1 FROM {joined} WHERE {self._swapped}", params)  # noqa: S608
            return {number for (number,) in cursor.fetchall()}

    def _must_not_wait(self, rows: list[RowSwap]) -> bool:
        # InnoDB's victim of a deadlock is who changed the fewest rows: the other writer.
        return self._vendor == "mysql" and len(rows) > 1 and bool(self._connection.mysql_is_mariadb)

    def _cursor(self) -> Any:
        if self._vendor != "postgresql" or not is_psycopg3:
            return self._connection.cursor()
        # One that sends arrays of cells as they are: as text, a statement takes five times as long.
        self._connection.ensure_connection()
        logs = self._connection.queries_logged
        wrapper = self._connection.make_debug_cursor if logs else self._connection.make_cursor
        return wrapper(ServerCursor(self._connection.connection))

    # The rows of the statement

    def _source(self, rows: list[RowSwap]) -> tuple[str, list[Any]]:
        if self._vendor == "postgresql":
            binary = "%b" if is_psycopg3 else "%s"
            arrays = ", ".join(f"{binary}::{kind}[]" for kind in self._types())
            names = ", ".join(f"column{n}" for n in range(1, self._width + 1))
            return f"unnest({arrays}) AS v({names})", list(self._arrays(rows))
        row = f"({', '.join(['%s'] * self._width)})"
        if self._vendor == "mysql" and not self._connection.mysql_is_mariadb:
            row = f"ROW{row}"
        listed = f"VALUES {', '.join([row] * len(rows))}"
        if self._vendor == "mysql":  # of the columns' own types: those of literals hold no long cells
            listed = f"{self._no_row()} UNION ALL {listed}"
        return f"({listed}) AS v", [value for row in rows for value in self._values(row)]

    def _no_row(self) -> str:
        names = ["0", *(f"t.{self._name(field.column)}" for field in self._pk_fields)]
        for name, flag, _, _ in self._columns():
            names += [*(["0"] if flag else []), f"t.{name}", f"t.{name}"]
        named = ", ".join(f"{name} AS column{n}" for n, name in enumerate(names, start=1))
        return f"SELECT {named} FROM {self._table} AS t WHERE FALSE"  # noqa: S608

    def _values(self, row: RowSwap) -> list[Any]:
        pk = row.pk if len(self._pk_fields) > 1 else (row.pk,)
        values: list[Any] = [row.number]
        for field, part in zip(self._pk_fields, pk, strict=True):
            values.append(field.get_db_prep_value(part, self._connection))
        for name in self._names:
            if self._has_gaps:
                values.append(name in row.cells)
            values += row.cells.get(name, _NO_CELLS)
        return values

    def _arrays(self, rows: list[RowSwap]) -> Iterator[list[Any]]:
        """Yield the values of each column: :meth:`_values`, the other way round."""
        yield [row.number for row in rows]
        keys = (
            zip(*(row.pk for row in rows), strict=True)
            if len(self._pk_fields) > 1
            else ([row.pk for row in rows],)
        )
        for field, parts in zip(self._pk_fields, keys, strict=True):
            yield [field.get_db_prep_value(part, self._connection) for part in parts]
        for name in self._names:
            if self._has_gaps:
                yield [name in row.cells for row in rows]
            swaps = [row.cells.get(name, _NO_CELLS) for row in rows]
            yield [old for old, _ in swaps]
            yield [new for _, new in swaps]

    def _types(self) -> list[str]:
        cells = ["boolean", "bytea", "bytea"] if self._has_gaps else ["bytea", "bytea"]
        keys = [field.rel_db_type(self._connection) for field in self._pk_fields]
        return ["integer", *keys, *(cells * len(self._names))]

    # Its clauses

    def _name(self, name: str) -> str:
        return str(self._connection.ops.quote_name(name)).replace("%", "%%")

    @property
    def _table(self) -> str:
        return self._name(self._table_name)

    def _columns(self) -> Iterator[tuple[str, str, str, str]]:
        """Yield for each column its name, and of ``v``: whether it is to be swapped, old and new cell."""
        at = 2 + len(self._pk_fields)
        for name in self._names:
            flag = f"v.column{at}" if self._has_gaps else ""
            at += self._has_gaps
            yield self._name(name), flag, f"v.column{at}", f"v.column{at + 1}"
            at += 2

    def _sets(self, prefix: str) -> str:
        return ", ".join(
            f"{prefix}{name} = " + (f"CASE WHEN {flag} THEN {new} ELSE t.{name} END" if flag else new)
            for name, flag, _, new in self._columns()
        )

    @property
    def _join(self) -> str:
        names = (self._name(field.column) for field in self._pk_fields)
        return " AND ".join(f"t.{name} = v.column{at}" for at, name in enumerate(names, start=2))

    @property
    def _unchanged(self) -> str:
        return self._all_hold(lambda old, new: old)

    @property
    def _swapped(self) -> str:
        return self._all_hold(lambda old, new: new)

    def _all_hold(self, choose: Any) -> str:
        conditions = (
            (flag, f"t.{name} {self._equals} {choose(old, new)}") for name, flag, old, new in self._columns()
        )
        return " AND ".join(f"(NOT {flag} OR {test})" if flag else test for flag, test in conditions)
