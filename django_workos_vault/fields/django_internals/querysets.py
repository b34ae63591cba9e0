"""What querysets, and the options of a model, can do and Django keeps to itself."""

from typing import Any

from django.db.models import Model, QuerySet


def refuse_combined(rows: Any, operation: str) -> None:
    """Raise NotSupportedError where ``rows`` are a union, intersection or difference, as Django does."""
    rows._not_support_combined_queries(operation)


def plain_twin(rows: Any) -> QuerySet[Any]:
    """Return ``rows`` as a queryset of Django's own class, for the same database."""
    return QuerySet(rows.model, rows.query.chain(), rows._db, rows._hints)


def chosen_database(rows: Any) -> str | None:
    """Return the alias that ``rows`` were given with ``using()``, None where a router chooses."""
    alias: str | None = rows._db
    return alias


def set_base_manager(model: type[Model], name: str) -> None:
    """Make the manager called ``name`` the base manager of ``model``, whichever was asked for before."""
    options: Any = model._meta
    options.base_manager_name = name
    options._expire_cache()
