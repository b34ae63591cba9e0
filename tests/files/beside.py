"""A model with an encrypted file beside every encrypted type, for each pair of bindings, and its twin."""

import uuid
from typing import Any

from django.db import models
from simple_history.models import HistoricalRecords

from django_workos_vault.fields import FromRow
from django_workos_vault.files import EncryptedFileField, EncryptedImageField
from django_workos_vault.querysets import EncryptedManager
from tests.app.everything import EACH_TYPE, encrypted_field, plain_field

BINDINGS: dict[str, dict[str, Any]] = {
    "Free": {},
    "Bound": {"bind_to": ("row",), "key_context": {"organization_id": FromRow("tenant")}},
}


def _model(name: str, columns: dict[str, Any], file: Any, image: Any, manager: Any) -> Any:
    attributes: dict[str, Any] = {
        "row": models.UUIDField(default=uuid.uuid4, unique=True),
        "tenant": models.CharField(max_length=9, default="org_1"),
        **columns,
        "file": file,
        "image": image,
        # No foreign key: this table is made before those of apps with migrations.
        "objects": manager,
        "history": HistoricalRecords(history_user_id_field=models.IntegerField(null=True)),
        "Meta": type("Meta", (), {"required_db_features": ["supports_json_field"]}),
        "__module__": __name__,
        "__str__": lambda self: f"{name} {self.pk}",
    }
    return type(name, (models.Model,), attributes)


PlainFolder: Any = _model(
    "PlainFolder",
    {name: plain_field(name) for name in EACH_TYPE},
    models.FileField(upload_to="files", blank=True),
    models.ImageField(upload_to="faces", blank=True),
    models.Manager(),
)
FOLDERS: list[Any] = [
    _model(
        f"{columns}Folder{files}",
        {name: encrypted_field(name, **BINDINGS[columns]) for name in EACH_TYPE},
        EncryptedFileField(upload_to="files", blank=True, **BINDINGS[files]),
        EncryptedImageField(upload_to="faces", blank=True, **BINDINGS[files]),
        EncryptedManager(),
    )
    for columns in BINDINGS
    for files in BINDINGS
]
