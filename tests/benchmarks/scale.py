"""``python -m tests.benchmarks.scale``: what a data set costs in requests, bytes and seconds, on paper.

Prints the table of docs/scale.md, then has the model checked against the emulator with its rate limit on
(:mod:`tests.benchmarks.simulation`). Takes about three minutes, nearly all of them waiting for the limit.
"""

from dataclasses import dataclass
from datetime import timedelta

from django_workos_vault.backends.rate_limit import REQUESTS, WINDOW

CELL_BYTES, BLOB_BYTES, REFERENCE_BYTES = 73, 206, 72
SEAL_SECONDS = 2.6e-6


@dataclass(frozen=True)
class Workload:
    """``cells`` values of ``organizations``, each with a key context of its own."""

    cells: int
    organizations: int
    years: float = 1.0
    rotate_after: timedelta = timedelta(days=30)
    max_messages: int = 2**31

    @property
    def keys(self) -> int:
        """Data keys made: one an organization and period in which it writes, more where budgets run out."""
        periods = max(1, round(self.years * 365 / self.rotate_after.days))
        written_in = min(self.organizations * periods, self.cells)
        return max(written_in, -(-self.cells // self.max_messages))

    @property
    def cold_read_requests(self) -> int:
        """Requests to read everything once in one process: one for each data key."""
        return self.keys

    @property
    def envelope_bytes(self) -> tuple[int, int]:
        """Bytes beyond the plaintext of all cells, inline and reference."""
        return self.cells * (CELL_BYTES + BLOB_BYTES), self.cells * REFERENCE_BYTES + self.keys * 700


def seconds(requests: int) -> float:
    """Return how long so many requests take at the whole rate limit, spread evenly."""
    return requests * WINDOW / REQUESTS


def seconds_at_once(requests: int, limit: int, each: float) -> float:
    """Return how long they take when ``limit`` go out in a row, ``each`` seconds apart, in every window."""
    windows, last = divmod(requests - 1, limit)
    return windows * WINDOW + (last + 1) * each


def table() -> str:
    """Return the model's table in Markdown."""
    lines = [
        "| cells | organizations | data keys a year | their quota | inline | reference | sealing, one core |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for cells in (10**6, 10**8, 10**10):
        for organizations in (10**1, 10**2, 10**3, 10**4, 10**5, 10**6):
            load = Workload(cells, organizations)
            inline, reference = load.envelope_bytes
            lines.append(
                f"| {cells:.0e} | {organizations:,} | {load.keys:,} | {_span(seconds(load.keys))} | "
                f"{inline / 1e9:,.1f} GB | {reference / 1e9:,.1f} GB | {_span(cells * SEAL_SECONDS)} |"
            )
    return "\n".join(lines).replace("e+0", "e").replace("e+", "e")


def _span(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} s"


def main() -> None:
    from tests.benchmarks.simulation import simulate

    print(table())
    print()
    simulate()


if __name__ == "__main__":
    main()
