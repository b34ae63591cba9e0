"""``python -m tests.benchmarks.reencryption``: how fast the cells of a table are replaced, side by side.

Rows of three encrypted fields, of one key context and of as many as ``--tenants``. Every contender goes
through the table in turn, in each of ``--repeats``: a loop over ``save()`` (through ``--saves`` rows), one
UPDATE that writes the same bytes, ``vault_reencrypt`` by one and by two workers, and ``--rekey``. Needs
PostgreSQL: ``VAULT_TEST_DATABASE=postgresql``. Requests are those of the workers, to a local vault.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.benchmarks.settings"

import django

django.setup()

from django.db import connection  # noqa: E402

from django_workos_vault import vaults  # noqa: E402
from django_workos_vault.maintenance.cells import encrypted_fields  # noqa: E402
from django_workos_vault.maintenance.engine import runs  # noqa: E402
from django_workos_vault.maintenance.engine.work import Worker  # noqa: E402
from tests.benchmarks.__main__ import NAME, NOTES, SSN, machine, tables  # noqa: E402
from tests.benchmarks.models import CONTENDERS, Tenanted  # noqa: E402

BATCH = 5000


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
    contenders: dict[str, Callable[[], tuple[float, int, int]]] = {
        "`save()` in a loop": lambda: _save(model, options.saves),
        "one UPDATE of the same bytes": lambda: _update(model),
        "`vault_reencrypt`": lambda: _run(model, "reseal", 1),
        "`vault_reencrypt`, two workers": lambda: _run(model, "reseal", 2),
        "`vault_reencrypt --rekey`": lambda: _run(model, "rekey", 1),
    }
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    requests = dict.fromkeys(contenders, 0)
    for turn in range(options.repeats):
        order = list(contenders)
        for name in order[turn % len(order) :] + order[: turn % len(order)]:
            with connection.cursor() as cursor:
                cursor.execute(f"VACUUM ANALYZE {model._meta.db_table}")
                cursor.execute("CHECKPOINT")
            seconds, rows, requests[name] = contenders[name]()
            taken[name].append(seconds / rows)
    print(f"| {tenants:,} key context{'s' * (tenants > 1)} | us a row | rows a second | requests |")
    print("| --- | ---: | ---: | ---: |")
    each = {name: statistics.median(times) for name, times in taken.items()}
    for name, seconds in each.items():
        print(f"| {name} | {seconds * 1e6:.1f} | {1 / seconds:,.0f} | {requests[name]} |")
    saved, updated, one, two, rekeyed = each.values()
    print(
        f"\n{saved / one:.1f} times the loop (aim 10), {updated / one:.2f} of the UPDATE (0.5), two workers "
        f"{one / two:.2f} times one (1.6), rekeying {one / rekeyed:.2f} times resealing (1).\n",
        flush=True,
    )


def _save(model: Any, rows: int) -> tuple[float, int, int]:
    began = time.perf_counter()
    for row in model.objects.order_by("pk")[:rows].iterator():
        row.save()
    return time.perf_counter() - began, rows, 0


def _update(model: Any) -> tuple[float, int, int]:
    began = time.perf_counter()
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {model._meta.db_table} SET name = name, ssn = ssn, notes = notes")
        return time.perf_counter() - began, cursor.rowcount, 0


def _run(model: Any, operation: str, workers: int) -> tuple[float, int, int]:
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
    requests = sum(int(process.communicate()[0].split()[-1]) for process in processes)
    seconds = time.perf_counter() - began
    told = runs.progress(runs.find(run.pk))
    counts = told.counts.values()
    assert all(each.renewed == told.rows for each in counts), counts
    return seconds, told.rows, requests


def _work(database: str, number: str) -> None:
    """Be a worker, whose start is not measured: it is ready when it says so."""
    connection.settings_dict["NAME"] = database
    worker = Worker(runs.find(int(number)))
    print("ready", flush=True)
    sys.stdin.readline()
    before = vaults["default"].stats().requests
    worker.work()
    print(vaults["default"].stats().requests - before, flush=True)


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
