"""Which columns the expressions of a declaration read: conditions, functions, orderings."""

from collections.abc import Iterator
from typing import Any

from django.db.models import F, Q
from django.db.models.constants import LOOKUP_SEP
from django.db.models.lookups import IsNull

from django_workos_vault.indexes import DigestAt


def columns_read(expression: Any) -> Iterator[str]:
    """Yield the paths of the columns whose values ``expression`` computes with.

    Not those asked only whether they are NULL, nor those of a blind index: both work on ciphertext. A
    condition's path comes with the lookup at its end.
    """
    if isinstance(expression, DigestAt | IsNull):
        return
    if isinstance(expression, F):
        yield str(expression.name)  # type: ignore[attr-defined]
    elif isinstance(expression, Q):
        for child in expression.children:
            yield from _of_condition(*child) if isinstance(child, tuple) else columns_read(child)
    else:
        sources = getattr(expression, "get_source_expressions", None)
        for source in sources() if sources and not isinstance(expression, type) else ():
            yield from columns_read(source)


def ordering_names(ordering: Any) -> Iterator[str]:
    """Yield the paths of the columns that an ``ordering`` option orders by, without their signs."""
    for item in ordering:
        if isinstance(item, str):
            yield item.removeprefix("-")
        else:
            yield from columns_read(item)


def _of_condition(path: str, value: Any) -> Iterator[str]:
    *names, lookup = path.split(LOOKUP_SEP)
    asks_for_null = (names and lookup == "isnull") or (value is None and lookup in (path, "exact"))
    if not asks_for_null:
        yield path
    yield from columns_read(value)
