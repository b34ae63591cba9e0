"""Rows that are moved from under their files: a column that a file is bound to has another value by now.

As with cells, what the row was loaded with is remembered, and saving it seals the file anew. The header of
the stored file has the last word on what it is bound to.
"""

from collections.abc import Iterable
from typing import Any

from django.core.exceptions import FieldError
from django.db.models import Model

from django_workos_vault.exceptions import EnvelopeError, WrongBinding
from django_workos_vault.fields.django_internals.files import is_unsaved
from django_workos_vault.fields.django_internals.rows import watch_loads, watch_writes
from django_workos_vault.fields.scheme import Row, Scheme
from django_workos_vault.files.row_sealing import RowSealing
from django_workos_vault.files.sealed_storage import SealedStorage
from django_workos_vault.files.sources import source_of
from django_workos_vault.streams.cipher import read_header

_MARK = "notes_rows_of_files"
_ROWS = "workos_vault_rows_of_files"


def watch_moves(model: type[Model]) -> None:
    """Make ``model`` remember what its rows are loaded with, and seal files anew before it saves one."""
    watch_writes(model, _before_write, _after_write)
    watch_loads(model, _MARK, lambda instance: _remember(instance, instance._meta.concrete_fields))


def _before_write(
    instance: Model, table: type[Model], raw: bool, using: Any, update_fields: frozenset[str] | None
) -> frozenset[str] | None:
    if raw:
        return update_fields
    for field in _bound(table._meta.local_concrete_fields):
        file = FileOfRow(field, instance)
        file.refuse_to_write_one_alone(update_fields)
        if file.moved(update_fields) and file.sealed_anew() and update_fields:
            update_fields |= {field.name}
    return update_fields


def _after_write(instance: Model, table: type[Model], using: Any) -> None:
    _remember(instance, table._meta.local_concrete_fields)


def _bound(fields: Iterable[Any]) -> list[Any]:
    return [field for field in fields if hasattr(field, "refuse_move_of") and field.bind_to]


def _remember(instance: Model, fields: Iterable[Any]) -> None:
    rows: dict[str, Row] = instance._state.__dict__.setdefault(_ROWS, {})
    rows.update((field.name, field.scheme.row_of(instance)) for field in _bound(fields))


class FileOfRow:
    """What a row has in a file field, beside what the row was when it was loaded."""

    def __init__(self, field: Any, instance: Model) -> None:
        self._field = field
        self._instance = instance
        self._scheme: Scheme = field.scheme
        self._row: Row | None = instance._state.__dict__.get(_ROWS, {}).get(field.name)

    def moved(self, written: frozenset[str] | None) -> list[str]:
        """Return the names of the columns that may part file and row when ``written`` are written."""
        if not self._field.bind_to:
            return []
        bound = self._scheme.bound_columns
        columns = [c for c in bound if written is None or {c.name, c.attname} & written]
        if self._row is None or self._instance._state.adding:
            return [column.name for column in columns]
        before = dict(zip(self._scheme.row_columns, self._row, strict=True))
        now = {**before, **self._instance.__dict__}
        return [c.name for c in columns if before[c.attname] != now[c.attname]]

    def refuse_to_write_one_alone(self, written: frozenset[str] | None) -> None:
        """Raise FieldError when a save of some columns would part file and row."""
        if written is None or not self._instance.__dict__.get(self._field.attname):
            return  # all of it, no file, or one that was not loaded and is brought along
        moved = self.moved(None)
        if moved and self.moved(written) != (moved if self._field.name in written else []):
            raise FieldError(
                f"{self._field} is bound to {', '.join(moved)}: write all of these in one save(), so that it "
                "is sealed anew."
            )

    def sealed_anew(self) -> bool:
        """Seal the file anew where it is bound to what the row was. Whether the row has another file now.

        Raises WrongBinding for a file that is bound to neither, and what opening and storing it raise.
        """
        field, instance = self._field, self._instance
        file: Any = getattr(instance, field.attname)
        if not file or is_unsaved(file):
            return False
        bound_to = self._binding_of(str(file.name))
        now = RowSealing(field, instance)
        if bound_to is None or bound_to == now.binding():
            return False
        row = None if self._row is None else self._scheme.completed(self._row, instance)
        if row is None or bound_to not in self._scheme.identities(row):
            raise WrongBinding(
                f"The file in {field} was sealed for another row. Store its content for this one: open it in "
                "the row that it is from, and assign it as a new file."
            )
        before = SealedStorage(field.storage, RowSealing(field, instance, row))
        with before.opened(str(file.name)) as content:
            name = content.original_name or str(file.name)
            instance.__dict__[field.attname] = SealedStorage(field.storage, now).save(
                field.generate_filename(instance, name),
                content,
                max_length=field.max_length,
                original_name=content.original_name,
            )
        return True

    def _binding_of(self, name: str) -> bytes | None:
        """Return what a stored file is bound to, None where there is none that could be sealed anew."""
        try:
            source = source_of(self._field.storage, name)
        except FileNotFoundError:
            return None
        try:
            return read_header(source).binding
        except EnvelopeError:
            return None
        finally:
            source.close()
