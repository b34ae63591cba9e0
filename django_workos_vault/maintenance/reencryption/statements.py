"""The one statement that compares and swaps the cells of many rows, in the words of each database.

Each row's key, old and new cells are one row ``v`` of the statement, beside the table ``t``: arrays for
PostgreSQL (``UPDATE ... FROM unnest``), ``VALUES`` for SQLite (3.33 and newer), MariaDB and MySQL, whose
``UPDATE`` joins. Versions of the rows stand there instead of the old cells, where they are known. Names are
quoted, values are parameters. Whether a row was swapped is the database's answer.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from django.db import OperationalError

from django_workos_vault.fields.field import EncryptedField

try:
    from psycopg import Cursor as ServerCursor

    is_psycopg3 = True
except ImportError:
    is_psycopg3 = False

#: cells' bytes in a statement: a quarter of what MariaDB takes by default, for escapes double them
MAX_BYTES = 4 * 2**20
_NO_LIMIT = 2**31
_NO_SUCH_INDEX = 1176

_SAME = {"postgresql": "IS NOT DISTINCT FROM", "sqlite": "IS", "mysql": "<=>"}


@dataclass(slots=True, repr=False)
class Column:
    """What rows held in a column when they were read, and what they are to hold; None stands for NULL.

    ``meant`` tells of each row whether its cell is to be swapped, None says so of all.
    """

    old: Sequence[bytes | None]
    new: Sequence[bytes | None]
    meant: Sequence[bool] | None = None

    def has_null(self, cells: Sequence[bytes | None]) -> bool:
        """Whether one of ``cells``, the old or the new ones, is to be swapped and NULL."""
        if None not in cells:
            return False
        return self.meant is None or any(
            each and cell is None for cell, each in zip(cells, self.meant, strict=True)
        )

    def of(self, numbers: Sequence[int]) -> "Column":
        """Return the cells of some rows."""
        meant = None if self.meant is None else [self.meant[n] for n in numbers]
        return Column([self.old[n] for n in numbers], [self.new[n] for n in numbers], meant)


@dataclass(slots=True, repr=False)
class RowSwaps:
    """Cells to be swapped in rows of one model: primary keys, each once, and the columns of fields.

    ``versions`` are those of the rows when they were read, where they are known (``row_versions``).
    """

    keys: Sequence[Any]
    columns: dict[EncryptedField, Column]
    versions: Sequence[str] | None = None

    def of(self, numbers: Sequence[int]) -> "RowSwaps":
        """Return some of the rows."""
        return RowSwaps(
            [self.keys[n] for n in numbers],
            {field: column.of(numbers) for field, column in self.columns.items()},
            None if self.versions is None else [self.versions[n] for n in numbers],
        )


def swapped_rows(connection: Any, rows: RowSwaps) -> set[int]:
    """Carry out ``rows``; return the numbers of those swapped.

    A row is swapped whole, or left as it is when one of its cells is not the old one any more; where versions
    are given, when the row has another by now. To be called in a transaction.
    """
    if not rows.keys:
        return set()
    statement = _Statement(connection, rows)
    done: set[int] = set()
    for part in statement.parts():
        done |= statement.execute(part)
    return done


class _Statement:
    def __init__(self, connection: Any, rows: RowSwaps) -> None:
        self._connection = connection
        self._vendor: str = connection.vendor
        self._keys, self._cells, self._versions = rows.keys, rows.columns, rows.versions
        options: Any = next(iter(rows.columns)).model._meta
        self._table_name, self._pk_fields = options.db_table, options.pk_fields
        columns = rows.columns.values()
        self._makes_null = any(column.has_null(column.new) for column in columns)
        has_nulls = self._makes_null or any(column.has_null(column.old) for column in columns)
        self._equals = _SAME[self._vendor] if has_nulls else "="
        self._lists = list(self._values())

    def parts(self) -> Iterator[slice]:
        """Yield the rows in portions that a statement can take."""
        count = len(self._keys)
        if self._vendor != "postgresql" and self._makes_null:
            yield from (
                slice(n, n + 1) for n in range(count)
            )  # NULL does not tell who made it so: only the count does
            return
        limit = None if self._vendor == "postgresql" else self._connection.features.max_query_params
        at_most = (limit or _NO_LIMIT) // len(self._lists) or 1
        columns = self._cells.values()
        sent = [column.new for column in columns] + [column.old for column in columns if not self._versions]
        if count <= at_most and sum(sum(map(len, filter(None, cells))) for cells in sent) <= MAX_BYTES:
            yield slice(0, count)
            return
        lengths = map(sum, zip(*([len(cell or b"") for cell in cells] for cells in sent), strict=True))
        begin = size = 0
        for n, length in enumerate(lengths):
            if n > begin and (n - begin >= at_most or size + length > MAX_BYTES):
                yield slice(begin, n)
                begin, size = n, 0
            size += length
        yield slice(begin, count)

    def execute(self, part: slice) -> set[int]:
        """Return the numbers of the rows of ``part`` that were swapped."""
        numbers = self._lists[0][part]
        source, params = self._source([values[part] for values in self._lists])
        wait = "SET STATEMENT innodb_lock_wait_timeout = 0 FOR " if self._must_not_wait(numbers) else ""
        table, unchanged = self._table, self._unchanged
        with self._cursor() as cursor:
            if self._vendor == "mysql":  # its optimizer must not read, and lock, the whole table
                update = f"{wait}UPDATE {source} STRAIGHT_JOIN {table} AS t"
                swap = f"ON {self._join} SET {self._sets('t.')} WHERE {unchanged}"
                try:
                    cursor.execute(f"{update} FORCE INDEX (PRIMARY) {swap}", params)
                except OperationalError as exc:  # of a view, or where the key is another unique column
                    if exc.args[0] != _NO_SUCH_INDEX:
                        raise
                    cursor.execute(f"{update} {swap}", params)
            else:
                returning = " RETURNING v.column1" if self._vendor == "postgresql" else ""
                update = f"UPDATE {table} AS t SET {self._sets('')} FROM {source}"  # noqa: S608
                cursor.execute(f"{update} WHERE {self._join} AND {unchanged}{returning}", params)
            if self._vendor == "postgresql":
                return {numbers[ordinal - 1] for (ordinal,) in cursor.fetchall()}
            if cursor.rowcount == len(numbers) or len(numbers) == 1:
                return set(numbers) if cursor.rowcount else set()
            # Swapped rows are locked until the transaction ends, and nobody else has the same new cells.
            joined = f"{source} JOIN {table} AS t ON {self._join}"
            cursor.execute(f"SELECT v.column1 FROM {joined} WHERE {self._swapped}", params)  # noqa: S608
            return {number for (number,) in cursor.fetchall()}

    def _must_not_wait(self, numbers: Sequence[int]) -> bool:
        # InnoDB's victim of a deadlock is who changed the fewest rows: the other writer.
        return self._vendor == "mysql" and len(numbers) > 1 and bool(self._connection.mysql_is_mariadb)

    def _cursor(self) -> Any:
        if self._vendor != "postgresql" or not is_psycopg3:
            return self._connection.cursor()
        # One that sends arrays of cells as they are: as text, a statement takes five times as long.
        self._connection.ensure_connection()
        logs = self._connection.queries_logged
        wrapper = self._connection.make_debug_cursor if logs else self._connection.make_cursor
        return wrapper(ServerCursor(self._connection.connection))

    # The rows of the statement

    def _source(self, lists: Sequence[Sequence[Any]]) -> tuple[str, list[Any]]:
        if self._vendor == "postgresql":
            binary = "%b" if is_psycopg3 else "%s"
            arrays = ", ".join(f"{binary}::{kind}[]" for kind in self._types())
            names = ", ".join(f"column{n}" for n in range(2, len(lists) + 1))
            return f"unnest({arrays}) WITH ORDINALITY AS v({names}, column1)", list(lists[1:])
        row = f"({', '.join(['%s'] * len(lists))})"
        if self._vendor == "mysql" and not self._connection.mysql_is_mariadb:
            row = f"ROW{row}"
        listed = f"VALUES {', '.join([row] * len(lists[0]))}"
        if self._vendor == "mysql":  # of the columns' own types: those of literals hold no long cells
            listed = f"{self._no_row()} UNION ALL {listed}"
        return f"({listed}) AS v", list(chain.from_iterable(zip(*lists, strict=True)))

    def _no_row(self) -> str:
        names = ["0", *(f"t.{self._name(field.column)}" for field in self._pk_fields)]
        for name, flag, _, _ in self._columns():
            names += [*(["0"] if flag else []), f"t.{name}", f"t.{name}"]
        named = ", ".join(f"{name} AS column{n}" for n, name in enumerate(names, start=1))
        return f"SELECT {named} FROM {self._table} AS t WHERE FALSE"  # noqa: S608

    def _values(self) -> Iterator[Sequence[Any]]:
        """Yield the values of each column of ``v``: numbers, keys, versions, then each field's cells."""
        yield list(range(len(self._keys)))
        keys = zip(*self._keys, strict=True) if len(self._pk_fields) > 1 else [self._keys]
        for field, parts in zip(self._pk_fields, keys, strict=True):
            yield [field.get_db_prep_value(part, self._connection) for part in parts]
        if self._versions:
            yield self._versions
        for column in self._cells.values():
            if column.meant is not None:
                yield column.meant
            if not self._versions:
                yield column.old
            yield column.new

    def _types(self) -> Iterator[str]:
        """Yield PostgreSQL's types of :meth:`_values` behind the numbers, which it counts itself."""
        for field in self._pk_fields:
            yield field.rel_db_type(self._connection)
        if self._versions:
            yield "text"
        for column in self._cells.values():
            yield from ["boolean"] if column.meant is not None else []
            yield from ["bytea"] if self._versions else ["bytea", "bytea"]

    # Its clauses

    def _name(self, name: str) -> str:
        return str(self._connection.ops.quote_name(name)).replace("%", "%%")

    @property
    def _table(self) -> str:
        return self._name(self._table_name)

    def _columns(self) -> Iterator[tuple[str, str, str, str]]:
        """Yield for each column its name, and of ``v``: whether it is to be swapped, old and new cell."""
        at = 2 + len(self._pk_fields) + bool(self._versions)
        for field, column in self._cells.items():
            flag = old = ""
            if column.meant is not None:
                flag, at = f"v.column{at}", at + 1
            if not self._versions:
                old, at = f"v.column{at}", at + 1
            yield self._name(str(field.column)), flag, old, f"v.column{at}"
            at += 1

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
        if self._versions:
            return f"t.xmin = v.column{2 + len(self._pk_fields)}::xid"
        return self._all_hold(lambda old, new: old)

    @property
    def _swapped(self) -> str:
        return self._all_hold(lambda old, new: new)

    def _all_hold(self, choose: Any) -> str:
        conditions = (
            (flag, f"t.{name} {self._equals} {choose(old, new)}") for name, flag, old, new in self._columns()
        )
        return " AND ".join(f"(NOT {flag} OR {test})" if flag else test for flag, test in conditions)
