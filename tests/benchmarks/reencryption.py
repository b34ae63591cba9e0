"""``python -m tests.benchmarks.reencryption``: how fast the cells of a table are replaced, side by side.

Rows of three encrypted fields, of one key context and of as many as ``--tenants``. Every contender goes
through the table in turn, in each of ``--repeats``: a loop over ``save()`` (through ``--saves`` rows), one
UPDATE that writes the same bytes, a client that reads the cells and sends the same bytes back,
``vault_reencrypt`` by one and by two workers, and ``--rekey``. Needs PostgreSQL on Linux:
``VAULT_TEST_DATABASE=postgresql``. Requests are those of the workers, to a local vault.
CPU time is that of the workers' processes, and of the server's processes that served them.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.benchmarks.settings"

import django

django.setup()

from django.db import connection  # noqa: E402
from psycopg import Cursor  # noqa: E402

from django_workos_vault import vaults  # noqa: E402
from django_workos_vault.maintenance.cells import encrypted_fields  # noqa: E402
from django_workos_vault.maintenance.engine import runs  # noqa: E402
from django_workos_vault.maintenance.engine.work import Worker  # noqa: E402
from tests.benchmarks.__main__ import NAME, NOTES, SSN, machine, tables  # noqa: E402
from tests.benchmarks.models import CONTENDERS, Tenanted  # noqa: E402

BATCH = 5000
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Taken:
    """What a contender took: seconds, CPU seconds of clients and of the server's processes for them."""

    rows: int
    seconds: float
    client: float
    server: float
    requests: int = 0

    def __str__(self) -> str:
        each = (1e6 * part / self.rows for part in (self.seconds, self.client, self.server))
        wall, client, server = (f"{part:.1f}" for part in each)
        return f"{wall} | {client} | {server} | {self.rows / self.seconds:,.0f} | {self.requests}"


def main() -> None:
    parser = argparse.ArgumentParser("python -m tests.benchmarks.reencryption", description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--tenants", type=int, default=100)
    parser.add_argument("--saves", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--profile", action="store_true", help="of one worker that reseals")
    parser.add_argument("--work", nargs=2, metavar=("DATABASE", "RUN"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        _work(*options.work)
        return
    if connection.vendor != "postgresql":
        parser.error("set VAULT_TEST_DATABASE=postgresql")
    with tables():
        print(f"{machine()}, {options.rows:,} rows of three fields, median of {options.repeats}.\n")
        for tenants, model in ((1, CONTENDERS["ours"]), (options.tenants, Tenanted)):
            _fill(model, options.rows, tenants)
            if options.profile:
                _profile(model)
            else:
                _compare(model, tenants, options)


def _fill(model: Any, rows: int, tenants: int) -> None:
    for start in range(0, rows, BATCH):
        numbers = range(start, min(start + BATCH, rows))
        model.objects.bulk_create(
            model(number=n, place=f"org_{n % tenants}", name=NAME, ssn=SSN, notes=NOTES) for n in numbers
        )


def _compare(model: Any, tenants: int, options: argparse.Namespace) -> None:
    contenders: dict[str, Callable[[], Taken]] = {
        "`save()` in a loop": lambda: _taken(lambda: _save(model, options.saves)),
        "one UPDATE of the same bytes, on the server": lambda: _taken(lambda: _update(model)),
        "the same bytes read, and sent back by a client": lambda: _taken(lambda: _send_back(model)),
        "`vault_reencrypt`": lambda: _run(model, "reseal", 1),
        "`vault_reencrypt`, two workers": lambda: _run(model, "reseal", 2),
        "`vault_reencrypt --rekey`": lambda: _run(model, "rekey", 1),
    }
    taken: dict[str, list[Taken]] = {name: [] for name in contenders}
    for turn in range(options.repeats):
        order = list(contenders)
        for name in order[turn % len(order) :] + order[: turn % len(order)]:
            with connection.cursor() as cursor:
                cursor.execute(f"VACUUM ANALYZE {model._meta.db_table}")
                cursor.execute("CHECKPOINT")
            taken[name].append(contenders[name]())
    print(
        f"| {tenants:,} key context{'s' * (tenants > 1)} | us a row | CPU | "
        "server's | rows a second | requests |"
    )
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    medians = {
        name: sorted(times, key=lambda each: each.seconds / each.rows)[len(times) // 2]
        for name, times in taken.items()
    }
    for name, each in medians.items():
        print(f"| {name} | {each} |")
    saved, updated, sent, one, two, rekeyed = (each.seconds / each.rows for each in medians.values())
    print(
        f"\n{saved / one:.1f} times the loop (aim 10), {updated / one:.2f} of the server's UPDATE (0.5), "
        f"{sent / one:.2f} of the client's, two workers {one / two:.2f} times one (1.6), rekeying "
        f"{one / rekeyed:.2f} times resealing (1).\n",
        flush=True,
    )


def _taken(work: Callable[[], int]) -> Taken:
    server, client, began = _server_seconds(), time.process_time(), time.perf_counter()
    rows = work()
    seconds = time.perf_counter() - began
    return Taken(rows, seconds, time.process_time() - client, _server_seconds() - server)


def _server_seconds() -> float:
    """Return the CPU time of the server's process for this connection."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        stat = Path(f"/proc/{cursor.fetchone()[0]}/stat").read_text()
    return sum(map(int, stat.rpartition(")")[2].split()[11:13])) / TICKS


def _save(model: Any, rows: int) -> int:
    for row in model.objects.order_by("pk")[:rows].iterator():
        row.save()
    return rows


def _update(model: Any) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {model._meta.db_table} SET name = name, ssn = ssn, notes = notes")
        return int(cursor.rowcount)


def _send_back(model: Any) -> int:
    """Read the bytes and send them back as fast as a client can: neither sealed nor compared."""
    table, last, done = model._meta.db_table, 0, 0
    read = f"SELECT id, name, ssn, notes FROM {table} WHERE id > %s ORDER BY id LIMIT {BATCH}"
    arrays = "%b::bigint[], %b::bytea[], %b::bytea[], %b::bytea[]"
    update = (
        f"UPDATE {table} AS t SET name = v.name, ssn = v.ssn, notes = v.notes "
        f"FROM unnest({arrays}) AS v (id, name, ssn, notes) WHERE t.id = v.id"
    )
    connection.ensure_connection()
    while rows := Cursor(connection.connection).execute(read, [last], binary=True).fetchall():
        Cursor(connection.connection).execute(update, [list(column) for column in zip(*rows, strict=True)])
        last, done = rows[-1][0], done + len(rows)
    return done


def _run(model: Any, operation: str, workers: int) -> Taken:
    run = runs.begin(encrypted_fields(model), operation, using="default")
    command = [sys.executable, "-m", __spec__.name, "--work", connection.settings_dict["NAME"], str(run.pk)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes: list[Any] = [subprocess.Popen(command, **pipes) for _ in range(workers)]  # type: ignore[call-overload]
    for process in processes:
        process.stdout.readline()
    began = time.perf_counter()
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [process.communicate()[0].split()[-3:] for process in processes]
    seconds = time.perf_counter() - began
    requests, client, server = (sum(map(float, each)) for each in zip(*answers, strict=True))
    told = runs.progress(runs.find(run.pk))
    counts = told.counts.values()
    assert all(each.renewed == told.rows for each in counts), counts
    return Taken(told.rows, seconds, client, server, int(requests))


def _work(database: str, number: str) -> None:
    """Be a worker, whose start is not measured: it is ready when it says so."""
    connection.settings_dict["NAME"] = database
    worker = Worker(runs.find(int(number)))
    print("ready", flush=True)
    sys.stdin.readline()
    before = vaults["default"].stats().requests
    server, client = _server_seconds(), time.process_time()
    worker.work()
    requests = vaults["default"].stats().requests - before
    print(requests, time.process_time() - client, _server_seconds() - server, flush=True)


def _profile(model: Any) -> None:
    import cProfile
    import pstats

    run = runs.begin(encrypted_fields(model), "reseal", using="default")
    profile = cProfile.Profile()
    began = time.perf_counter()
    profile.runcall(Worker(run).work)
    print(model._meta.db_table, time.perf_counter() - began)
    pstats.Stats(profile).sort_stats("tottime").print_stats(35)


if __name__ == "__main__":
    main()
