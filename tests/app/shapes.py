"""A model and its plain twin, of the same shape, for queries that must answer alike on both."""

from typing import Any

from django.db import models

from django_workos_vault import fields
from django_workos_vault.indexes import BlindIndex, Exact
from tests.app.everything import RangeField

_NEEDS_JSON = {"required_db_features": ["supports_json_field"], "app_label": "app"}


def _model(name: str, columns: dict[str, Any], **meta: Any) -> Any:
    parent = models.ForeignKey("self", models.CASCADE, null=True, related_name="children")
    body = {
        "kind": models.IntegerField(),
        "parent": parent,
        **columns,
        "Meta": type("Meta", (), {**_NEEDS_JSON, **meta}),
        "__module__": __name__,
        "__str__": lambda self: f"{name} {self.pk}",
    }
    return type(name, (models.Model,), body)


PlainShape: Any = _model(
    "PlainShape",
    {
        "text": models.CharField(max_length=20, null=True),
        "number": models.IntegerField(null=True),
        "data": models.BinaryField(null=True),
        "json": models.JSONField(null=True),
        "span": RangeField(null=True),
        "login": models.CharField(max_length=20, null=True),
    },
)
Shape: Any = _model(
    "Shape",
    {
        "text": fields.EncryptedCharField(max_length=20, null=True),
        "number": fields.EncryptedIntegerField(null=True),
        "data": fields.EncryptedBinaryField(null=True),
        "json": fields.EncryptedJSONField(null=True),
        "span": fields.encrypted(RangeField(null=True)),
        "login": fields.EncryptedCharField(max_length=20, null=True, blind_indexes=[Exact()]),
    },
    indexes=[models.Index(BlindIndex("login"), name="shape_login")],
)
Kept: Any = _model(
    "Kept",
    {
        "token": fields.VaultObjectField(null=True),
        "text": fields.EncryptedCharField(max_length=20, null=True),
        "login": fields.EncryptedCharField(max_length=20, null=True),
    },
)

#: each column's values in the rows: two equal ones that sort last, one that sorts first, and none at all
VALUES: dict[str, list[Any]] = {
    "text": ["b", "b", "a", None],
    "number": [2, 2, 1, None],
    "data": [b"b", b"b", b"a", None],
    "json": [{"k": 2}, {"k": 2}, {"k": 1}, None],
    "span": [(2, 3), (2, 3), (1, 2), None],
    "login": ["b", "b", "a", None],
}


def make_rows(model: Any) -> None:
    """Store the same rows in either model: twice VALUES, in two kinds, the second under the first."""
    model.objects.bulk_create(
        model(
            pk=place + 1,
            kind=place // 4,
            parent_id=place - 3 if place >= 4 else None,
            **{name: values[place % 4] for name, values in VALUES.items()},
        )
        for place in range(8)
    )
