"""The keys of many rows at a time: of those about to be read, and of those that ``bulk_create()`` writes."""

import sys
from collections.abc import Iterable, Iterator
from itertools import dropwhile, islice
from types import FrameType
from typing import TYPE_CHECKING

from django.db.models import Model
from django.db.models.query import QuerySet

from django_workos_vault.cipher import Cipher
from django_workos_vault.context import KeyContext
from django_workos_vault.exceptions import InvalidVaultConfiguration
from django_workos_vault.fields.cell import NEIGHBOURS, Sealed
from django_workos_vault.frame_locals import leaves_no_locals

if TYPE_CHECKING:
    from django_workos_vault.fields.field import EncryptedFieldMixin


@leaves_no_locals
def load_keys(instances: Iterable[Model]) -> None:
    """Unwrap the keys of every stored cell of ``instances`` that are not in memory, all together.

    Keys that cannot be had are passed over: reading their values raises the reason.
    """
    for cipher, cells in _cells(instances).items():
        cipher.load_keys(cells)


@leaves_no_locals
async def aload_keys(instances: Iterable[Model]) -> None:
    """:func:`load_keys` for async code, to be awaited before values are read in an event loop."""
    for cipher, cells in _cells(instances).items():
        await cipher.aload_keys(cells)


def contexts_of_batch(field: "EncryptedFieldMixin", instance: Model) -> Iterator[KeyContext]:
    """Yield the key contexts of ``instance`` and of the rows that follow it in the same ``bulk_create()``.

    Django hands rows to a field one by one. The batch is found on the stack, which is only searched when a
    key is not in memory.
    """
    following = dropwhile(lambda row: row is not instance, _rows_of_bulk_create() or [instance])
    for row in islice(following, min(NEIGHBOURS, field.vault.policy.cache_size)):
        try:
            yield field.context_for(row)
        except InvalidVaultConfiguration:
            continue  # sealing that row will raise it


def _rows_of_bulk_create() -> list[Model]:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code is QuerySet.bulk_create.__code__:
            rows: list[Model] = frame.f_locals["objs"]
            return rows
        frame = frame.f_back
    return []


def _cells(instances: Iterable[Model]) -> dict[Cipher, list[bytes]]:
    cells: dict[Cipher, list[bytes]] = {}
    for instance in instances:
        for held in instance.__dict__.values():
            if type(held) is Sealed:
                cells.setdefault(held.field.cipher, []).append(held.cell)
    return cells
