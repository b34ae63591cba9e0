"""What a FieldFile keeps of being stored."""

from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.db import models
from django.test.utils import isolate_apps

from django_workos_vault.fields.django_internals import files

pytestmark = pytest.mark.django_db


@pytest.fixture
def file() -> Any:
    @isolate_apps("tests.app")
    def row() -> Any:
        class Scan(models.Model):
            page = models.FileField()

            class Meta:
                app_label = "app"

        return Scan()

    return row().page


def test_none(file: Any) -> None:
    """Without a file, reading raises what Django's own file does."""
    assert not files.is_unsaved(file)
    with pytest.raises(ValueError, match="no file associated"):
        files.refuse_none(file)


def test_assigned_and_saved(file: Any) -> None:
    """A file that was assigned is unsaved until FieldFile.save() notes what ours does."""
    row = file.instance
    row.page = ContentFile(b"", name="a.pdf")
    assert files.is_unsaved(row.page)
    files.refuse_none(row.page)
    row.page.name = "b.pdf"
    files.note_saved(row.page, ContentFile(b""))
    assert not files.is_unsaved(row.page)
    assert str(row.page) == "b.pdf"
    used = models.fields.files.FieldFile.save.__code__.co_names
    assert {"_set_instance_attribute", "_committed"} <= {*used}
