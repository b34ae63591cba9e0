"""How many rows a table has: counted while that is quick, else as the server's statistics have it."""

from typing import Any

from django.db import connections
from django.db.models import Model, QuerySet

from django_workos_vault.maintenance.engine.where import Where

#: Above, counting takes seconds.
_COUNTED = 100_000

_STATISTICS = {
    "postgresql": "SELECT reltuples FROM pg_class WHERE oid = to_regclass(%s)",
    "mysql": "SELECT table_rows FROM information_schema.tables "
    "WHERE table_schema = DATABASE() AND CONCAT('`', table_name, '`') = %s",
}


def estimated_rows(model: type[Model], using: str, where: Where | None = None) -> int:
    """Return about how many rows the table of ``model`` has; where it is counted, those of ``where``."""
    connection = connections[using]
    if connection.vendor in _STATISTICS:
        with connection.cursor() as cursor:
            cursor.execute(_STATISTICS[connection.vendor], [connection.ops.quote_name(model._meta.db_table)])
            found: Any = cursor.fetchone()
        if found and found[0] is not None and found[0] > _COUNTED:
            return int(found[0])
    rows: QuerySet[Model] = QuerySet(model, using=using)
    return (rows if where is None else where.of(rows)).count()
