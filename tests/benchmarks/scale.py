"""``python -m tests.benchmarks.scale``: what a data set costs in requests, bytes and seconds, on paper.

Prints the table of docs/scale.md, then checks the model: a small fleet of rings works against the emulator
with its rate limit on, and the requests and seconds it took stand beside those the model gives.
"""

import time
from dataclasses import dataclass
from datetime import timedelta

from django_workos_vault.backends.workos import WorkOSVault
from django_workos_vault.cipher import Cipher
from django_workos_vault.context import KeyContext
from django_workos_vault.emulator import run_emulator
from django_workos_vault.keyring import KeyRing
from django_workos_vault.policy import DataKeyPolicy
from django_workos_vault.records import Addition, KeyRecord, Lease

REQUESTS_A_SECOND = 6000 / 60
SHARE = 0.5  # rate_limit_share: what one process allows itself
CELL_BYTES, BLOB_BYTES, REFERENCE_BYTES = 73, 206, 72
SEAL_SECONDS, OPEN_SECONDS = 2.0e-6, 2.0e-6


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

    def seconds(self, requests: int, share: float = 1.0) -> float:
        """Seconds that so many requests take at least, at a share of the rate limit of a whole API key."""
        return requests / (REQUESTS_A_SECOND * share)


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
                f"| {cells:.0e} | {organizations:,} | {load.keys:,} | {_span(load.seconds(load.keys))} | "
                f"{inline / 1e9:,.1f} GB | {reference / 1e9:,.1f} GB | {_span(cells * SEAL_SECONDS)} |"
            )
    return "\n".join(lines).replace("e+0", "e").replace("e+", "e")


def _span(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} s"


class MemoryRegistry:
    """A registry for one process without a database: what the simulation measures is Vault."""

    def __init__(self) -> None:
        self._records: dict[str, KeyRecord] = {}

    def current(self, contexts: list[KeyContext]) -> dict[str, KeyRecord]:
        return {c.digest: self._records[c.digest] for c in contexts if c.digest in self._records}

    def add(self, additions: list[Addition]) -> list[Lease]:
        for addition in additions:
            self._records[addition.context.digest] = addition.record
        return [Lease(addition.messages, _Committed()) for addition in additions]

    def lease(self, wanted: list[tuple[KeyRecord, int]], limit: int) -> list[Lease]:
        return [Lease(min(messages, limit), _Committed()) for _, messages in wanted]


class _Committed:
    def committed(self) -> bool:
        return True

    def pending(self) -> bool:
        return False

    def commits_with(self, database: str) -> bool:
        return False


def simulate(organizations: int, rows_each: int, rate_limit: int) -> None:
    """Seal and open so many rows against the emulator, and print what that took beside the model."""
    load = Workload(organizations * rows_each, organizations, years=30 / 365)
    with run_emulator() as emulator:
        emulator.faults.rate_limit = rate_limit
        backend = WorkOSVault(
            api_key=emulator.api_key, base_url=emulator.url, rate_limit_share=min(1.0, rate_limit / 6000)
        )
        policy = DataKeyPolicy(cache_size=max(1024, organizations))
        ring = KeyRing(vault="default", backend=backend, registry=MemoryRegistry(), policy=policy)  # type: ignore[arg-type]
        cipher = Cipher(ring, "app.Patient.ssn")
        contexts = [KeyContext({"organization_id": f"org_{n}"}) for n in range(organizations)]
        ring.prepare(contexts)
        cells = [cipher.seal(b"123-45-6789", contexts[n % organizations]) for n in range(load.cells)]
        made = backend.requests_made
        ring.forget()
        started = time.perf_counter()
        cipher.load_keys(cells)
        unwrapped = time.perf_counter() - started
        started = time.perf_counter()
        for cell in cells:
            cipher.open(cell)
        opened = (time.perf_counter() - started) / len(cells)
        print(
            f"* {organizations:,} organizations, {load.cells:,} cells: {made:,} requests to seal "
            f"(model {load.keys:,}), {backend.requests_made - made:,} to read cold in {unwrapped:.1f} s "
            f"(model {load.cold_read_requests:,}), {opened * 1e6:.1f} us a cell to open, "
            f"{len(cells[0]) - 11} bytes a cell (model {CELL_BYTES + BLOB_BYTES})"
        )
        ring.close()
        backend.close()


def main() -> None:
    print(table())
    print()
    for organizations, rows_each in ((10, 1000), (100, 100), (1000, 10)):
        simulate(organizations, rows_each, rate_limit=6000)


if __name__ == "__main__":
    main()
