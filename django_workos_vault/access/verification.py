"""Is the chain of access records whole? If not, where does it break first?"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db import DatabaseError, models

from django_workos_vault.access.entries import ROW, mac_of, proof_of, same
from django_workos_vault.models import AccessChain, AccessRecord

_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Break:
    """The first place where the chain is not whole: the record's number, and what is wrong there."""

    sequence: int
    message: str


@dataclass(frozen=True, slots=True)
class Verified:
    """What was found: the first and last number on record, the last HMAC, the first break or None.

    ``records`` of them were seen. ``mac`` is worth keeping elsewhere: what it stands for cannot be undone
    without its being noticed.
    """

    first: int
    last: int
    mac: str
    records: int
    found: Break | None


class Broken(Exception):
    """The chain breaks, at :attr:`found`."""

    def __init__(self, found: Break) -> None:
        super().__init__(found.message)
        self.found = found


def verify(key: bytes, alias: str) -> Verified:
    """Go through the whole chain in the database ``alias``. Records may be written meanwhile."""
    while True:
        chain = AccessChain.objects.using(alias).filter(pk=ROW).first()
        verified = _verify(chain, key, alias)
        now = AccessChain.objects.using(alias).filter(pk=ROW).first()
        pruned_meanwhile = chain and now and chain.pruned_sequence != now.pruned_sequence
        if verified.found is None or not pruned_meanwhile:
            return verified


def _verify(chain: AccessChain | None, key: bytes, alias: str) -> Verified:
    rows = AccessRecord.objects.using(alias)
    if chain is None:
        newest = rows.aggregate(last=models.Max("sequence"))["last"]
        found = None if newest is None else Break(newest, "The row that holds the end of the chain is gone.")
        return Verified(0, newest or 0, "", 0, found)
    seen = 0
    try:
        if not same(chain.proof, proof_of(key, chain)):
            raise Broken(
                Break(_number(chain.sequence), "The row that holds the end of the chain was changed.")
            )
        for _ in walk(chain, key, alias, up_to=chain.sequence):
            seen += 1
        newest = rows.aggregate(last=models.Max("sequence"))["last"] or 0
        end = AccessChain.objects.using(alias).get(pk=chain.pk).sequence
        if newest > end:
            raise Broken(Break(end + 1, f"Record {end + 1} was put behind the end of the chain."))
        oldest = rows.aggregate(first=models.Min("sequence"))["first"]
        if oldest is not None and oldest <= chain.pruned_sequence:
            raise Broken(Break(oldest, f"Record {oldest} is one that was pruned: somebody put it back."))
    except Broken as broken:
        return Verified(_number(chain.pruned_sequence) + 1, _number(chain.sequence), "", seen, broken.found)
    return Verified(chain.pruned_sequence + 1, chain.sequence, chain.mac, seen, None)


def walk(chain: AccessChain, key: bytes, alias: str, *, up_to: int) -> Iterator[AccessRecord]:
    """Yield the records behind the pruned ones, to number ``up_to``. Raises Broken at the first break."""
    last, previous = chain.pruned_sequence, chain.pruned_mac
    while last < up_to:
        batch = _batch(alias, last, up_to)
        if not batch:
            raise Broken(Break(last + 1, _missing(last + 1, up_to)))
        for sequence, record in batch:
            if sequence != last + 1:
                raise Broken(Break(last + 1, _missing(last + 1, sequence - 1)))
            if record is None or not _is_intact(key, record):
                raise Broken(Break(sequence, f"Record {sequence} was changed, or moved there."))
            if not same(record.previous, previous):
                raise Broken(Break(sequence, f"Record {sequence} does not follow record {last}."))
            yield record
            last, previous = sequence, record.mac
    if up_to == chain.sequence and not same(chain.mac, previous):
        raise Broken(Break(last, f"Record {last} is not the one that was written last."))


def _is_intact(key: bytes, record: AccessRecord) -> bool:
    at: object = record.at  # None for what is no time: SQLite keeps anything in any column
    return at is not None and same(record.mac, mac_of(key, record))


def _batch(alias: str, after: int, up_to: int) -> list[tuple[int, AccessRecord | None]]:
    """Return the next records with their numbers, None for one that Django cannot read."""
    rows = AccessRecord.objects.using(alias).filter(sequence__gt=after, sequence__lte=up_to)
    rows = rows.order_by("sequence")
    try:
        return [(record.sequence, record) for record in rows[:_AT_ONCE]]
    except DatabaseError:
        raise
    except Exception:  # SQLite keeps anything in any column
        numbers = list(rows.values_list("sequence", flat=True)[:_AT_ONCE])
        return [(number, _readable(rows, number)) for number in numbers]


def _readable(rows: models.QuerySet[AccessRecord], number: int) -> AccessRecord | None:
    try:
        return rows.get(sequence=number)
    except DatabaseError:
        raise
    except Exception:
        return None


def _missing(first: int, last: int) -> str:
    return f"Record {first} is missing." if first == last else f"Records {first} to {last} are missing."


def _number(stored: Any) -> int:
    return stored if isinstance(stored, int) else 0
