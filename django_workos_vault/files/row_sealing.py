"""A field's way of sealing its files, for one row."""

from typing import Any

from django.db.models import Model
from django.urls import reverse

from django_workos_vault.context import KeyContext
from django_workos_vault.exceptions import MissingKeyContext
from django_workos_vault.fields.scheme import Row, Scheme
from django_workos_vault.streams.cipher import FileCipher


class RowSealing:
    """``row`` is what ``instance`` held in the columns that its file depends on: by default what it holds."""

    def __init__(self, field: Any, instance: Model, row: Row | None = None) -> None:
        self._field = field
        self._instance = instance
        self._row = row
        self.padding = field.padding
        self.conceal_names = field.conceal_names

    def cipher(self) -> FileCipher:
        scheme: Scheme = self._field.scheme
        return scheme.vault.file_cipher(scheme.label, scheme.labels[1:])

    def context(self) -> KeyContext:
        scheme: Scheme = self._field.scheme
        return scheme.context_for(self._instance)

    def binding(self) -> bytes:
        scheme: Scheme = self._field.scheme
        if not scheme.binds:
            return b""
        if self._row is not None:
            return scheme.identities(self._row)[0]
        row = scheme.whole_row_of(self._instance)
        for column in scheme.bound_columns:
            if getattr(self._instance, column.attname) is None and not column.null:
                raise MissingKeyContext(
                    f"This {self._instance._meta.label} has no {column.name} yet, which its file is bound "
                    "to. Set it before the file is stored."
                )
        return scheme.identities(row)[0]

    def url(self, name: str) -> str | None:
        return reverse(self._field.url_name, args=[self._instance.pk]) if self._field.url_name else None
