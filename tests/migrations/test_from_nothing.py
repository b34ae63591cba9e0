"""Migrations that write cells, in whatever order apps are migrated: the registry's tables come first."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection, models
from django.db.migrations import AddField, CreateModel, Migration, RunPython
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.recorder import MigrationRecorder
from django.db.models.signals import pre_migrate

from django_workos_vault.fields import DefaultOf, EncryptedCharField
from django_workos_vault.indexes import Exact
from django_workos_vault.models import DataKeyRecord, IndexKeyRecord
from django_workos_vault.registry.tables import EarlyMigration, last_migration
from tests.project import Project

SEED = """
from django.db import migrations


def seed(apps, schema_editor):
    apps.get_model("clinic", "Country").objects.create(name="Iceland")


class Migration(migrations.Migration):
    dependencies = [("clinic", "0001_initial")]
    operations = [migrations.RunPython(seed, migrations.RunPython.noop)]
"""
COUNTRY = """
class Country(models.Model):
    name = models.CharField(max_length=10)
"""
OURS = ("django_workos_vault", "0001_initial")


@pytest.fixture(scope="module", params=["", ", blind_indexes=[Exact()]"])
def written(tmp_path_factory: Any, request: Any) -> Project:
    """An app that seeds a row, and then adds an encrypted column with a default. No database yet."""
    project = Project(tmp_path_factory.mktemp("project"))
    project.models(COUNTRY)
    project.manage("makemigrations", "clinic")
    project.write_migration("0002_seed", SEED)
    project.models(f"{COUNTRY}    code = EncryptedCharField(max_length=10, default='none'{request.param})\n")
    project.manage("makemigrations", "clinic")
    return project


@pytest.mark.slow
@pytest.mark.parametrize(
    "commands",
    [
        ["migrate"],
        ["migrate clinic", "migrate"],
        ["migrate clinic 0002", "migrate clinic 0003", "migrate django_workos_vault"],
        ["migrate clinic 0002", "migrate --plan", "migrate --check", "sqlmigrate clinic 0003", "migrate"],
        ["migrate clinic", "migrate django_workos_vault zero", "migrate"],
    ],
    ids=" then ".join,
)
def test_commands_in_any_order(tmp_path: Path, written: Project, commands: list[str]) -> None:
    """Nothing is written by hand, and each of our migrations is recorded once."""
    project = written.copy(tmp_path)
    for command in commands:
        project.manage(*command.split(), status=command.endswith("--check"))
    project.manage("migrate", "--check")
    assert "none" in project.python("print(Country.objects.get().code)")
    said = project.python(
        "from django.db.migrations.recorder import MigrationRecorder\n"
        "found = MigrationRecorder.Migration.objects.filter(app='django_workos_vault', name='0001_initial')\n"
        "print(found.count())"
    )
    assert said.strip() == "1"


@pytest.mark.slow
def test_the_package_is_added_to_a_project_with_rows(tmp_path: Path, written: Project) -> None:
    """The app has been in production for a while; package and column arrive in one deployment."""
    project = written.copy(tmp_path)
    settings = project.path / "settings.py"
    whole = settings.read_text()
    newest = next(project.migrations.glob("0003_*.py"))
    models_py = project.path / "clinic" / "models.py"
    held_back, source = newest.read_text(), models_py.read_text()
    newest.unlink()
    models_py.write_text(f"from django.db import models\n{COUNTRY}")
    settings.write_text(whole.replace('"django_workos_vault", ', ""))
    project.manage("migrate")
    settings.write_text(whole)
    newest.write_text(held_back)
    models_py.write_text(source)
    project.manage("migrate")
    assert "none" in project.python("print(Country.objects.get().code)")


@pytest.fixture
def without_tables(transactional_db: None) -> Iterator[None]:
    """A database to which this package was never migrated.

    Without migrate's signals, by which content types and permissions of all apps would be looked over.
    """
    with connection.schema_editor() as editor:
        for model in reversed(list(apps.get_app_config(OURS[0]).get_models())):
            editor.delete_model(model)
    MigrationRecorder(connection).migration_qs.filter(app=OURS[0]).delete()
    assert not tables()
    yield
    executor = MigrationExecutor(connection)
    executor.migrate([key for key in executor.loader.graph.leaf_nodes() if key[0] == OURS[0]])


def tables() -> set[str]:
    return {DataKeyRecord._meta.db_table, IndexKeyRecord._meta.db_table} & {
        *connection.introspection.table_names()
    }


def add_rows(historical: Any, schema_editor: Any) -> None:
    historical.get_model("shelves", "Shelf").objects.create(n=1)


def seal_rows(historical: Any, schema_editor: Any) -> None:
    historical.get_model("shelves", "Shelf").objects.create(n=2, note="sealed", code="C")


def search_rows(historical: Any, schema_editor: Any) -> None:
    assert not historical.get_model("shelves", "Shelf").objects.filter(code="unknown").exists()


NOTE = EncryptedCharField(max_length=50, default=DefaultOf("app.Person", "notes"))
CODE = EncryptedCharField(max_length=50, null=True, blind_indexes=[Exact()])
CREATE = CreateModel("Shelf", [("id", models.AutoField(primary_key=True)), ("n", models.IntegerField())])
COLUMNS = [AddField("Shelf", "note", NOTE), AddField("Shelf", "code", CODE)]
STEPS = {
    "a default for rows": [RunPython(add_rows), *COLUMNS],
    "rows that are sealed": [*COLUMNS, RunPython(seal_rows)],
    "a search": [*COLUMNS, RunPython(search_rows)],
}


@pytest.mark.parametrize("atomic", [True, False])
@pytest.mark.parametrize("steps", STEPS)
def test_an_executor_without_signals(without_tables: None, steps: str, atomic: bool) -> None:
    """Test tools run migrations without pre_migrate; a migration that seals then makes the tables itself."""
    executor = MigrationExecutor(connection)
    plan: list[Migration] = []
    for number, operation in enumerate([CREATE, *STEPS[steps]]):
        migration = Migration(f"000{number}", "shelves")
        migration.operations, migration.atomic = [operation], atomic
        plan.append(migration)
    state = executor.loader.project_state()
    try:
        for migration in plan:
            state = executor.apply_migration(state, migration)
        assert len(tables()) == 2
        assert OURS in MigrationRecorder(connection).applied_migrations()
    finally:
        with connection.schema_editor() as editor:
            editor.delete_model(state.apps.get_model("shelves", "Shelf"))
        MigrationRecorder(connection).migration_qs.filter(app="shelves").delete()


def emit(plan: list[Any], using: str = "default") -> None:
    pre_migrate.send(apps.get_app_config("django_workos_vault"), plan=plan, using=using, verbosity=0)


@pytest.mark.parametrize(
    ("plan", "made"),
    [
        ([], 0),
        ([("app", False)], 2),
        ([("app", True)], 0),
        ([("django_workos_vault", False), ("app", False)], 0),
        ([("app", False), ("django_workos_vault", False)], 2),
    ],
)
def test_tables_come_first_only_where_others_do(
    without_tables: None, plan: list[tuple[str, bool]], made: int
) -> None:
    """A plan that is empty, goes back, or begins with ours needs nothing before its time."""
    emit([(Migration("0001", label), backwards) for label, backwards in plan])
    assert len(tables()) == made


def test_what_is_made_early_is_not_made_again(without_tables: None) -> None:
    """A plan that was made before our migration ran early only changes the state, and records it once."""
    executor = MigrationExecutor(connection)
    emit([(Migration("0001", "app"), False)])
    state = executor.migrate([OURS])
    assert ("django_workos_vault", "datakeyrecord") in state.models
    recorded = MigrationRecorder(connection).migration_qs.filter(app=OURS[0], name=OURS[1])
    assert recorded.count() == 1
    assert len(tables()) == 2


def test_tables_that_are_there_already_are_left_alone(without_tables: None) -> None:
    """A restored database without a record of migrations, for migrate --fake-initial."""
    recorder = MigrationRecorder(connection)
    MigrationExecutor(connection).migrate([OURS])
    recorder.record_unapplied(*OURS)
    emit([(Migration("0001", "app"), False)])
    assert OURS not in recorder.applied_migrations()
    call_command("migrate", "django_workos_vault", fake_initial=True, verbosity=0)
    assert OURS in recorder.applied_migrations()


def test_an_older_release_is_brought_up_to_date_first(without_tables: None) -> None:
    """Code that seals reads the columns of its own release, also in a migration that comes before ours."""
    MigrationExecutor(connection).migrate([OURS])
    executor = MigrationExecutor(connection)
    emit([(Migration("0001", "app"), False)])
    assert not DataKeyRecord.objects.exists()
    assert not IndexKeyRecord.objects.exists()
    executor.migrate([key for key in executor.loader.graph.leaf_nodes() if key[0] == OURS[0]])


@pytest.mark.django_db
def test_what_the_registry_needs_depends_on_nobody() -> None:
    """Or it could not come first. Every such migration knows that it may have run already."""
    loader = MigrationExecutor(connection).loader
    needed = loader.graph.forwards_plan(last_migration(loader))
    assert {app for app, _ in needed} == {"django_workos_vault"}
    assert all(isinstance(loader.graph.nodes[key], EarlyMigration) for key in needed)
