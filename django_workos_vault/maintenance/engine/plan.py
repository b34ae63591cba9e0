"""What a run would find and cost: rows by state, keys, requests, minutes, bytes."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from django.db.models import Model, QuerySet

from django_workos_vault.backends.rate_limit import REQUESTS
from django_workos_vault.maintenance.cells import BadCell, batches

#: Rows of a model that are looked at: all where there are no more, else half the oldest and half the newest.
SAMPLE = 2_000
_AT_A_TIME = 500


@dataclass
class ColumnPlan:
    """One column. ``states`` counts cells by what they are in a respect: ``{"envelope": {"inline": 3}}``.

    ``rows`` is the table's number of rows, counted or estimated; the rest is of the ``looked_at``.
    """

    column: str
    rows: int
    looked_at: int = 0
    null: int = 0
    renewed: int = 0
    bytes: int = 0
    states: dict[str, dict[str, int]] = field(default_factory=dict)
    unreadable: list[BadCell] = field(default_factory=list)

    def count(self, **respects: str) -> None:
        """Count one cell in several respects."""
        for respect, state in respects.items():
            counts = self.states.setdefault(respect, {})
            counts[state] = counts.get(state, 0) + 1


@dataclass
class Plan:
    """All columns. ``requests`` are to Vault, ``disk`` the bytes of the rewrite until they are cleaned up.

    ``disk_free`` are the bytes there are, None where the database does not tell. Where rows were sampled,
    ``is_sample``, keys and requests are at least that many.
    """

    columns: list[ColumnPlan]
    is_sample: bool = False
    keys: int = 0
    contexts: int = 0
    requests: int = 0
    disk: int = 0
    disk_free: int | None = None

    @property
    def minutes(self) -> float:
        """How long the requests take at the published limit of an API key, with nobody else's."""
        return self.requests / REQUESTS


@dataclass
class FilePlan(Plan):
    """A plan of files: ``disk`` is what is needed beside the old ones, ``rewritten`` the bytes to write."""

    rewritten: int = 0


def is_sampled(total: int) -> bool:
    """Whether so many rows are more than are looked at."""
    return total > SAMPLE


def looked_at(rows: "QuerySet[Model]", total: int) -> Iterator[list[Model]]:
    """Yield ``rows``, of which there are ``total``, in lists; of many, the oldest and the newest."""
    if not is_sampled(total):
        yield from batches(rows, _AT_A_TIME)
        return
    oldest = list(rows.order_by("pk")[: SAMPLE // 2])
    yield oldest
    seen = {row.pk for row in oldest}
    yield [row for row in rows.order_by("-pk")[: SAMPLE // 2] if row.pk not in seen]
