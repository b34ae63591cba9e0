"""Objects in Vault and the rows that refer to them: objects that no row has, rows whose object is gone."""

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.db import router
from django.db.models import Model, QuerySet

from django_workos_vault.exceptions import (
    EnvelopeError,
    InvalidVaultConfiguration,
    UntrustedReference,
    VaultError,
    VaultRequestError,
)
from django_workos_vault.fields.object_column import ObjectColumn, object_fields
from django_workos_vault.fields.object_reference import is_name_under, name_of_copy
from django_workos_vault.fields.object_value import StoredObject
from django_workos_vault.maintenance.inspection.findings import Finding, Progress, advice_for
from django_workos_vault.maintenance.inspection.object_parts import ObjectsOfField
from django_workos_vault.maintenance.tables import Tables

_PAGE = 100
_ROWS_AT_A_TIME = 2000


def inspect_objects(aliases: set[str], using: str | None, progress: Progress) -> Iterator[Finding]:
    """Yield findings on every VaultObjectField that uses one of the vaults ``aliases``.

    ``using`` is a database alias, None for where each model is written. Values are neither fetched nor told.
    """
    for model in apps.get_models():
        for field in object_fields(tuple(model._meta.local_concrete_fields)):
            if field.vault_alias in aliases:
                yield from _Inspection(field, using or router.db_for_write(model)).findings(progress)


class _Inspection:
    """One field's objects, and the rows of one database."""

    def __init__(self, field: ObjectColumn, using: str) -> None:
        self._field = field
        self._using = using
        self._objects = ObjectsOfField(field, {})
        #: names of the field's objects by their ids, and the other way round
        self._names: dict[str, str] = {}
        self._by_name: dict[str, str] = {}
        self._needed: set[str] = set()
        self._needed_parts: set[str] = set()
        self._unbound = self._read_from_copies = 0

    def findings(self, progress: Progress) -> Iterator[Finding]:
        """Yield what is found. An outage is a finding, the last one."""
        model = self._field.model
        try:
            if not Tables(self._using).have(model):
                missing = f"Database {self._using!r} has no table {model._meta.db_table}."
                yield self._problem(missing, "Run migrate.")
                return
            # Objects first: one that is made meanwhile is no orphan then, one deleted meanwhile is asked for.
            self._names = self._names_by_id()
            self._objects = ObjectsOfField(self._field, self._names)
            self._by_name = {name: object_id for object_id, name in self._names.items()}
            is_whole = True
            rows = self._rows()
            with progress(rows.count(), "rows") as bar:
                for row in rows.iterator(_ROWS_AT_A_TIME):
                    bar.update(1)
                    if (fault := self._look_at(row)) is not None:
                        is_whole = False
                        yield fault
            for object_id, name in self._names.items():
                if object_id not in self._needed and object_id not in self._needed_parts:
                    is_whole = False
                    yield self._problem(f"No row refers to object {object_id}, named {name}.", _ORPHAN)
            if is_whole:
                yield Finding("objects", str(self._field), "ok", self._counted())
        except VaultError as exc:
            yield self._problem(f"Stopped: {exc}", advice_for(exc))

    def _names_by_id(self) -> dict[str, str]:
        found = {}
        for label in self._field.labels:
            for summary in self._field.vault.backend.iter_objects(limit=_PAGE, search=f"{label}/"):
                if is_name_under(self._field.labels, summary.name, beside=True):
                    found[summary.id] = summary.name
        return found

    def _rows(self) -> QuerySet[Any]:
        """The rows that refer to an object, with the related rows that choose the key contexts."""
        rows = self._field.model._base_manager.using(self._using).exclude(**{self._field.name: None})
        return rows.prefetch_related(*self._field.scheme.context_relations)

    def _look_at(self, row: Model) -> Finding | None:
        """Note which objects a row needs, and return what is wrong with its reference."""
        stored = self._field.held_by(row)
        reference = stored.reference
        shared = reference.id in self._needed and not reference.unreadable
        self._needed.add(reference.id)  # also where it is not this row's: what a row names is no orphan
        holders = [reference.id]
        copy = name_of_copy(self._names.get(reference.id, ""), reference.version)
        if copy in self._by_name:
            self._needed.add(self._by_name[copy])
            holders.append(self._by_name[copy])
            self._read_from_copies += 1
        fault = self._fault(row, stored, shared)
        if reference.split and fault is None:
            parts, problem = self._objects.parts_of(holders, stored.place(row))
            self._needed_parts |= parts
            fault = self._problem(f"Row {row.pk}: {problem}", _GONE) if problem else None
        elif reference.split:
            self._needed_parts |= self._objects.parts_beside(reference.id)
        if fault is None and not stored.is_bound:
            self._unbound += 1
        return fault

    def _fault(self, row: Model, stored: StoredObject, shared: bool) -> Finding | None:
        object_id = stored.reference.id
        try:
            stored.prove(row)
            if shared:
                raise UntrustedReference(f"Another row refers to its object {object_id} as well.")
            if self._objects.has(object_id):
                return None
            fault, advice = f"its object {object_id} is gone from Vault.", _GONE
        except (EnvelopeError, VaultRequestError) as exc:
            fault, advice = str(exc), _NOT_ITS_OWN
        except InvalidVaultConfiguration as exc:
            fault, advice = str(exc), "Give the row what chooses its key."
        return self._problem(f"Row {row.pk}: {fault}", advice)

    def _counted(self) -> str:
        told = f"{len(self._needed)} objects, and a row for each."
        if self._needed_parts:
            told += f" {len(self._needed_parts)} parts of large values."
        if self._read_from_copies:
            told += f" {self._read_from_copies} rows are read from what was kept for a rollback."
        if self._unbound:
            told += f" {self._unbound} references are not bound to their rows: adopt_object() does that."
        return told

    def _problem(self, message: str, advice: str) -> Finding:
        return Finding("objects", str(self._field), "problem", message, advice)


_ORPHAN = (
    "A transaction that is under way may own it: run this again. An object that stays was left by a rollback "
    "or a crash, or belongs to another database; if not, delete it with delete_object() of the backend."
)
_NOT_ITS_OWN = (
    "Find out who writes to the table. If the row is as it should be (written before references had proofs, "
    "copied from another database, its key context changed, the index root key lost), adopt_object() of "
    "django_workos_vault.fields makes the reference its own. If not, assign a value and save: the object "
    "referred to is left alone."
)
_GONE = (
    "Something deleted the object, or the row was restored from an older backup. Assign a value and save, or "
    "set the column to NULL."
)
