"""Projects that rename a column of references to objects in Vault: their objects stay within reach."""

from pathlib import Path

import pytest

from tests.project import Project

pytestmark = pytest.mark.slow

SERVER = """
class {model}(models.Model):
    {field} = VaultObjectField({options})
"""
OBJECTS = "DEBUG = True\nWORKOS_VAULTS['default']['OPTIONS']['objects_file'] = 'objects.sqlite3'\n"


def server(model: str = "Server", field: str = "token", options: str = "") -> str:
    return SERVER.format(model=model, field=field, options=options)


@pytest.mark.parametrize(("model", "field"), [("Server", "secret"), ("Host", "token")])
def test_objects_survive_a_rename(tmp_path: Path, model: str, field: str) -> None:
    """The check asks for the label that would be lost; with it, values are read, updated and deleted."""
    project = Project(tmp_path, settings=OBJECTS)
    project.models(server())
    project.manage("makemigrations", "clinic")
    project.manage("migrate")
    project.python("Server.objects.create(token='s3cr3t')")
    project.models(server(model, field))
    project.manage("makemigrations", "clinic", answers="y\n")
    said = project.manage("check", status=1)
    assert "E009" in said
    assert "previous_labels=('clinic.Server.token',)" in said
    project.models(server(model, field, "previous_labels=('clinic.Server.token',)"))
    project.manage("makemigrations", "clinic")
    project.manage("migrate")
    assert "s3cr3t" in project.python(f"print({model}.objects.get().{field})")
    project.python(f"row = {model}.objects.get(); row.{field} = 'new'; row.save()")
    assert "new" in project.python(f"print({model}.objects.get().{field})")
    assert "ok       objects" in project.manage("vault_check", "--objects")
    project.python(f"{model}.objects.get().delete()")
    assert "0 objects" in project.manage("vault_check", "--objects")


def test_a_removal_whose_objects_another_field_claims_is_refused(tmp_path: Path) -> None:
    """A rename that was written as removal and addition would lose every reference."""
    project = Project(tmp_path, settings=OBJECTS)
    project.models(server())
    project.manage("makemigrations", "clinic")
    project.models(server(field="secret", options="previous_labels=('clinic.Server.token',), null=True"))
    project.manage("makemigrations", "clinic", answers="n\n")
    assert "E070" in project.manage("check", status=1)
