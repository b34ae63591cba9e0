"""File fields by name, their rows, and the stored bytes behind them."""

import posixpath
from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.core.exceptions import SuspiciousOperation
from django.core.files.storage import Storage
from django.db import connections, router
from django.db.models import FileField, Model, QuerySet

from django_workos_vault.exceptions import EnvelopeError
from django_workos_vault.files.fields import EncryptedFileField
from django_workos_vault.maintenance.tables import Tables
from django_workos_vault.streams.frames import AT_ONCE
from django_workos_vault.streams.header import MAGIC
from django_workos_vault.streams.sources import Source

#: What a storage says of one file, and of names that it does not take: anybody may have written one.
STORAGE_FAULTS = (OSError, SuspiciousOperation, ValueError)


def encrypted_file_fields(model: type[Model]) -> list[EncryptedFileField]:
    """Return the encrypted file fields whose columns are in the model's own table."""
    return [field for field in model._meta.local_concrete_fields if isinstance(field, EncryptedFileField)]


def named_file_field(target: str) -> EncryptedFileField | None:
    """Return the encrypted file field that ``app.Model.field`` names, or None."""
    fields = {name.lower(): field for name, field in _all_fields().items()}
    return fields.get(target.lower())


def file_field(target: str) -> EncryptedFileField:
    """Return the same. Raises LookupError, which says what there is."""
    field = named_file_field(target)
    if field is None:
        known = ", ".join(_all_fields()) or "none"
        raise LookupError(f"{target!r} names no encrypted file field. Encrypted file fields: {known}.")
    return field


def _all_fields() -> dict[str, EncryptedFileField]:
    return {str(field): field for model in apps.get_models() for field in encrypted_file_fields(model)}


def rows_with_files(field: EncryptedFileField, using: str) -> "QuerySet[Model]":
    """Return the rows that have a file, whatever the model's managers hide."""
    rows: QuerySet[Model] = QuerySet(field.model, using=using)
    return rows.exclude(**{field.attname: ""}).exclude(**{field.attname: None})


class Referrers:
    """All columns, of any model in any database, that may refer to a stored file."""

    def __init__(self) -> None:
        self._columns: list[tuple[QuerySet[Model], str]] = [
            (QuerySet(model, using=alias), field.attname)
            for alias in connections
            for tables in [Tables(alias)]
            for model in apps.get_models()
            if router.allow_migrate_model(alias, model) and tables.have(model)
            for field in model._meta.local_concrete_fields
            if isinstance(field, FileField)
        ]

    def have(self, name: str) -> bool:
        """Whether any row has a file of that name.

        Whatever its storage: two storages may keep their files in one place.
        """
        return any(rows.filter(**{attname: name}).exists() for rows, attname in self._columns)


def is_sealed(source: Source) -> bool:
    """Whether the stored bytes begin as an encrypted file does."""
    return source.read_at(0, len(MAGIC)) == MAGIC


def another_name(storage: Storage, name: str) -> str:
    """Return a name beside ``name`` that no file has.

    ``get_available_name()`` would not do: a storage that overwrites gives the name itself.
    """
    directory, last = posixpath.split(name)
    root, extension = posixpath.splitext(last)
    while True:
        other = posixpath.join(directory, storage.get_alternative_name(root, extension))
        if not storage.exists(other):
            return other


def stored_chunks(source: Source, start: int = 0) -> Iterator[bytes]:
    """Yield the stored bytes. Raises EnvelopeError when they end early."""
    for at in range(start, source.size, AT_ONCE):
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
