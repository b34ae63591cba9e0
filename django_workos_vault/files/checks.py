"""System checks of encrypted file fields."""

from collections.abc import Iterator
from typing import Any

from django.core import checks
from django.core.exceptions import FieldDoesNotExist

from django_workos_vault.fields.checks import key_context
from django_workos_vault.fields.scheme import unbindable
from django_workos_vault.files.storage import SealedStorage


def check_field(field: Any) -> Iterator[checks.CheckMessage]:
    """Yield what is wrong with the field's binding, key context and storage."""
    try:
        reasons = {column.name: unbindable(column) for column in field.scheme.bound_columns}
    except FieldDoesNotExist as exc:
        reasons = {"bind_to": str(exc)}
    for name, reason in reasons.items():
        if reason:
            yield checks.Error(
                f"Cannot bind files to {name}: {reason}.",
                hint="Give the model row_id = models.UUIDField(default=uuid.uuid4, editable=False), and this "
                'field bind_to=("row_id",).',
                obj=field,
                id="django_workos_vault.E130",
            )
    yield from key_context(field)
    if isinstance(field.storage, SealedStorage):
        yield checks.Warning(
            "The field encrypts its files, and so does its storage: they are sealed twice.",
            hint="Give the field a storage that does not encrypt, or use Django's own field over this one.",
            obj=field,
            id="django_workos_vault.W130",
        )
