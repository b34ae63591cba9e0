"""How many rows a table has: counted while that is quick, else as the server's statistics have it."""

from typing import Any

from django.db import connections
from django.db.models import Model, QuerySet

from django_workos_vault.maintenance.engine.where import Where

#: Above, counting takes seconds.
_COUNTED = 100_000

#: What has the rows of a table of PostgreSQL: it, or its partitions.
PARTS = (
    "WITH named AS (SELECT to_regclass(%s) AS oid) SELECT oid FROM named "
    "UNION SELECT relid FROM named, pg_partition_tree(named.oid) WHERE isleaf"
)
_STATISTICS = {
    "postgresql": f"WITH parts AS ({PARTS}) SELECT sum(greatest(reltuples, 0)) "  # noqa: S608
    "FROM pg_class WHERE relkind <> 'p' AND oid IN (SELECT oid FROM parts)",
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
