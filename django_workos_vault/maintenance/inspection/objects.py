"""Objects in Vault and the rows that refer to them: objects that no row has, rows whose object is gone."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from django.apps import apps
from django.core.exceptions import FieldDoesNotExist
from django.db import connections, router
from django.db.models import Model, QuerySet

from django_workos_vault.exceptions import (
    EnvelopeError,
    InvalidVaultConfiguration,
    UntrustedReference,
    VaultError,
    VaultRequestError,
)
from django_workos_vault.fields.from_row import FromRow
from django_workos_vault.fields.object_column import ObjectColumn, object_fields
from django_workos_vault.fields.object_reference import is_name_under, name_of_copy
from django_workos_vault.maintenance.inspection.findings import Finding, Progress, advice_for
from django_workos_vault.maintenance.inspection.object_parts import exists, inspect_parts, parts_beside

_PAGE = 100
_ROWS_AT_A_TIME = 2000


def inspect_objects(aliases: set[str], using: str | None, progress: Progress) -> Iterator[Finding]:
    """Yield findings on every VaultObjectField that uses one of the vaults ``aliases``.

    ``using`` is a database alias, None for where each model is read. Values are neither fetched nor told.
    """
    for model in apps.get_models():
        for field in object_fields(tuple(model._meta.local_concrete_fields)):
            if field.vault_alias in aliases:
                try:
                    yield from _inspect_field(field, using or router.db_for_read(model), progress)
                except VaultError as exc:
                    yield Finding("objects", str(field), "problem", f"Stopped: {exc}", advice_for(exc))


def _inspect_field(field: ObjectColumn, using: str, progress: Progress) -> Iterator[Finding]:
    model = field.model
    if model._meta.db_table not in connections[using].introspection.table_names(include_views=True):
        message = f"Database {using!r} has no table {model._meta.db_table}."
        yield Finding("objects", str(field), "problem", message, "Run migrate.")
        return
    # Objects first: one that is made meanwhile is then no orphan, and one deleted meanwhile is asked for.
    names = _names_by_id(field)
    rows = _with_relations(field, model._base_manager.using(using).exclude(**{field.name: None}))
    needed, needed_parts, faults, unbound, read_from_copies = set(), set(), 0, 0, 0
    by_name = {name: object_id for object_id, name in names.items()}
    with progress(rows.count(), "rows") as bar:
        for row in rows.iterator(_ROWS_AT_A_TIME):
            bar.update(1)
            stored = field.held_by(row)
            reference = stored.reference
            shared = reference.id in needed and not reference.unreadable
            needed.add(reference.id)  # also where it is not this row's: what a row names is no orphan
            holders = [reference.id]
            copy = name_of_copy(names.get(reference.id, ""), reference.version)
            if copy in by_name:
                needed.add(by_name[copy])
                holders.append(by_name[copy])
                read_from_copies += 1
            fault = _fault(field, row, names, shared)
            if reference.split and fault is None:
                parts, problem = inspect_parts(field, holders, names, stored.place(row))
                needed_parts |= parts
                fault = _problem(field, row, problem, _GONE) if problem else None
            elif reference.split:
                needed_parts |= parts_beside(reference.id, names)
            if fault is not None:
                faults += 1
                yield fault
            elif not stored.is_bound:
                unbound += 1
    orphans = [object_id for object_id in names if object_id not in needed and object_id not in needed_parts]
    for object_id in orphans:
        message = f"No row refers to object {object_id}, named {names[object_id]}."
        yield Finding("objects", str(field), "problem", message, _ORPHAN)
    if not (orphans or faults):
        message = f"{len(needed)} objects, and a row for each."
        if needed_parts:
            message += f" {len(needed_parts)} parts of large values."
        if read_from_copies:
            message += f" {read_from_copies} rows are read from what was kept for a rollback."
        if unbound:
            message += f" {unbound} references are not bound to their rows: adopt_object() does that."
        yield Finding("objects", str(field), "ok", message)


def _names_by_id(field: ObjectColumn) -> dict[str, str]:
    found = {}
    for label in field.labels:
        for summary in field.vault.backend.iter_objects(limit=_PAGE, search=f"{label}/"):
            if is_name_under(field.labels, summary.name, beside=True):
                found[summary.id] = summary.name
    return found


def _with_relations(field: ObjectColumn, rows: QuerySet[Any]) -> QuerySet[Any]:
    """Fetch what chooses the key contexts along with the rows, as far as it is a related row's."""
    for item in (field.key_context or {}).values():
        relation, _, rest = item.path.partition(".") if isinstance(item, FromRow) else ("", "", "")
        with suppress(FieldDoesNotExist):
            if rest and field.model._meta.get_field(relation).many_to_one:
                rows = rows.prefetch_related(relation)
    return rows


def _fault(field: ObjectColumn, row: Model, names: dict[str, str], shared: bool) -> Finding | None:
    stored = field.held_by(row)
    try:
        stored.prove(row)
        if shared:
            raise UntrustedReference(f"Another row refers to its object {stored.reference.id} as well.")
        if stored.reference.id in names or exists(field, stored.reference.id):
            return None
        fault, advice = f"its object {stored.reference.id} is gone from Vault.", _GONE
    except (EnvelopeError, VaultRequestError) as exc:
        fault, advice = str(exc), _NOT_ITS_OWN
    except InvalidVaultConfiguration as exc:
        fault, advice = str(exc), "Give the row what chooses its key."
    return _problem(field, row, fault, advice)


def _problem(field: ObjectColumn, row: Model, fault: str, advice: str) -> Finding:
    return Finding("objects", str(field), "problem", f"Row {row.pk}: {fault}", advice)


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
