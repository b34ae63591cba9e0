"""A stored cell that nobody has looked at since it was loaded: a plain tuple.

Most cells of a page are never read. Python's garbage collector visits every object of a class of ours
again and again, which took most of the time of loading it; a tuple of things that refer to nothing it lets
go at its first visit. A cell becomes a :class:`~django_workos_vault.fields.sealed.Sealed` when it is first
used.

The tuple begins with ``Ellipsis``, which stays itself through copies and pickles, and which no form, fixture
or JSON text can hold: input is never taken for a cell.
"""

from collections.abc import Callable
from itertools import count
from typing import Any
from weakref import WeakValueDictionary

from django_workos_vault.cipher import START_BYTES
from django_workos_vault.envelope import DIGEST_BYTES

UNREAD = ...

#: ``(UNREAD, cell, label, page)``; the page as its number, or itself in the first cell of each key
Unread = tuple[Any, bytes, str, "int | Page"]

#: Keys of one page that are unwrapped together when the first of its cells is opened.
NEIGHBOURS = 1000


class Page(dict[bytes, bytes]):
    """One cell of each data key in a column of a result set, by how such cells begin.

    It lives as long as one of the cells in it. The others know its number only.
    """

    __slots__ = ("__weakref__",)

    def __reduce__(self) -> tuple[Any, ...]:
        return int, ()  # a copy or a pickle of one row does not take the cells of the others along


_numbers = count(1)
_pages: "WeakValueDictionary[int, Page]" = WeakValueDictionary()
_fields: dict[str, Any] = {}


def is_unread(value: Any) -> bool:
    """Whether ``value`` is an :data:`Unread` cell."""
    return type(value) is tuple and len(value) == 4 and value[0] is UNREAD


def source_of(unread: Unread, field: Any) -> Any:
    """Return the field that the cell was loaded from: ``field``, unless a program carried it over."""
    label = unread[2]
    return field if field.label == label else _fields.get(label, field)


def taken_from(page: int | Page) -> list[bytes]:
    """Take all cells out of a page: once, or one whose keys cannot be had would be searched for every cell.

    There are none when the page is gone, and where all of it has one key.
    """
    found = page if isinstance(page, Page) else _pages.get(page)
    if found is None:
        return []
    cells = list(found.values())
    found.clear()
    return cells


def keeping_converter(field: Any) -> Callable[[Any, Any, Any], Unread | None]:
    """Return a database converter that makes the cells of ``field`` in one result set :data:`Unread`."""
    label = field.label
    _fields[label] = field
    front = 1 + DIGEST_BYTES * len(field.blind_indexes) if field.blind_indexes else 0
    end = front + START_BYTES
    number, page = next(_numbers), Page()
    start = b"none yet"

    def keep(cell: Any, expression: Any, connection: Any) -> Unread | None:
        nonlocal number, page, start
        if type(cell) is not bytes:
            if cell is None:
                return None
            cell = as_bytes(cell)
        if cell.startswith(start, front):  # the next line for nearly every cell
            return UNREAD, cell, label, number
        if len(cell) < end or (start := cell[front:end]) in page:
            return UNREAD, cell, label, number
        if len(page) == NEIGHBOURS:
            number, page = next(_numbers), Page()
        page[start] = cell
        if len(page) == 1:
            return UNREAD, cell, label, number
        _pages[number] = page
        return UNREAD, cell, label, page

    return keep


def as_bytes(cell: Any) -> bytes:
    """Return what the database gave for a cell as bytes."""
    # SQLite keeps a plain column's text or number as it was: no cell, and still not to be lost.
    return bytes(cell) if isinstance(cell, memoryview | bytearray) else str(cell).encode()
