"""Django's ``flush`` after each test with real transactions, for the few tables that the test wrote to.

Django empties every table of every app, and then makes content types and permissions anew, which takes
longer than most tests. Here those stay, unless they were changed.
"""

from typing import Any

from django.core.management.commands import flush
from django.db import connections, transaction

#: By database: by table, the rows that migrations leave, in the order in which the database gives them.
_left_by_migrations: dict[str, dict[str, list[Any]]] = {}


def note_what_migrations_left(database: str) -> None:
    """Call this before any test has run."""
    _left_by_migrations[database] = {table: _rows(database, table) for table in _written(database)}


class Command(flush.Command):
    """Asked for by tests alone: by hand, or with other arguments, it is Django's."""

    def handle(self, **options: Any) -> None:
        database = options["database"]
        untouched = _left_by_migrations.get(database)
        by_a_test = not (options["interactive"] or options.get("reset_sequences", True))
        if untouched is None or not by_a_test:
            return super().handle(**options)
        written = _written(database)
        if any(table not in written or _rows(database, table) != rows for table, rows in untouched.items()):
            super().handle(**options)
            return note_what_migrations_left(database)
        connection = connections[database]
        emptied = [table for table in written if table not in untouched]
        with (
            connection.constraint_checks_disabled(),
            transaction.atomic(database),
            connection.cursor() as cursor,
        ):
            for table in emptied:
                cursor.execute(f"DELETE FROM {connection.ops.quote_name(table)}")
        return None


def _written(database: str) -> list[str]:
    """Return the apps' tables in which there are rows."""
    connection = connections[database]
    tables = connection.introspection.django_table_names(only_existing=True, include_views=False)
    if not tables:
        return []
    questions = (f"EXISTS (SELECT 1 FROM {connection.ops.quote_name(table)})" for table in tables)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(questions)}")
        answers = cursor.fetchone()
    return [table for table, has_rows in zip(tables, answers, strict=True) if has_rows]


def _rows(database: str, table: str) -> list[Any]:
    connection = connections[database]
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
        return list(cursor.fetchall())
