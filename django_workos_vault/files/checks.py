"""System checks of encrypted file fields."""

from collections.abc import Iterator
from typing import Any

from django.core import checks

from django_workos_vault.fields.checks import binding, key_context
from django_workos_vault.files.sealed_storage import SealedStorage


def check_field(field: Any) -> Iterator[checks.CheckMessage]:
    """Yield what is wrong with the field's binding, key context and storage."""
    yield from binding(field, "E130", "files ")
    yield from key_context(field)
    if isinstance(field.storage, SealedStorage):
        yield checks.Warning(
            "The field encrypts its files, and so does its storage: they are sealed twice.",
            hint="Give the field a storage that does not encrypt, or use Django's own field over this one.",
            obj=field,
            id="django_workos_vault.W130",
        )
