"""What happens before and after a row is loaded or written, whichever signals are muted.

Signal handlers would be the obvious way, but a program can mute signals (factory_boy, the pages of
django-reversion), and then a fixture's cell would be stored as a value, and a row moved from under its cells.
Django itself calls these two methods of a model for every row, in ``raw`` saves too.
"""

from functools import wraps
from typing import Any

from django.db.models import Model

from django_workos_vault.fields.cell import Withheld, names_set_to_null
from django_workos_vault.fields.partial_writes import (
    bring_cells_along,
    forget_brought,
    refuse_partial_rebinding,
)

_MARK = "asks_vault_fields"


def watch_rows(model: type[Model], remember: bool) -> None:
    """Make ``model`` ask its fields that use a vault before it writes a table.

    With ``remember`` it also notes what rows hold when they are loaded, for cells that depend on that.
    """
    watched: Any = model
    if not hasattr(watched._save_table, _MARK):
        watched._save_table = _watched_save(watched._save_table)
    if remember and not hasattr(watched.from_db, _MARK):
        watched.from_db = classmethod(_watched_load(watched.from_db.__func__))


def _watched_load(from_db: Any) -> Any:
    @wraps(from_db)
    def from_db_and_remember(model: type[Model], *args: Any, **kwargs: Any) -> Model:
        instance: Model = from_db(model, *args, **kwargs)
        remember_row(instance)
        return instance

    setattr(from_db_and_remember, _MARK, True)
    return from_db_and_remember


def _watched_save(save_table: Any) -> Any:
    @wraps(save_table)
    def ask_and_save_table(
        self: Model,
        raw: bool = False,
        cls: Any = None,
        force_insert: bool = False,
        force_update: bool = False,
        using: Any = None,
        update_fields: frozenset[str] | None = None,
    ) -> Any:
        fields = [field for field in cls._meta.local_concrete_fields if hasattr(field, "holds_cells")]
        for field in fields:
            field.before_row_write(self, using)
        if raw:
            for field in fields:
                field.take_serialized(self)
            for field in fields:
                field.load_serialized(self)
        else:
            if update_fields is not None:
                update_fields = bring_cells_along(self, update_fields)
                refuse_partial_rebinding(self, update_fields)
            for field in fields:
                if hasattr(field, "digests"):
                    field.digests.renew_compounds(self, update_fields)
        saved = save_table(self, raw, cls, force_insert, force_update, using, update_fields)
        if cls is self._meta.concrete_model:
            forget_brought(self)
        names_set_to_null(self).difference_update(field.attname for field in fields)
        for field in fields:
            field.after_row_write(self, using)
        return saved

    setattr(ask_and_save_table, _MARK, True)
    return ask_and_save_table


def remember_row(instance: Model) -> None:
    """Note, with each cell of a row just loaded, what the row holds in the columns that it depends on."""
    for field in instance._meta.concrete_fields:
        held = instance.__dict__.get(field.attname)
        if isinstance(held, Withheld):
            held.note_row(instance)
