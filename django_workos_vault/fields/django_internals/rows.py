"""The private method of a model that Django calls for each table of each row that it writes.

``Model.save()`` will not do: fixtures, and rows made of a parent's, are written by ``save_base()``. Signals
can be muted.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.db.models import Model

#: Given the instance, the model of the table, ``raw``, the database alias and the names of the columns to
#: write (None for all); returns those names, or more.
Before = Callable[[Model, type[Model], bool, Any, "frozenset[str] | None"], "frozenset[str] | None"]
After = Callable[[Model, type[Model], Any], None]

_MARK = "asks_vault_fields"


def watch_writes(model: type[Model], before: Before, after: After) -> None:
    """Have ``before`` and ``after`` called around each write of a table of ``model``, once if asked twice."""
    watched: Any = model
    if not hasattr(watched._save_table, _MARK):
        watched._save_table = _between(before, watched._save_table, after)


def _between(before: Before, save_table: Any, after: After) -> Any:
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
        update_fields = before(self, cls, raw, using, update_fields)
        saved = save_table(self, raw, cls, force_insert, force_update, using, update_fields)
        after(self, cls, using)
        return saved

    setattr(ask_and_save_table, _MARK, True)
    return ask_and_save_table
