"""Writes of some columns of a row, which could part a cell from the row that it was sealed for."""

from collections.abc import Iterable, Sequence
from typing import Any

from django.core.exceptions import FieldError
from django.db.models import Model
from django.db.models.constants import OnConflict

from django_workos_vault.fields.cell import Withheld
from django_workos_vault.fields.scheme import stored_row

_BROUGHT = "workos_vault_brought"


def refuse_foreign_upsert(field: Any, query: Any) -> None:
    """Raise FieldError when ``query`` is an upsert that could part a cell from the row it was sealed for.

    ``bulk_create(update_conflicts=True)`` writes cells sealed for new rows into rows that are there. Those
    have the same values only in the columns that are updated too, or by which the conflict is told.
    """
    if getattr(query, "on_conflict", None) is not OnConflict.UPDATE:  # which an UPDATE does not have
        return
    updated = {column.attname for column in query.update_fields}
    same = updated | {column.attname for column in query.unique_fields or ()}
    scheme, indexed = field.scheme, set(field.digests.compound_members)
    if field.attname in updated:
        needed = {*(column.attname for column in scheme.bound_columns), *scheme.context_columns}
        parted = (needed | indexed) - same
    else:
        parted = ({column.attname for column in scheme.maybe_bound_columns} | indexed) & updated
    if parted:
        raise FieldError(
            f"{field} depends on its row: this bulk_create(update_conflicts=True) would leave a cell sealed "
            f"for another row's {', '.join(sorted(parted))}. Name {field.name} and these columns in "
            "update_fields, or save the rows one by one."
        )


def refuse_partial_rebinding(instance: Model, written: frozenset[str]) -> None:
    """Raise FieldError when writing the columns ``written`` alone would move a row from under its cells."""
    fields: Sequence[Any] = instance._meta.concrete_fields
    for field in fields:
        if not hasattr(field, "bind_to") or field.name in written:
            continue
        columns = field.scheme.maybe_bound_columns
        moved = [column.name for column in columns if {column.name, column.attname} & written]
        held = instance.__dict__.get(field.attname)
        if moved and hasattr(held, "row") and field.row_changed(held, instance):
            raise FieldError(
                f"{field} is bound to {', '.join(moved)}: write it too, so that it is sealed anew."
            )


def bring_cells_along(instance: Model, written: frozenset[str]) -> frozenset[str]:
    """Return ``written`` with the deferred fields that a save of those columns would leave behind.

    A save of an instance with deferred columns writes the others alone: it would move the row from under
    cells that it does not know. They are loaded as they are stored, to be sealed anew. To be asked before
    each table of the row is written: a parent's column may move a child's cell.
    """
    brought: set[str] = instance._state.__dict__.setdefault(_BROUGHT, set())
    fields: list[Any] = [f for f in instance._meta.concrete_fields if hasattr(f, "holds_cells")]
    for field in fields:
        if not field.scheme.remembers_row:
            continue
        names = field.scheme.row_columns
        columns = map(field.model._meta.get_field, names)
        if not any({column.name, column.attname} & written for column in columns):
            continue
        held = instance.__dict__.get(field.attname)
        if field.attname not in instance.__dict__:
            held = stored_row(instance, field.attname, *names).__dict__[field.attname]
        moved = isinstance(held, Withheld) and field.row_changed(held, instance)
        if moved and field.attname not in instance.__dict__:
            instance.__dict__[field.attname] = held
            brought.add(field.name)
    return written | brought


def forget_brought(instance: Model) -> None:
    """Note that the last table of the row is written."""
    instance._state.__dict__.pop(_BROUGHT, None)


def depends_on(field: Any, model: type[Model], names: Iterable[str]) -> bool:
    """Whether writing the columns ``names`` of ``model`` means sealing ``field``'s cell anew."""
    own = {field.name, field.attname} if field.scheme.needs_row or field.digests.compounds else set()
    needed = (*field.scheme.row_columns, *field.digests.compound_members)
    columns = {field.model._meta.get_field(name).attname for name in needed}
    written = {getattr(model._meta.get_field(name), "attname", name) for name in names if name != "pk"}
    return bool((own | columns) & written)
