"""What happens before and after a row is loaded or written, whichever signals are muted.

Signal handlers would be the obvious way, but a program can mute signals (factory_boy, the pages of
django-reversion), and then a fixture's cell would be stored as a value, and a row moved from under its cells.
Django itself calls two methods of a model for every row, in ``raw`` saves too.
"""

from typing import Any

from django.db.models import Model

from django_workos_vault.fields.cell import Withheld, names_set_to_null
from django_workos_vault.fields.django_internals.rows import watch_bulk_updates, watch_loads, watch_writes
from django_workos_vault.fields.partial_writes import (
    bring_cells_along,
    forget_brought,
    refuse_partial_rebinding,
)

_MARK = "notes_rows"


def watch_rows(model: type[Model], remember: bool) -> None:
    """Make ``model`` ask its fields that use a vault before it writes a table.

    With ``remember`` it also notes what rows hold when they are loaded, for cells that depend on that.
    """
    watch_writes(model, _before_write, _after_write)
    watch_bulk_updates(model, _before_bulk_update)
    if remember:
        watch_loads(model, _MARK, remember_row)


def _before_write(
    instance: Model, table: type[Model], raw: bool, using: Any, update_fields: frozenset[str] | None
) -> frozenset[str] | None:
    fields = _vault_fields(table)
    for field in fields:
        field.before_row_write(instance, using)
    if raw:
        for field in fields:
            field.take_serialized(instance)
        for field in fields:
            field.load_serialized(instance)
        return update_fields
    if update_fields is not None:
        update_fields = bring_cells_along(instance, update_fields)
        refuse_partial_rebinding(instance, update_fields)
    for field in fields:
        if hasattr(field, "digests"):
            field.digests.renew_compounds(instance, update_fields)
    return update_fields


def _after_write(instance: Model, table: type[Model], using: Any) -> None:
    fields = _vault_fields(table)
    if table is instance._meta.concrete_model:
        forget_brought(instance)
    names_set_to_null(instance).difference_update(field.attname for field in fields)
    for field in fields:
        field.after_row_write(instance, using)


def _before_bulk_update(instance: Model, written: Any) -> None:
    """Seal the values of a row for that row. What Django makes of them afterwards has none."""
    names = frozenset(field.name for field in written)
    refuse_partial_rebinding(instance, names)
    fields: list[Any] = [field for field in instance._meta.concrete_fields if hasattr(field, "digests")]
    for field in fields:
        field.digests.renew_compounds(instance, names)
        if field.name in names:
            field.pre_save(instance, add=False)


def _vault_fields(table: type[Model]) -> list[Any]:
    return [field for field in table._meta.local_concrete_fields if hasattr(field, "holds_cells")]


def remember_row(instance: Model) -> None:
    """Note, with each cell of a row just loaded, what the row holds in the columns that it depends on."""
    for field in instance._meta.concrete_fields:
        held = instance.__dict__.get(field.attname)
        if isinstance(held, Withheld):
            held.note_row(instance)
