"""What a blind index would show of a column to somebody who can read the table, counted beforehand."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from math import floor, log2
from secrets import token_bytes
from typing import Any

from django.db.models import Model

from django_workos_vault import blind
from django_workos_vault.blind import FULL_BITS, MIN_BITS, CaseFolded, Exact, Kind
from django_workos_vault.fields.field import EncryptedField
from django_workos_vault.maintenance import cells
from django_workos_vault.maintenance.cells import CannotOpen, CellReader
from django_workos_vault.maintenance.patience import patiently

#: Different values that share a digest on average, where truncation is to hide which rows are equal.
VALUES_A_DIGEST = 4


@dataclass(frozen=True, slots=True)
class Plan:
    """What an index shows. ``most_frequent`` is the number of rows with the commonest value.

    ``bits`` is the truncation that lets about four values share a digest, None when there are too few values
    for that; ``rows_opened`` is how many rows a lookup would then open on average.
    """

    index: str
    rows: int
    distinct: int
    most_frequent: int
    bits: int | None
    rows_opened: int

    @property
    def reveals(self) -> bool:
        """Whether frequencies alone would tell values apart: too few of them, or one far too common."""
        return self.bits is None or self.most_frequent * 10 > self.rows


class Planner:
    """Counts the values of one column, for its declared blind indexes or for those one would begin with.

    Values are kept as digests under a key of this run alone.
    """

    def __init__(self, field: EncryptedField, using: str) -> None:
        self.field = field
        self.null = 0
        self.left = 0
        self._using = using
        self._key = token_bytes(32)
        self._kinds: list[Kind] = [kind for _, kind in field.digests.slots] or [Exact(), CaseFolded()]
        self._counts: dict[Kind, Counter[bytes]] = {kind: Counter() for kind in self._kinds}

    def total(self) -> int:
        """Return the number of rows to go through."""
        return cells.rows([self.field], self._using).count()

    def batches(self, size: int = 500) -> Iterator[int]:
        """Open every row, yielding their number after each batch. Raises VaultError in an outage."""
        reader = CellReader()
        for batch in cells.batches(cells.rows([self.field], self._using), size):
            for instance in batch:
                self._count(reader, instance)
            yield len(batch)

    def plans(self) -> list[Plan]:
        """Return what each index would show of the rows counted so far."""
        return [self._plan(kind) for kind in self._kinds]

    def _count(self, reader: CellReader, instance: Model) -> None:
        if cells.is_null(self.field, instance):
            self.null += 1
            return
        try:
            value: Any = patiently(partial(reader.open, self.field, instance))
        except CannotOpen:
            self.left += 1
            return
        for kind, counts in self._counts.items():
            message = self.field.digests.stored_message(kind, value, instance)
            if message is not None:
                counts[blind.digest(self._key, message)[:16]] += 1

    def _plan(self, kind: Kind) -> Plan:
        counts = self._counts[kind]
        bits = floor(log2(len(counts) / VALUES_A_DIGEST)) if len(counts) >= VALUES_A_DIGEST else 0
        enough = bits >= MIN_BITS
        return Plan(
            index=kind.name,
            rows=counts.total(),
            distinct=len(counts),
            most_frequent=max(counts.values(), default=0),
            bits=min(bits, FULL_BITS) if enough else None,
            rows_opened=round(counts.total() / 2**bits) if enough else counts.total(),
        )
