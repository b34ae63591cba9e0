"""Projects that rename a field of encrypted files, or its model: the files open, or a check says why not."""

import ast
from pathlib import Path

import pytest

from tests.project import Project

pytestmark = pytest.mark.slow

SCAN = """
from django_workos_vault.files import EncryptedFileField

class {model}(models.Model):
    {field} = EncryptedFileField({options})
"""
MEDIA = "MEDIA_ROOT = 'media'\n"
STORE = (
    "from django.core.files.base import ContentFile;"
    "Scan.objects.create(page=ContentFile(b'x-ray', name='a.png'))"
)


def scan(model: str = "Scan", field: str = "page", options: str = "") -> str:
    return SCAN.format(model=model, field=field, options=options)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """One with a file."""
    project = Project(tmp_path, settings=MEDIA)
    project.models(scan())
    project.manage("makemigrations", "clinic")
    project.manage("migrate")
    project.python(STORE)
    return project


@pytest.mark.parametrize(("model", "field"), [("Scan", "sheet"), ("Picture", "page")])
def test_files_survive_a_rename(project: Project, model: str, field: str) -> None:
    """The check asks for the label that would be lost; with it, or the old one pinned, the file opens."""
    read = f"print({model}.objects.get().{field}.open().read())"
    project.models(scan(model, field))
    project.manage("makemigrations", "clinic", answers="y\n")
    said = project.manage("check", status=1)
    assert f"E009) Files sealed for clinic.Scan.page no longer open as clinic.{model}.{field}." in said
    assert "previous_labels=('clinic.Scan.page',)" in said
    for option in ("label='clinic.Scan.page'", "previous_labels=('clinic.Scan.page',)"):
        project.models(scan(model, field, option))
        project.manage("makemigrations", "clinic")
        project.manage("check")
        project.manage("migrate")
        assert "b'x-ray'" in project.python(read)


def test_a_removal_whose_files_another_field_claims_is_refused(project: Project) -> None:
    """A rename that was written as removal and addition would lose the name of every file."""
    project.models(scan(field="sheet", options="previous_labels=('clinic.Scan.page',), null=True"))
    project.manage("makemigrations", "clinic", answers="n\n")
    said = project.manage("check", status=1)
    assert "E070" in said
    assert "drops clinic.Scan.page with its names of files" in said


def test_old_labels_can_be_done_with(project: Project) -> None:
    """After SealForLabel no check asks for previous_labels, and files open; what is none stays."""
    project.python(STORE)
    project.python("Scan.objects.create(page='gone.png'); Scan.objects.create()")
    (project.path / "media" / "plain.png").write_bytes(b"plain")
    project.python("Scan.objects.create(page='plain.png')")
    labels = "('clinic.Scan.page',)"
    project.models(scan(field="sheet", options=f"previous_labels={labels}"))
    project.manage("makemigrations", "clinic", "-n", "rename", answers="y\n")
    project.manage("migrate")
    project.python(STORE.replace("page=", "sheet="))
    before = project.python("print([s.sheet.name for s in Scan.objects.order_by('pk')])")
    project.write_migration(
        "0003_seal",
        "from django.db import migrations\nfrom django_workos_vault.operations import SealForLabel\n\n"
        "class Migration(migrations.Migration):\n    atomic = False\n"
        "    dependencies = [('clinic', '0002_rename')]\n"
        f"    operations = [SealForLabel('Scan', 'sheet', 'clinic.Scan.sheet', {labels})]\n",
    )
    project.models(scan(field="sheet"))
    project.manage("check")
    project.manage("migrate")
    project.manage("makemigrations", "clinic", "-n", "labels")
    sealed = "Scan.objects.exclude(sheet__in=['', 'gone.png', 'plain.png'])"
    read = project.python(f"print([scan.sheet.open().read() for scan in {sealed}])")
    assert "[b'x-ray', b'x-ray', b'x-ray']" in read
    after = project.python("print([s.sheet.name for s in Scan.objects.order_by('pk')])")
    old, new = (ast.literal_eval(each.strip().splitlines()[-1]) for each in (before, after))
    assert [a == b for a, b in zip(old, new, strict=True)] == [False, False, True, True, True, True]
    assert {path.name for path in (project.path / "media").iterdir()} == {*new} - {"", "gone.png"}
