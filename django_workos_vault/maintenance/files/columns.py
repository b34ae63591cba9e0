"""File fields by name, their rows, and the stored bytes behind them."""

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.core.files.storage import Storage
from django.db import router
from django.db.models import FileField, Model, QuerySet

from django_workos_vault.exceptions import EnvelopeError
from django_workos_vault.files.fields import EncryptedFileField
from django_workos_vault.streams.frames import AT_ONCE
from django_workos_vault.streams.header import MAGIC
from django_workos_vault.streams.sources import Source


def encrypted_file_fields(model: type[Model]) -> list[EncryptedFileField]:
    """Return the encrypted file fields whose columns are in the model's own table."""
    return [field for field in model._meta.local_concrete_fields if isinstance(field, EncryptedFileField)]


def file_field(target: str) -> EncryptedFileField:
    """Return the field that ``app.Model.field`` names. Raises LookupError, which says what there is."""
    fields = {
        f"{field.model._meta.label}.{field.name}": field
        for model in apps.get_models()
        for field in encrypted_file_fields(model)
    }
    for name, field in fields.items():
        if name.lower() == target.lower():
            return field
    known = ", ".join(fields) or "none"
    raise LookupError(f"{target!r} names no encrypted file field. Encrypted file fields: {known}.")


def rows_with_files(field: EncryptedFileField, using: str) -> "QuerySet[Model]":
    """Return the rows that have a file, whatever the model's managers hide."""
    rows: QuerySet[Model] = QuerySet(field.model, using=using)
    return rows.exclude(**{field.attname: ""}).exclude(**{field.attname: None})


def is_referred_to(name: str, storage: Storage, using: str | None = None) -> bool:
    """Whether any row of any model has the file ``name`` of ``storage``."""
    return any(
        QuerySet(model, using=using or router.db_for_read(model)).filter(**{field.attname: name}).exists()
        for model in apps.get_models()
        for field in model._meta.local_concrete_fields
        if isinstance(field, FileField) and field.storage == storage
    )


def is_sealed(source: Source) -> bool:
    """Whether the stored bytes begin as an encrypted file does."""
    return source.read_at(0, len(MAGIC)) == MAGIC


def stored_chunks(source: Source) -> Iterator[bytes]:
    """Yield the stored bytes. Raises EnvelopeError when they end early."""
    for at in range(0, source.size, AT_ONCE):
        wanted = min(AT_ONCE, source.size - at)
        chunk = source.read_at(at, wanted)
        if len(chunk) != wanted:
            raise EnvelopeError("The file ends early: its storage gives fewer bytes than it said.")
        yield chunk


def same_bytes(source: Source, sealed: Any) -> bool:
    """Whether the stored bytes of a plain file are the plaintext of an encrypted one."""
    if source.size != sealed.size:
        return False
    return all(chunk == sealed.read(len(chunk)) for chunk in stored_chunks(source))
