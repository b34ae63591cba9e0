"""Objects in Vault and the rows that refer to them: objects that no row has, rows whose object is gone."""

from collections.abc import Iterator

from django.apps import apps
from django.db import connections, router

from django_workos_vault.exceptions import VaultError, VaultNotFound
from django_workos_vault.fields.object_writes import object_fields
from django_workos_vault.fields.objects import VaultObjectField
from django_workos_vault.fields.stored import name_of_copy
from django_workos_vault.inspection.findings import Finding, Progress, advice_for

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


def _inspect_field(field: VaultObjectField, using: str, progress: Progress) -> Iterator[Finding]:
    model = field.model
    if model._meta.db_table not in connections[using].introspection.table_names(include_views=True):
        message = f"Database {using!r} has no table {model._meta.db_table}."
        yield Finding("objects", str(field), "problem", message, "Run migrate.")
        return
    # Objects first: one that is made meanwhile is then no orphan, and one deleted meanwhile is asked for.
    names = _names_by_id(field)
    rows = model._base_manager.using(using).exclude(**{field.name: None})
    needed, gone, read_from_copies = set(), 0, 0
    by_name = {name: object_id for object_id, name in names.items()}
    with progress(rows.count(), "rows") as bar:
        for pk, reference in rows.values_list("pk", field.attname).iterator(_ROWS_AT_A_TIME):
            bar.update(1)
            needed.add(reference.id)
            copy = name_of_copy(names.get(reference.id, ""), reference.version)
            if copy in by_name:
                needed.add(by_name[copy])
                read_from_copies += 1
            if reference.id not in names and not _exists(field, reference.id):
                gone += 1
                message = f"Row {pk}: its object {reference.id} is gone from Vault."
                yield Finding("objects", str(field), "problem", message, _GONE)
    orphans = [object_id for object_id in names if object_id not in needed]
    for object_id in orphans:
        message = f"No row refers to object {object_id}, named {names[object_id]}."
        yield Finding("objects", str(field), "problem", message, _ORPHAN)
    if not (orphans or gone):
        message = f"{len(needed)} objects, and a row for each."
        if read_from_copies:
            message += f" {read_from_copies} rows are read from what was kept for a rollback."
        yield Finding("objects", str(field), "ok", message)


def _names_by_id(field: VaultObjectField) -> dict[str, str]:
    found = {}
    for label in (field.label, *field.previous_labels):
        for summary in field.vault.backend.iter_objects(limit=_PAGE, search=f"{label}/"):
            if summary.name.startswith(f"{label}/"):
                found[summary.id] = summary.name
    return found


def _exists(field: VaultObjectField, object_id: str) -> bool:
    try:
        field.vault.backend.describe_object(object_id)
    except VaultNotFound:
        return False
    return True


_ORPHAN = (
    "A transaction that is under way may own it: run this again. An object that stays was left by a rollback "
    "or a crash, or belongs to another database; if not, delete it with delete_object() of the backend."
)
_GONE = (
    "Something deleted the object, or the row was restored from an older backup. Assign a value and save, or "
    "set the column to NULL."
)
