"""How encrypted file fields are declared, checked and renamed."""

import uuid
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.db import models
from django.test.utils import isolate_apps

from django_workos_vault.exceptions import (
    WrongBinding,
)
from django_workos_vault.fields import FromRow
from django_workos_vault.files import EncryptedFileField, EncryptedImageField, EncryptedStorage
from tests.files.models import Report, Scan

pytestmark = pytest.mark.django_db

SECRET = b"a scan of the left hand " * 50


def test_migrations_name_the_options_and_nothing_else() -> None:
    """deconstruct() gives what was said, by the public path, and makes the same field again."""
    field = Report._meta.get_field("file")
    _, path, args, kwargs = field.deconstruct()  # type: ignore[union-attr]
    assert path == "django_workos_vault.files.EncryptedFileField"
    assert kwargs == {
        "upload_to": field.upload_to,  # type: ignore[union-attr]
        "key_context": {"organization_id": FromRow("clinic")},
        "bind_to": ("pk", "clinic"),
        "padding": "padme",
        "conceal_names": True,
        "url_name": "report",
        "max_length": 200,
    }
    assert EncryptedFileField(*args, **kwargs).deconstruct()[1:] == (path, args, kwargs)
    assert EncryptedImageField().deconstruct()[1] == "django_workos_vault.files.EncryptedImageField"
    assert set(EncryptedFileField().deconstruct()[3]) == {"upload_to"}


def ids(model: Any) -> list[str]:
    return [str(message.id).rpartition(".")[2] for message in model.check()]


@isolate_apps("tests.files")
def test_checks_and_their_hints() -> None:
    """What would fail late is a check, and its hint leads to a field that passes."""

    class Wrong(models.Model):
        one = EncryptedFileField(bind_to=("pk",))
        two = EncryptedFileField(bind_to=("nothing",))
        three = EncryptedFileField(key_context={})
        four = EncryptedFileField(storage=EncryptedStorage("default"))

    class Right(models.Model):
        row_id = models.UUIDField(default=uuid.uuid4, editable=False)
        one = EncryptedFileField(bind_to=("row_id",))
        two = EncryptedFileField(key_context={"app": "clinic"})
        three = models.FileField(storage=EncryptedStorage("default"))

    assert ids(Wrong) == ["E130", "E130", "E005", "W130"]
    hints = [str(message.hint) for message in Wrong.check()]
    assert 'bind_to=("row_id",)' in hints[0]
    assert "use Django's own field over this one" in hints[3]
    assert ids(Right) == []
    with pytest.raises(ValueError, match="padding"):
        EncryptedFileField(padding="blocks")


@isolate_apps("tests.files")
def test_a_renamed_field_opens_its_files_by_the_former_label(media: Path) -> None:
    """As a column does its cells; without that label they are another field's."""

    class Sheet(models.Model):
        title = models.CharField(max_length=50, default="hand")
        page = EncryptedFileField(db_column="file", previous_labels=("files.Scan.file",))
        lost = EncryptedFileField(db_column="plain")

        class Meta:
            app_label = "files"
            db_table = Scan._meta.db_table

    scan = Scan.objects.create(file=ContentFile(SECRET, name="scan.bin"))
    Scan.objects.update(plain=scan.file.name)
    sheet = Sheet.objects.get()
    with sheet.page.open() as page:
        assert page.read() == SECRET
    with pytest.raises(WrongBinding):
        sheet.lost.open()
