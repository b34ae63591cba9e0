"""A plan of one column of files: reads their headers, and writes nothing."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from django.db.models import Model, QuerySet

from django_workos_vault.exceptions import EnvelopeError, UnknownFormat
from django_workos_vault.files.fields import EncryptedFieldFile, EncryptedFileField
from django_workos_vault.maintenance.cells import CannotOpen, prefetches
from django_workos_vault.maintenance.disk import free_for_file
from django_workos_vault.maintenance.engine.failing_keys import FailingKeys
from django_workos_vault.maintenance.engine.plan import ColumnPlan, FilePlan, is_sampled, looked_at
from django_workos_vault.maintenance.engine.seen_keys import SeenKeys
from django_workos_vault.maintenance.engine.stored_files import StoredFiles
from django_workos_vault.maintenance.files.beginnings import Beginning
from django_workos_vault.maintenance.files.columns import STORAGE_FAULTS
from django_workos_vault.maintenance.files.many import Beginnings, Outcome
from django_workos_vault.maintenance.files.renewal import (
    HEADROOM,
    FileRenewal,
    faults_of_file,
    refuse_reference,
)
from django_workos_vault.maintenance.operations import Rekeying, Resealing
from django_workos_vault.streams.header import FileHeader


class FilePlanner:
    """Looks at the files of ``field`` that an operation would go through, ``at_once`` at a time."""

    def __init__(
        self,
        field: EncryptedFileField,
        operation: Resealing | Rekeying,
        using: str,
        *,
        where: str | None = None,
        at_once: int = 1,
    ) -> None:
        self._field = field
        self._using = using
        self._files = _Files([field], operation, using, where=where)
        self._renewal = FileRenewal(field, operation, using)
        self._rekeys = isinstance(operation, Rekeying)
        self._at_once = at_once
        self._failing_keys = FailingKeys(self._files.fields)
        self._seen = SeenKeys()
        self._beginnings = Beginnings(field.storage)
        self._largest = (0, "")
        self._copied: set[tuple[bytes, str]] = set()

    def plan(self) -> FilePlan:
        """Return the plan. Raises VaultError in an outage."""
        rows = self._rows()
        total = rows.count()
        column = ColumnPlan(str(self._field), total)
        for some in looked_at(rows, total):
            self._look_at(column, [row for row in some if self._files.means(self._files.fields[0], row)])
        size, name = self._largest
        seen = self._seen
        return FilePlan(
            [column],
            is_sample=is_sampled(total),
            keys=seen.keys,
            contexts=seen.contexts,
            # A copy under another wrapping is opened to be compared.
            requests=seen.requests("rekey" if self._rekeys else "reseal", opened=True) + len(self._copied),
            disk=size * self._at_once + HEADROOM if size else 0,
            disk_free=free_for_file(self._field.storage, name) if name else None,
            rewritten=round(column.bytes * total / column.looked_at) if column.looked_at else 0,
        )

    def _rows(self) -> "QuerySet[Model]":
        return self._files.rows().prefetch_related(*prefetches(self._files.fields, self._using))

    def _look_at(self, column: ColumnPlan, rows: Sequence[Model]) -> None:
        names = [str(getattr(row, self._field.attname).name) for row in rows]
        found = [_read(column, outcome) for outcome in self._beginnings.of(names)]
        self._seen.read_records(each[1].commitment for each in found if not isinstance(each, Exception))
        for row, each in zip(rows, found, strict=True):
            self._look(column, row, each)

    def _look(self, column: ColumnPlan, row: Model, found: tuple[Beginning, FileHeader] | Exception) -> None:
        column.looked_at += 1
        file: EncryptedFieldFile = getattr(row, self._field.attname)
        try:
            with faults_of_file():
                if isinstance(found, Exception):
                    raise found
                beginning, header = found
                context = next(self._field.scheme.contexts_of([row]), None)
                self._seen.note(column, self._field, header.wants, context)
                column.bytes += self._bytes_written(row, file, header, beginning)
                column.renewed += 1
        except CannotOpen as exc:
            column.unreadable.append(exc.of(self._files.fields[0], row))

    def _bytes_written(
        self, row: Model, file: EncryptedFieldFile, header: FileHeader, beginning: Beginning
    ) -> int:
        """Return how many bytes the operation writes for a file. Raises what keeps it from the file."""
        sealing = file.storage.sealing
        context = sealing.context()
        self._files.header = header
        open_file = partial(sealing.cipher().open, beginning, binding=sealing.binding())
        self._failing_keys.try_cell(self._files, self._files.fields[0], row, open_file).close()
        if self._rekeys:
            refuse_reference(header)
            if self._renewal.is_written_over(header):
                return header.length
            self._copied.add((header.commitment, context.digest))
        self._renewal.check_space(str(file.name))
        self._largest = max(self._largest, (beginning.size, str(file.name)))
        return beginning.size


def _read(column: ColumnPlan, outcome: Outcome) -> tuple[Beginning, FileHeader] | Exception:
    """Count what a file is, and return its beginning and header, or why there is none."""
    state = "unreadable"
    try:
        if isinstance(outcome, Exception):
            raise outcome
        state = outcome.state
        header = outcome.header()
        state = "encrypted"
    except UnknownFormat as exc:
        state = "of another version"
        return exc
    except FileNotFoundError as exc:
        state = "missing"
        return exc
    except (EnvelopeError, *STORAGE_FAULTS) as exc:
        return exc
    except Exception as exc:  # each storage has its own
        message = f"The storage did not give the file ({type(exc).__name__})."
        return CannotOpen(type(exc).__name__, message)
    finally:
        column.count(file=state)
    return outcome, header


class _Files(StoredFiles):
    """Files one of which was looked at just now: its header is at hand."""

    header: FileHeader

    def keys_of(self, column: Any, row: Model) -> tuple[bytes, bytes]:
        return self.header.commitment, self.header.key_reference
