"""Serializers of Django REST framework map encrypted fields as they map plain ones."""

import pytest
from rest_framework.serializers import ModelSerializer

from tests.app.everything import EACH_TYPE, TYPES, Everything, PlainEverything


def serializer_for(model_class: type) -> ModelSerializer:
    meta = type("Meta", (), {"model": model_class, "fields": EACH_TYPE})
    return type("TheSerializer", (ModelSerializer,), {"Meta": meta})()


def test_serializer_fields_are_those_of_the_plain_model() -> None:
    """Class, arguments and validators of each serializer field are the plain field's."""
    plain, ours = serializer_for(PlainEverything).fields, serializer_for(Everything).fields
    for name in EACH_TYPE:
        assert type(ours[name]) is type(plain[name])
        assert [type(v) for v in ours[name].validators] == [type(v) for v in plain[name].validators]
        assert (ours[name].required, ours[name].allow_null) == (plain[name].required, plain[name].allow_null)


@pytest.mark.django_db
def test_representations_are_those_of_the_plain_model() -> None:
    """Reading through a serializer gives what it gives for a plain row."""
    values = {name: spec.values[-1] for name, spec in TYPES.items()}
    shown = []
    for model in (PlainEverything, Everything):
        model.objects.create(**values)
        shown.append(serializer_for(model).to_representation(model.objects.get()))
    assert shown[0] == shown[1]
