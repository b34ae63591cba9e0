"""Encrypted files of a customer's rows: which can be opened once the keys are destroyed."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Model

from django_workos_vault.files.fields import EncryptedFileField
from django_workos_vault.files.sources import source_of
from django_workos_vault.maintenance import cells
from django_workos_vault.maintenance.files.columns import rows_with_files
from django_workos_vault.maintenance.forgetting.subject import Subject, context_for
from django_workos_vault.registry.destruction import contexts_by_commitment
from django_workos_vault.streams.cipher import read_header
from django_workos_vault.streams.header import FileHeader

_ROWS_AT_A_TIME = 500


@dataclass(slots=True)
class Files:
    """The files of one field, as ``columns.Cells``.

    ``not_read`` could not be looked at: they are not there, cannot be read, or are no encrypted files.
    """

    column: str
    database: str
    destroyed: int = 0
    gone: int = 0
    inline: int = 0
    elsewhere: int = 0
    wider: int = 0
    not_read: int = 0
    by_key: dict[str, int] = field(default_factory=dict)
    carries: set[str] = field(default_factory=set)


def survey(subject: Subject, keys: Collection[str]) -> Iterator[Files]:
    """Yield what is found of each file field, where there is something. Only headers are read."""
    for model, using in subject.models():
        for each in subject.fields(model, EncryptedFileField):
            condition = subject.rows_of(each)
            if condition is None:
                continue
            counts = Files(f"{model._meta.label}.{each.name}", using)
            rows = cells.rows([each], using).filter(
                condition, pk__in=rows_with_files(each, using).values("pk")
            )
            for batch in cells.batches(rows, _ROWS_AT_A_TIME):
                for row in batch:
                    _count(subject, keys, each, row, counts)
            if any((counts.destroyed, counts.gone, counts.inline, counts.wider, counts.not_read)):
                yield counts


def _count(subject: Subject, keys: Collection[str], column: Any, row: Model, counts: Files) -> None:
    context = context_for(column, row)
    if subject.is_wider(context):
        counts.wider += 1
    elif context == subject.context:
        try:
            header = _header(column, row)
        except Exception:  # each storage has its own, and names in a table are anybody's
            counts.not_read += 1
            return
        commitment = header.commitment.hex()
        if header.key_reference:
            counts.inline += 1
            if commitment in keys:
                counts.carries.add(commitment)
        elif commitment in keys:
            counts.destroyed += 1
            counts.by_key[commitment] = counts.by_key.get(commitment, 0) + 1
        elif contexts_by_commitment([commitment]):
            counts.elsewhere += 1
        else:
            counts.gone += 1


def _header(column: Any, row: Model) -> FileHeader:
    source = source_of(column.storage, str(getattr(row, column.attname).name))
    try:
        return read_header(source)
    finally:
        source.close()
