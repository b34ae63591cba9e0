"""Encrypted files that a customer's keys opened: of their rows, and of those of others."""

from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager
from typing import Any

from django.db.models import Model, Q

from django_workos_vault.files.fields import EncryptedFileField
from django_workos_vault.files.sources import source_of
from django_workos_vault.maintenance import cells
from django_workos_vault.maintenance.files.columns import rows_with_files
from django_workos_vault.maintenance.forgetting.counts import Counting, Counts
from django_workos_vault.maintenance.forgetting.subject import Subject, context_for
from django_workos_vault.streams.cipher import read_header
from django_workos_vault.streams.header import FileHeader

_ROWS_AT_A_TIME = 500

#: Makes a progress bar of a total and a unit.
Progress = Callable[[int, str], AbstractContextManager[Any]]


def survey(subject: Subject, keys: Collection[str], progress: Progress) -> Iterator[Counts]:
    """Yield what is found of each file field, where there is something. Only headers are read.

    Whose key sealed a file, its header alone tells: with ``keys``, those of all rows are read.
    """
    for model, using in subject.models():
        for each in subject.fields(model, EncryptedFileField):
            sealed = subject.sealed(model)
            condition = Q() if keys else subject.rows_of(sealed)
            if condition is None:
                continue
            with_files = rows_with_files(each, using).values("pk")
            rows = cells.rows(sealed, using).filter(condition, pk__in=with_files)
            counts = Counts(f"{model._meta.label}.{each.name}", using)
            counting = Counting(subject, keys)
            with progress(rows.count(), f"files of {counts.column}") as bar:
                for batch in cells.batches(rows, _ROWS_AT_A_TIME):
                    with counting.batch():
                        for row in batch:
                            is_mine = subject.has(row, sealed)
                            if keys or is_mine or subject.is_wider(context_for(each, row)):
                                _count(subject, counting, each, row, counts, is_mine=is_mine)
                            bar.update(1)
            if counts.found:
                yield counts


def _count(
    subject: Subject, counting: Counting, column: Any, row: Model, counts: Counts, *, is_mine: bool
) -> None:
    try:
        header = _header(column, row)
    except Exception as exc:  # each storage has its own, and names in a table are anybody's
        counts.count_unread(type(exc).__name__, is_mine=is_mine)
    else:
        counting.count(counts, header, row, context_for(column, row), is_mine=is_mine)


def _header(column: Any, row: Model) -> FileHeader:
    source = source_of(column.storage, str(getattr(row, column.attname).name))
    try:
        return read_header(source)
    finally:
        source.close()
