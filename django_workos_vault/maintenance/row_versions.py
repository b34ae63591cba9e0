"""Which version of a row was read: PostgreSQL names the transaction that wrote it.

A later version is another transaction's, for who has committed writes no more. So whoever finds the same one
finds each byte of the row as it was (PostgreSQL's documentation, "System Columns", ``xmin``). Transaction ids
come round again after four billion; a batch takes seconds.
"""

from typing import Any

from django.db import connections
from django.db.models import F, Model, TextField
from django.db.models.expressions import Col


class RowVersion(F):
    """The version of the row that has the column of this name, as text."""

    def resolve_expression(self, *args: Any, **kwargs: Any) -> Any:
        column: Any = super().resolve_expression(*args, **kwargs)
        return _Version(column.alias, column.target, TextField())


class _Version(Col):
    def as_sql(self, compiler: Any, connection: Any) -> Any:
        return f"{connection.ops.quote_name(self.alias)}.xmin::text", []  # of the model, so its name

    def get_db_converters(self, connection: Any) -> list[Any]:
        return []  # the column's would take it for a cell


def are_told(model: type[Model], using: str) -> bool:
    """Whether the database tells the versions of rows of ``model``: foreign tables, for one, have none."""
    connection = connections[using]
    if connection.vendor != "postgresql":
        return False
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT 1 FROM pg_class AS c JOIN pg_am AS a ON a.oid = c.relam "
            "WHERE c.oid = to_regclass(%s) AND c.relkind = 'r' AND a.amname = 'heap'",
            [connection.ops.quote_name(model._meta.db_table)],
        )
        return cursor.fetchone() is not None
