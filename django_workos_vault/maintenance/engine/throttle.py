"""Whether the databases are busy: seconds that a run waits between two batches.

The setting ``WORKOS_VAULT_THROTTLE`` is the dotted path of a callable that takes a database alias. Each
worker calls it once a batch; it returns the seconds to wait before it is called again, 0 for no wait.
"""

from django.db import connections

#: Seconds that replicas may be behind before a run waits, and how long it waits before it looks again.
LAG, PAUSE = 2.0, 1.0

_LAG = (
    "SELECT coalesce(max(extract(epoch FROM replay_lag)), 0) FROM pg_stat_replication "
    "WHERE state = 'streaming'"
)


def replication_lag(using: str) -> float:
    """Wait a second as long as a streaming replica replays more than two seconds late; PostgreSQL alone.

    The lag is ``replay_lag`` of ``pg_stat_replication``, which a role without ``pg_monitor`` sees as NULL:
    then, and on other databases, there is no wait.
    """
    connection = connections[using]
    if connection.vendor != "postgresql":
        return 0.0
    with connection.cursor() as cursor:
        cursor.execute(_LAG)
        return PAUSE if cursor.fetchone()[0] > LAG else 0.0
