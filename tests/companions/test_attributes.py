"""Packages that put attributes of their own over a model's: some wrap ours, some hide it."""

from pathlib import Path
from typing import Any

import pytest
from django.db import models
from django.test.utils import isolate_apps
from model_utils import FieldTracker

from django_workos_vault.fields import EncryptedCharField, encrypted
from tests.project import Project
from tests.tables import tables

TRANSLATED = """
class Note(models.Model):
    title = EncryptedCharField(max_length=40, blank=True)
    plain = models.CharField(max_length=40, blank=True)
"""

REGISTERED = """
from modeltranslation.translator import TranslationOptions, register

from clinic.models import Note


@register(Note)
class NoteOptions(TranslationOptions):
    fields = ("title", "plain")
"""

SETTINGS = """
USE_I18N = True
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("de", "Deutsch")]
"""

USED = """
from django.db import connection
from django.utils.translation import override
note = Note.objects.create(title_en="sesame", title_de="Sesam")
note = Note.objects.get()
assert note.title == "sesame", note.title
with override("de"):
    assert note.title == "Sesam"
    note.title = "Sesam!"
    note.save()
assert Note.objects.get().title_de == "Sesam!"
labels = {f.name: f.label for f in Note._meta.fields if hasattr(f, "label")}
assert labels == {n: "clinic.Note." + n for n in ("title", "title_en", "title_de")}, labels
with connection.cursor() as cursor:
    cursor.execute("SELECT title, title_en, title_de FROM clinic_note")
    assert b"sesam" not in b"".join(bytes(v or b"") for v in cursor.fetchone()).lower()
print("well")
"""


class Hiding(models.CharField):
    """A third party's field whose class puts an attribute of its own on the model."""

    def contribute_to_class(self, cls: Any, name: str, private_only: bool = False) -> None:
        super().contribute_to_class(cls, name, private_only)
        setattr(cls, name, property(lambda row: row.__dict__[name]))


def ids(model: type[models.Model]) -> list[Any]:
    return [message.id for message in model.check() if "vault" in str(message.id)]


@isolate_apps("tests.app")
@pytest.mark.django_db(transaction=True)
def test_field_tracker() -> None:
    """FieldTracker's attribute asks ours: nothing to refuse, and values come and go through it."""

    class Tracked(models.Model):
        ssn = EncryptedCharField(max_length=11)
        tracker = FieldTracker(fields=["ssn"])

        class Meta:
            app_label = "app"

    assert ids(Tracked) == []
    with tables(Tracked):
        row = Tracked.objects.create(ssn="123")
        row.ssn = "456"
        assert row.tracker.previous("ssn") == "123"
        row.save()
        assert Tracked.objects.get().ssn == "456"


@isolate_apps("tests.app")
def test_an_attribute_that_hides_ours() -> None:
    """A field class with an attribute of its own would hand out ciphertext, also where it is inherited."""

    class Base(models.Model):
        code = encrypted(Hiding(max_length=9))

        class Meta:
            app_label = "app"
            abstract = True

    class Child(Base):
        class Meta:
            app_label = "app"

    assert ids(Child) == ["django_workos_vault.E014"]


@pytest.mark.slow
def test_modeltranslation(tmp_path: Path) -> None:
    """Each language is a column of its own, sealed for its own label."""
    project = Project(tmp_path, "modeltranslation", settings=SETTINGS)
    project.models(TRANSLATED)
    (tmp_path / "clinic" / "translation.py").write_text(REGISTERED)
    project.manage("makemigrations", "clinic")
    project.manage("makemigrations", "--check", "clinic")
    project.manage("check")
    project.manage("migrate")
    assert "well" in project.python(USED)
