"""The methods of a model that Django calls for each table of each row that it writes, and for constraints.

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

_ASKED = "asked_before_writes"
_MARK = "asks_vault_fields"


def watch_writes(model: type[Model], before: Before, after: After) -> None:
    """Have ``before`` and ``after`` called around each write of a table of ``model``, once if asked twice."""
    watched: Any = model
    asked = getattr(watched._save_table, _ASKED, ())
    if before not in asked:
        watched._save_table = _between(before, watched._save_table, after)
        setattr(watched._save_table, _ASKED, (*asked, before))


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

    return ask_and_save_table


def watch_bulk_updates(model: type[Model], before: Callable[[Model, Any], None]) -> None:
    """Have ``before`` called with each row of a ``bulk_update()`` and the fields to write.

    Its queryset is of no use for that: it is the manager's, which is the project's own.
    """
    watched: Any = model
    prepare = watched._prepare_related_fields_for_save
    if hasattr(prepare, _MARK):
        return

    @wraps(prepare)
    def ask_and_prepare(self: Model, operation_name: str, fields: Any = None) -> None:
        prepare(self, operation_name, fields=fields)
        if operation_name == "bulk_update":
            before(self, fields)

    setattr(ask_and_prepare, _MARK, True)
    watched._prepare_related_fields_for_save = ask_and_prepare


def watch_constraints(model: type[Model], replace: Callable[[type[Model], Any], Any]) -> None:
    """Have ``validate_constraints()`` use what ``replace`` returns for each constraint, once if asked twice.

    ``replace`` is given the model that declares the constraint, and the constraint.
    """
    watched: Any = model
    if hasattr(watched.get_constraints, _MARK):
        return
    get_constraints = watched.get_constraints

    @wraps(get_constraints)
    def get_replaced_constraints(self: Model) -> Any:
        return [(of, [replace(of, each) for each in found]) for of, found in get_constraints(self)]

    setattr(get_replaced_constraints, _MARK, True)
    watched.get_constraints = get_replaced_constraints


def watch_formsets(model: type[Model], more: Callable[[Model], Any]) -> None:
    """Have formsets compare their rows by what ``more`` returns too, once if asked twice.

    That are pairs, each of a model and the names of fields that are unique together.
    """
    watched: Any = model
    get_checks = watched._get_unique_checks
    if hasattr(get_checks, _MARK):
        return

    @wraps(get_checks)
    def get_more_checks(self: Model, exclude: Any = None, include_meta_constraints: bool = False) -> Any:
        unique, dates = get_checks(self, exclude, include_meta_constraints)
        if include_meta_constraints:  # which formsets alone ask for
            unique += [(of, names) for of, names in more(self) if not set(names) & set(exclude or ())]
        return unique, dates

    setattr(get_more_checks, _MARK, True)
    watched._get_unique_checks = get_more_checks


def watch_loads(model: type[Model], mark: str, after_load: Callable[[Model], object]) -> None:
    """Call ``after_load`` with each row of ``model`` that is loaded; once, whoever asks again by ``mark``."""
    watched: Any = model
    if hasattr(watched.from_db, mark):
        return
    from_db = watched.from_db.__func__

    @wraps(from_db)
    def from_db_and_tell(model: type[Model], *args: Any, **kwargs: Any) -> Model:
        instance: Model = from_db(model, *args, **kwargs)
        after_load(instance)
        return instance

    setattr(from_db_and_tell, mark, True)
    watched.from_db = classmethod(from_db_and_tell)
