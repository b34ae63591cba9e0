"""System checks over what other packages let visitors order by: an encrypted column would be a server error.

A package that nothing has imported, once the URLs are loaded, has nothing to check.
"""

import sys
from collections.abc import Iterable, Iterator
from typing import Any

from django.conf import settings
from django.core import checks
from django.db.models import Model
from django.urls import get_resolver

from django_workos_vault.paths import encrypted_path


@checks.register(checks.Tags.urls)
def check_orderings(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    """Check API views, tables and filter sets that are there when the URLs are loaded."""
    views = [*_views(get_resolver().url_patterns)] if getattr(settings, "ROOT_URLCONF", None) else []
    labels = None if app_configs is None else {config.label for config in app_configs}
    found = [*_of_views(views), *_of_tables(), *_of_filter_sets()]
    return [message for label, message in found if labels is None or label in labels]


def _of_views(views: list[Any]) -> Iterator[tuple[str, checks.CheckMessage]]:
    package = sys.modules.get("rest_framework.filters")
    unique = {type(view): view for view in reversed(views)} if package else {}
    for view_class, view in unique.items():
        for backend in getattr(view, "filter_backends", ()):
            if package and isinstance(backend, type) and issubclass(backend, package.OrderingFilter):
                rows = _rows_of(view)
                names = _offered(backend(), rows, view) if rows is not None else ()
                yield from _refused("W065", view_class, rows, names, _USE_OURS)


def _of_tables() -> Iterator[tuple[str, checks.CheckMessage]]:
    package = sys.modules.get("django_tables2")
    for table in _subclasses(package.Table) if package else ():
        if table._meta.model is not None:
            names = [
                str(ordering).removeprefix("-")
                for name, column in table.base_columns.items()
                if (table._meta.orderable if column.orderable is None else column.orderable)
                for ordering in (column.order_by or [column.accessor or name])
            ]
            rows = table._meta.model._base_manager.all()
            yield from _refused("W066", table, rows, names, "Give those columns orderable=False.")


def _of_filter_sets() -> Iterator[tuple[str, checks.CheckMessage]]:
    package = sys.modules.get("django_filters")
    for filter_set in _subclasses(package.FilterSet) if package else ():
        if filter_set._meta.model is not None:
            orderings = [f for f in filter_set.base_filters.values() if hasattr(f, "param_map")]
            names = [name for ordering in orderings for name in ordering.param_map.values()]
            rows = filter_set._meta.model._base_manager.all()
            yield from _refused("W067", filter_set, rows, names, "Leave them out of the OrderingFilter.")


_USE_OURS = (
    "Use django_workos_vault.drf.OrderingFilter in place of REST framework's, or list ordering_fields that "
    "are not encrypted; and leave such fields out of the view's ordering."
)


def _refused(
    number: str, where: type, rows: Any, names: Iterable[str], hint: str
) -> Iterator[tuple[str, checks.CheckMessage]]:
    encrypted = [name for name in dict.fromkeys(names) if encrypted_path(rows, name) is not None]
    if encrypted:
        yield (
            rows.model._meta.app_label,
            checks.Warning(
                f"{where.__name__} lets visitors order by encrypted fields, which is an error of the server: "
                f"{', '.join(encrypted)}.",
                hint=hint,
                obj=where,
                id=f"django_workos_vault.{number}",
            ),
        )


def _views(patterns: Iterable[Any]) -> Iterator[Any]:
    for pattern in patterns:
        if hasattr(pattern, "url_patterns"):
            yield from _views(pattern.url_patterns)
            continue
        view_class = getattr(pattern.callback, "cls", None)
        if isinstance(view_class, type):
            yield view_class(**getattr(pattern.callback, "initkwargs", {}))


def _rows_of(view: Any) -> Any:
    queryset = getattr(view, "queryset", None)
    if queryset is not None:
        return queryset.all()
    meta = getattr(getattr(view, "serializer_class", None), "Meta", None)
    model = getattr(meta, "model", None)
    return model._base_manager.all() if isinstance(model, type) and issubclass(model, Model) else None


def _offered(backend: Any, rows: Any, view: Any) -> list[str]:
    names = [str(item).removeprefix("-") for item in backend.get_default_ordering(view) or ()]
    try:
        return [*names, *(name for name, _ in backend.get_valid_fields(rows, view, {}))]
    except Exception:  # a view that looks at its request, and there is none
        return names


def _subclasses(base: Any) -> Iterator[Any]:
    for each in base.__subclasses__():
        yield each
        yield from _subclasses(each)
