"""Encrypted files that a customer's keys opened: of their rows, and of those of others."""

from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager
from typing import Any

from django.db.models import Model, Q

from django_workos_vault.files.fields import EncryptedFileField
from django_workos_vault.maintenance import cells
from django_workos_vault.maintenance.files.columns import rows_with_files
from django_workos_vault.maintenance.files.many import Beginnings, Outcome, may_be_there
from django_workos_vault.maintenance.forgetting.counts import Counting, Counts
from django_workos_vault.maintenance.forgetting.subject import Subject, context_for

_ROWS_AT_A_TIME = 500
_MISSING = FileNotFoundError.__name__

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
            counts = Counts(str(each), using)
            counting = Counting(subject, keys)
            beginnings = Beginnings(each.storage)
            looked_for = 0
            with progress(rows.count(), f"files of {counts.column}") as bar:
                for batch in cells.batches(rows, _ROWS_AT_A_TIME):
                    looked_at = [(row, subject.has(row, sealed)) for row in batch]
                    if not keys:
                        looked_at = [
                            (row, is_mine)
                            for row, is_mine in looked_at
                            if is_mine or subject.is_wider(context_for(each, row))
                        ]
                    looked_for += len(looked_at)
                    bar.update(len(batch) - len(looked_at))
                    names = (str(getattr(row, each.attname).name) for row, _ in looked_at)
                    with counting.batch():
                        for (row, is_mine), outcome in zip(looked_at, beginnings.of(names), strict=True):
                            _count(counting, each, row, counts, outcome, is_mine=is_mine)
                            bar.update(1)
            missing = counts.unread.get(_MISSING, 0)
            if missing and missing == looked_for:  # it is more likely that they are not where one looked
                counts.not_given[_MISSING] = missing
            if counts.found:
                yield counts


def _count(
    counting: Counting, column: Any, row: Model, counts: Counts, outcome: Outcome, *, is_mine: bool
) -> None:
    try:
        if isinstance(outcome, Exception):
            raise outcome
        header = outcome.header()
    except Exception as exc:  # each storage has its own, and names in a table are anybody's
        name = type(exc).__name__
        counts.count_unread(name, is_mine=is_mine)
        if exc is outcome and may_be_there(exc):
            counts.not_given[name] = counts.not_given.get(name, 0) + 1
    else:
        counting.count(counts, header, row, context_for(column, row), is_mine=is_mine)
