"""Migrations that write cells on an empty database, where apps are migrated in the order of their names."""

import re
from pathlib import Path

import pytest

from tests.project import Project

pytestmark = pytest.mark.slow

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


@pytest.mark.parametrize("options", ["", ", blind_indexes=[Exact()]"])
def test_a_default_for_seeded_rows(tmp_path: Path, options: str) -> None:
    """Without the registry's tables the error names the dependency to add, and with it migrate passes."""
    project = Project(tmp_path)
    project.models(COUNTRY)
    project.manage("makemigrations", "clinic")
    project.write_migration("0002_seed", SEED)
    project.models(f"{COUNTRY}    code = EncryptedCharField(max_length=10, default='none'{options})\n")
    project.manage("makemigrations", "clinic")
    said = project.manage("migrate", status=1)
    dependency = re.search(r"needs (\(.*?\)) among\s+its\s+dependencies", said)
    assert dependency, said
    [path] = project.migrations.glob("0003_*.py")
    source = path.read_text()
    path.write_text(source.replace("dependencies = [", f"dependencies = [{dependency[1]},"))
    project.manage("makemigrations", "--check", "clinic")
    project.use_database("second")
    project.manage("migrate")
    assert "none" in project.python("print(Country.objects.get().code)")
