"""Schemas of django-ninja type encrypted fields as they type plain ones."""

from typing import Any

import pytest
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.test.utils import isolate_apps

from django_workos_vault.fields import encrypted
from tests.app.everything import EACH_TYPE, TYPES, Everything, PlainEverything

ninja = pytest.importorskip("ninja")
pytestmark = pytest.mark.filterwarnings('ignore:Field name "json" in:UserWarning')

#: a field with a column type of its own has an internal type that ninja does not know, encrypted or not
KNOWN = [name for name in EACH_TYPE if name != "range"]


def schema_for(model_class: Any, names: list[str] = KNOWN) -> Any:
    return ninja.orm.create_schema(model_class, name=model_class.__name__, fields=names)


def described(schema: Any) -> Any:
    return schema.model_json_schema() | {"title": None}


@pytest.mark.parametrize("name", KNOWN)
def test_schemas_are_those_of_the_plain_model(name: str) -> None:
    """Types, bounds, defaults and titles in the schema are the plain field's."""
    plain, ours = schema_for(PlainEverything, [name]), schema_for(Everything, [name])
    assert ours.model_fields[name].annotation == plain.model_fields[name].annotation
    assert described(ours) == described(plain)


@isolate_apps("tests.app")
def test_array_fields_and_those_with_defaults() -> None:
    """A field made by encrypted() is typed as the field it is made of."""

    class Plain(models.Model):
        beds = ArrayField(models.IntegerField(), default=list)
        text = models.TextField(default="x", help_text="A text", verbose_name="the text")

        class Meta:
            app_label = "app"

    class Ours(models.Model):
        beds = encrypted(ArrayField(models.IntegerField(), default=list))
        text = encrypted(models.TextField(default="x", help_text="A text", verbose_name="the text"))

        class Meta:
            app_label = "app"

    names = ["beds", "text"]
    assert described(schema_for(Ours, names)) == described(schema_for(Plain, names))


@pytest.mark.django_db
def test_values_go_out_as_those_of_the_plain_model() -> None:
    """A row through a schema is what a plain row is."""
    names = [name for name in KNOWN if name not in ("binary", "fraction")]
    values = {name: TYPES[name].values[-1] for name in names}
    shown = []
    for model in (PlainEverything, Everything):
        model.objects.create(**values)
        shown.append(schema_for(model, names).from_orm(model.objects.get()).model_dump_json())
    assert shown[0] == shown[1]
