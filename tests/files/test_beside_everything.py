"""An encrypted file beside every encrypted type goes through every companion as the plain twin does."""

import io
from collections.abc import Callable
from html.parser import HTMLParser
from tempfile import NamedTemporaryFile
from typing import Any

import pytest
import reversion
from auditlog.registry import auditlog
from django.contrib.auth import get_user_model
from django.core import serializers
from django.core.files.base import ContentFile
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.forms import modelform_factory
from django.test import Client
from import_export import resources
from PIL import Image
from rest_framework.serializers import ModelSerializer
from reversion.models import Version

from tests.app.everything import EACH_TYPE, TYPES
from tests.files.beside import FOLDERS, PlainFolder
from tests.files.beside_admin import SHOWN

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.parametrize("model", FOLDERS, ids=lambda model: model.__name__),
]

FIRST = {name: TYPES[name].values[-1] for name in EACH_TYPE}
SECOND = {name: TYPES[name].values[0] for name in EACH_TYPE}
for moment in ("time", "datetime"):
    FIRST[moment], SECOND[moment] = (  # Django's JSON has no microseconds
        values[moment].replace(microsecond=0) for values in (FIRST, SECOND)
    )
#: what DRF and import-export know no type for, or read back as another value in the plain twin too
UNKNOWN = {"fraction", "range"}


def picture(colour: str = "red") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (3, 2), colour).save(out, "PNG")
    return out.getvalue()


def files(text: bytes = b"hello", colour: str = "red", kind: Any = ContentFile) -> dict[str, Any]:
    return {"file": kind(name="a.txt", content=text), "image": kind(name="a.png", content=picture(colour))}


def created(model: Any, **values: Any) -> Any:
    return model.objects.create(**{**FIRST, **files(), **values})


def shown(model: Any) -> list[Any]:
    """Return all that there is in the rows, files included, as a fresh process would see it."""
    rows = []
    for row in model.objects.order_by("pk"):
        contents = {}
        for name in ("file", "image"):
            stored = getattr(row, name)
            contents[name] = b""
            if stored:
                with stored.open() as file:
                    contents[name] = file.read()
        rows.append({name: getattr(row, name) for name in EACH_TYPE} | contents)
    return rows


def same(model: Any, way: Callable[[Any], Any]) -> None:
    """Do the same with the model and its plain twin: what is said, and the rows afterwards, are alike."""
    said, plainly_said = way(model), way(PlainFolder)
    for ours, plain in zip(shown(model), shown(PlainFolder), strict=True):
        assert {name for name in ours if ours[name] != plain[name]} == set()
    assert said == plainly_said
    rows = shown(model)
    for row in model.objects.all():
        row.save()
        row.refresh_from_db()
        row.save(update_fields=["file", "text"])
    assert shown(model) == rows


def saved(model: Any) -> None:
    row = model(**FIRST)
    for name, content in files().items():
        getattr(row, name).save(content.name, content, save=False)
    row.save()
    for name, value in {**SECOND, **files(b"bye", "blue")}.items():
        setattr(row, name, value)
        row.save(update_fields=[name])


def created_in_bulk(model: Any) -> None:
    model.objects.bulk_create([model(**FIRST, **files()), model(**SECOND), model(**files(b""))])


def updated_in_bulk(model: Any) -> None:
    rows = [created(model), created(model)]
    for row in rows:
        for name, value in SECOND.items():
            setattr(row, name, value)
    model.objects.bulk_update(rows, EACH_TYPE)
    model.objects.update(text="other", integer=5)


def gotten_or_created(model: Any) -> None:
    row, _ = model.objects.get_or_create(tenant="org_2", defaults={**FIRST, **files()})
    model.objects.update_or_create(tenant="org_2", defaults={**SECOND, **files(b"bye")})
    model.objects.defer(*EACH_TYPE).get().save()
    model.objects.only("tenant", "row").get().save()
    assert model.objects.filter(pk=row.pk).exists()


def put_through_a_fixture(model: Any) -> None:
    created(model)
    model(**SECOND).save()
    fixture = serializers.serialize("json", model.objects.all())
    assert "hello" not in fixture
    model.objects.all().delete()
    for item in serializers.deserialize("json", fixture):
        item.save()


def put_through_commands(model: Any) -> None:
    created(model)
    out = io.StringIO()
    call_command("dumpdata", model._meta.label, stdout=out)
    model.objects.all().delete()
    with NamedTemporaryFile("w", suffix=".json") as file:
        file.write(out.getvalue())
        file.flush()
        call_command("loaddata", file.name, verbosity=0)


class Inputs(HTMLParser):
    """What a browser would send of a page's inputs."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.sent: dict[str, Any] = {}
        self._name = self._select = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        given = dict(attrs)
        if tag == "input" and "name" in given and given.get("type") not in ("file", "submit"):
            if given.get("type") != "checkbox" or "checked" in given:
                self.sent[given["name"]] = given.get("value") or ""
        elif tag == "textarea":
            self._name = given["name"]
            self.sent[self._name] = ""
        elif tag == "select":
            self._select = given["name"]
        elif tag == "option" and "selected" in given:
            self.sent[self._select] = given["value"] or ""

    def handle_data(self, data: str) -> None:
        if self._name:
            self.sent[self._name] += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            text = self.sent[self._name]
            self.sent[self._name] = text.removeprefix("\n").replace("\n", "\r\n")
            self._name = ""


def put_through_forms(model: Any) -> Any:
    form_class = modelform_factory(model, fields=[*SHOWN, "tenant", "file", "image"])
    created(model)
    sent = Inputs(form_class(instance=model.objects.get()).as_p()).sent
    again = form_class(sent, files(b"bye", "blue", SimpleUploadedFile), instance=model.objects.get())
    if again.is_valid():
        again.save()
    new = form_class(sent, files(kind=SimpleUploadedFile))
    if new.is_valid():
        new.save()
    cleared = form_class({**sent, "file-clear": "on"}, instance=model.objects.last())
    if cleared.is_valid():
        cleared.save()
    return [sorted(again.changed_data), sorted(new.errors), sorted(cleared.errors)]


def put_through_admin(model: Any) -> None:
    client = Client()
    client.force_login(
        get_user_model().objects.get_or_create(username="root", is_superuser=True, is_staff=True)[0]
    )
    place = f"/admin/files/{model._meta.model_name}"
    sent = {
        name: str(value)
        for name, value in FIRST.items()
        if name in SHOWN and name not in ("json", "datetime")
    }
    sent |= {"json": "[1]", "datetime_0": "2026-01-31", "datetime_1": "12:00", "tenant": "org_1"}
    assert client.post(f"{place}/add/", {**sent, **files(kind=SimpleUploadedFile)}).status_code == 302
    change = f"{place}/{model.objects.get().pk}/change/"
    html = client.get(change).content.decode()
    inputs = Inputs(html).sent
    inputs["text"] = "other"
    assert client.post(change, {**inputs, "file-clear": "on"}).status_code == 302
    assert not model.objects.get().file
    assert client.post(change, {**inputs, **files(b"bye", "blue", SimpleUploadedFile)}).status_code == 302


def put_through_drf(model: Any) -> Any:
    names = [name for name in EACH_TYPE if name not in UNKNOWN]
    meta = type("Meta", (), {"model": model, "fields": [*names, "tenant", "file", "image"]})
    serializer_class: Any = type("Any", (ModelSerializer,), {"Meta": meta})
    created(model)
    shown_before = dict(serializer_class(model.objects.get()).data)
    names_of_files = [shown_before.pop(name).rpartition("/")[2][:1] for name in ("file", "image")]
    sent = {name: value for name, value in shown_before.items() if name != "binary"}
    new = serializer_class(data={**sent, **files(b"bye", "blue", SimpleUploadedFile)})
    assert new.is_valid(), new.errors
    new.save()
    change = {"text": "other", **files(kind=SimpleUploadedFile)}
    part = serializer_class(model.objects.last(), data=change, partial=True)
    assert part.is_valid(), part.errors
    part.save()
    return shown_before, names_of_files


def resource_of(model: Any, *names: str) -> Any:
    meta = type("Meta", (), {"model": model, "fields": ("id", *names)})
    return type("Resource", (resources.ModelResource,), {"Meta": meta})


def put_through_import_export(model: Any) -> None:
    resource_class = resource_of(model, "tenant", "row", "file", "image")
    created(model)
    data = resource_class().export()
    result = resource_class().import_data(data.load(data.csv.replace("org_1", "org_1"), format="csv"))
    assert not result.has_errors()
    every = resource_of(model, "text", "integer", "file")().export()
    assert [row[1:3] for row in every] == [(FIRST["text"], str(FIRST["integer"]))]


def kept_by_simple_history(model: Any) -> Any:
    row = created(model)
    for name, value in {**SECOND, **files(b"bye")}.items():
        setattr(row, name, value)
    row.save()
    newest, oldest = row.history.all()
    for entry, values in ((newest, SECOND), (oldest, FIRST)):
        assert {name: getattr(entry, name) for name in EACH_TYPE} == values
    with oldest.instance.file.open() as file:
        said = file.read()
    oldest.instance.save()
    return said, sorted({change.field for change in newest.diff_against(oldest).changes})


def kept_by_reversion(model: Any) -> None:
    reversion.register(model)
    try:
        with reversion.create_revision():
            row = created(model)
        with reversion.create_revision():
            for name, value in {**SECOND, **files(b"bye")}.items():
                setattr(row, name, value)
            row.save()
        Version.objects.get_for_object(row).last().revert()
    finally:
        reversion.unregister(model)


def watched_by_auditlog(model: Any) -> None:
    auditlog.register(model, exclude_fields=EACH_TYPE)
    try:
        row = created(model)
        for name, value in {**SECOND, **files(b"bye")}.items():
            setattr(row, name, value)
        row.save()
        model.objects.get().save()
    finally:
        auditlog.unregister(model)


@pytest.mark.urls("tests.files.beside_admin")
@pytest.mark.filterwarnings("ignore:The default scheme will be changed")
@pytest.mark.parametrize(
    "way",
    [
        saved,
        created_in_bulk,
        updated_in_bulk,
        gotten_or_created,
        put_through_a_fixture,
        put_through_commands,
        put_through_forms,
        put_through_admin,
        put_through_drf,
        put_through_import_export,
        kept_by_simple_history,
        kept_by_reversion,
        watched_by_auditlog,
    ],
)
def test_as_the_plain_twin(model: Any, way: Any) -> None:
    """Django's own ways of writing rows, and each companion's, do what they do with the plain twin."""
    same(model, way)
