"""The check of the model in docs/scale.md: key rings at work against the emulator with its rate limit on.

First below the limit; then beyond it, by one process that keeps to its share, and by three that share the
quota without knowing of each other. What they took stands beside what the model gives.
"""

import multiprocessing
import os
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, contextmanager, suppress
from secrets import token_hex
from typing import TYPE_CHECKING, Any

import django
from django.conf import settings

if not settings.configured:
    settings.configure(
        INSTALLED_APPS=["django_workos_vault"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    )
    django.setup()

from django.core.management import call_command

from django_workos_vault.backends.base import VaultBackend
from django_workos_vault.backends.batch import CONCURRENCY
from django_workos_vault.backends.local import LocalVault
from django_workos_vault.backends.rate_limit import REQUESTS, WINDOW
from django_workos_vault.backends.workos import WorkOSVault
from django_workos_vault.cipher import Cipher
from django_workos_vault.context import KeyContext
from django_workos_vault.emulator import Emulator, EmulatorServer, Faults
from django_workos_vault.exceptions import VaultRateLimited
from django_workos_vault.keyring.policy import DataKeyPolicy
from django_workos_vault.keyring.ring import KeyRing
from django_workos_vault.registry import DatabaseRegistry
from tests.benchmarks.scale import BLOB_BYTES, CELL_BYTES, Workload, seconds_at_once

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

VALUE = b"123-45-6789"
#: processes, cold keys each, rate_limit_share, deadline
BEYOND = ((1, 3500, 0.5, 15.0), (1, 3500, 0.5, 90.0), (1, 7000, 1.0, 90.0), (3, 2500, 0.5, 90.0))


def simulate() -> None:
    """Print what each simulation took, and in brackets what the model gives."""
    call_command("migrate", run_syncdb=True, verbosity=0)
    for organizations, rows_each in ((10, 1000), (100, 100), (1000, 10)):
        below_the_limit(organizations, rows_each)
    print()
    print("| processes x cold keys | share | deadline | values opened | time | answered 429 |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: |")
    each = cold_reads(1, 1000, 0.5, 15.0) / 1000
    for processes, keys, share, deadline in BEYOND:
        cold_reads(processes, keys, share, deadline, each)


class Published(Emulator):
    """An emulator with Vault's rate limit, which counts the requests that it turns away."""

    def __init__(self, vault: LocalVault, api_key: str) -> None:
        super().__init__(vault, [api_key], Faults(rate_limit=REQUESTS))
        self.turned_away: list[str] = []

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        def counting(status: str, *rest: Any) -> Any:
            if status.startswith("429"):
                self.turned_away.append(status)
            return start_response(status, *rest)

        return super().__call__(environ, counting)


@contextmanager
def emulated() -> Iterator[tuple[LocalVault, Published, dict[str, Any]]]:
    """Run an emulator; yield the vault behind it, the emulator, and the options of a client."""
    api_key = f"sk_test_{token_hex(16)}"
    vault = LocalVault(master_key=os.urandom(32), objects_file=":memory:")
    with EmulatorServer(emulator := Published(vault, api_key)) as server:
        yield vault, emulator, {"api_key": api_key, "base_url": server.url}


def cipher_over(backend: VaultBackend, keys: int) -> Cipher:
    """Return a cipher whose key ring holds so many keys, over an empty registry."""
    name = token_hex(8)
    ring = KeyRing(
        vault=name,
        backend=backend,
        registry=DatabaseRegistry(name),
        policy=DataKeyPolicy(cache_size=max(1024, keys)),
    )
    return Cipher(ring, "app.Patient.ssn")


def sealed(cipher: Cipher, organizations: int, cells: int) -> list[bytes]:
    """Return so many cells, of each organization in turn."""
    contexts = [KeyContext({"organization_id": f"org_{n}"}) for n in range(organizations)]
    cipher.keyring.prepare(contexts)
    return [cipher.seal(VALUE, contexts[n % organizations]) for n in range(cells)]


def below_the_limit(organizations: int, rows_each: int) -> None:
    """Seal and read cold through the emulator; print that beside the model."""
    load = Workload(organizations * rows_each, organizations, years=30 / 365)
    with emulated() as (_, _, client):
        backend = WorkOSVault(**client)
        cipher = cipher_over(backend, organizations)
        cells = sealed(cipher, organizations, load.cells)
        made = backend.requests_made
        cipher.keyring.forget()
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
            f"{len(cells[0]) - len(VALUE)} bytes a cell (model {CELL_BYTES + BLOB_BYTES})"
        )
        cipher.keyring.close()
        backend.close()


def cold_reads(processes: int, keys: int, share: float, deadline: float, each: float | None = None) -> float:
    """Have processes read ``keys`` cold keys each, all at once; print what that took, return the seconds.

    ``each`` is the seconds that a key takes where nothing limits it. All read the same cells, which the vault
    behind the emulator sealed: the quota is untouched when they begin.
    """
    total = processes * keys
    limit = int(REQUESTS * share) if processes == 1 else REQUESTS
    windows = (total - 1) // limit
    expected = total if deadline > WINDOW else min(total, limit)
    turned_away = processes * CONCURRENCY * windows if processes * share > 1 else 0
    with emulated() as (vault, emulator, client):
        cells = sealed(cipher_over(vault, keys), keys, keys)
        client |= {"rate_limit_share": share, "deadline": deadline}
        with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
            done = [
                work.result() for work in [pool.submit(read_cold, client, cells) for _ in range(processes)]
            ]
    opened = sum(right for right, _, _ in done)
    took = max(end for _, _, end in done) - min(begin for _, begin, _ in done)
    model = "" if each is None else f" ({seconds_at_once(expected, limit, each):.1f} s)"
    print(
        f"| {processes} x {keys:,} | {share} | {deadline:.0f} s | {opened:,} ({expected:,}) | "
        f"{took:.1f} s{model} | {len(emulator.turned_away)} ({turned_away}) |",
        flush=True,
    )
    return took


def read_cold(client: dict[str, Any], cells: list[bytes]) -> tuple[int, float, float]:
    """Open ``cells``; return how many gave their value, and when the first request began and the last ended.

    Runs in a process of its own. Cells whose key was refused for the rate limit are passed over.
    """
    with closing(WorkOSVault(**client)) as backend:
        cipher = cipher_over(backend, len(cells))
        began = time.monotonic()
        cipher.load_keys(cells)
        ended = time.monotonic()
        opened = 0
        for cell in cells:
            with suppress(VaultRateLimited):
                opened += cipher.open(cell) == VALUE
        return opened, began, ended
