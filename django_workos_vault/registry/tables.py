"""Makes the registry's tables before the first migration that may seal a value, in whatever order apps come.

Migrations of other apps cannot depend on ours: where they ran before this package was added, Django would
refuse an inconsistent history. So ``migrate`` begins with what the registry needs (``pre_migrate``), and a
historical model that seals looks for itself, for whoever runs migrations without Django's signals. Both run
our own migrations and record them; when their turn comes in the plan, they only change the state.
"""

from typing import Any

from django.db import connections, migrations, router
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from django_workos_vault.models import DataKeyRecord, IndexKeyRecord, IndexKeyTurn
from django_workos_vault.registry.transactions import apart

_APP = "django_workos_vault"
_TABLES = ("datakeyrecord", "indexkeyrecord", "indexkeyturn")


class EarlyMigration(migrations.Migration):
    """A migration of the registry's tables, which may have been run since the plan was made."""

    def apply(self, project_state: Any, schema_editor: Any, collect_sql: bool = False) -> Any:
        """Change the database unless it was run early; change the state in any case."""
        recorder = MigrationRecorder(schema_editor.connection)
        if collect_sql or (self.app_label, self.name) not in recorder.applied_migrations():
            return super().apply(project_state, schema_editor, collect_sql)
        recorder.record_unapplied(self.app_label, self.name)  # whoever runs the plan records it again
        return self.mutate_state(project_state, preserve=False)


def make_tables_first(*, plan: list[tuple[migrations.Migration, bool]], using: str, **kwargs: Any) -> None:
    """Make the tables if ``plan``, which ``migrate`` is about to run, has migrations of others before ours.

    A receiver of Django's ``pre_migrate``.
    """
    if any(not backwards for _, backwards in plan) and plan[0][0].app_label != _APP:
        make_tables(using)


def make_tables(alias: str | None = None) -> None:
    """Make the registry's tables on ``alias``, else where it is written, or give them what they lack."""
    alias = alias or router.db_for_write(DataKeyRecord)
    if not _are_there(connections[alias]) and router.allow_migrate_model(alias, DataKeyRecord):
        apart(alias, lambda: _migrate(alias))


def _are_there(connection: Any) -> bool:
    """Whether the tables have the columns that this release reads."""
    with connection.cursor() as cursor:
        tables = connection.introspection.table_names(cursor)
        return all(
            model._meta.db_table in tables
            and {field.column for field in model._meta.local_fields}
            <= {
                column.name
                for column in connection.introspection.get_table_description(cursor, model._meta.db_table)
            }
            for model in (DataKeyRecord, IndexKeyRecord, IndexKeyTurn)
        )


def last_migration(loader: MigrationLoader) -> tuple[str, str] | None:
    """Return the last migration that concerns the registry's tables; None where a project turned ours off."""
    leaves = loader.graph.leaf_nodes(_APP)
    ours = [key for key in (loader.graph.forwards_plan(leaves[0]) if leaves else ()) if key[0] == _APP]
    return next((key for key in reversed(ours) if _concerns_tables(loader.graph.nodes[key])), None)


def _concerns_tables(migration: Any) -> bool:
    named = (getattr(each, "model_name", getattr(each, "name", "")) for each in migration.operations)
    return any(str(name).lower() in _TABLES for name in named)


def _migrate(alias: str) -> None:
    executor = MigrationExecutor(connections[alias])
    target, applied = last_migration(executor.loader), executor.loader.applied_migrations
    # A table that no migration made was restored, or is to be faked: that is for a person.
    is_ours = any(app == _APP for app, _ in applied)
    is_free = DataKeyRecord._meta.db_table not in connections[alias].introspection.table_names()
    if target and target not in applied and (is_ours or is_free):
        executor.migrate([target])
