"""``python -m tests.benchmarks``: what encryption costs, side by side, in one interleaved run.

Prints a Markdown table. ``VAULT_TEST_DATABASE`` picks SQLite (the default) or PostgreSQL. Every contender
takes its turn within each repeat, so that a busy machine slows all of them; the medians are compared.
"""

import argparse
import gc
import os
import platform
import statistics
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from itertools import count
from typing import Any

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.benchmarks.settings"

import django

django.setup()

from django.db import connection, transaction  # noqa: E402

from django_workos_vault import vaults  # noqa: E402
from django_workos_vault.fields import stored_cell  # noqa: E402
from tests.benchmarks.models import CONTENDERS, SEARCHED, Row, floor_digest  # noqa: E402

Run = Callable[[], Any]
#: Given a model, returns what gets a run ready, outside of the time that is taken.
Make = Callable[[type[Row]], Callable[[], Run]]

NAME, SSN, NOTES = "Ada Lovelace, Countess " + "x", "123-45-6789", "n" * 200
#: What each workload is compared with, and at most how many times its time.
AIMS = {
    "read touching none": ("identity", 1.15),
    "read touching all three": ("floor", 1.50),
    "bulk create": ("floor", 1.70),
    "values of one column": ("floor", 1.40),
    "get by key": ("floor", 1.10),
    "save one field": ("floor", 1.10),
    "lookup by blind index": ("floor", 1.15),
}


def main() -> None:
    options = _options()
    with tables():
        print(f"{machine()}, {options.rows:,} rows, median of {options.repeats}.\n")
        _print_times(_measured(options))
        _print_sizes(options)
        if options.profile:
            _profile(options)


def machine() -> str:
    """Return what the times depend on, as one line."""
    if connection.vendor == "sqlite":
        database = f"SQLite {connection.Database.sqlite_version}"
    else:
        database = f"{connection.vendor} {'.'.join(map(str, connection.get_database_version()))}"
    versions = f"Python {platform.python_version()}, cryptography {version('cryptography')}"
    return f"{database}, Django {django.__version__}, {versions}, {os.cpu_count()} x {_processor()}"


def _processor() -> str:
    with suppress(OSError), open("/proc/cpuinfo") as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument(
        "--cpu", action="store_true", help="this process's CPU time, for busy machines; leaves the server out"
    )
    parser.add_argument("--only", nargs="*", help="contenders")
    parser.add_argument("--workloads", nargs="*", choices=AIMS, help="of the table's lines, these")
    parser.add_argument("--reference", action="store_true", help="reference envelopes")
    parser.add_argument("--profile", action="store_true", help="profile reading all and bulk creation")
    return parser.parse_args()


@contextmanager
def tables() -> Iterator[None]:
    name = connection.settings_dict["NAME"]
    connection.creation.create_test_db(verbosity=0, autoclobber=True)
    try:
        yield
    finally:
        connection.creation.destroy_test_db(name, verbosity=0)


def new_rows(model: type[Row], count: int) -> list[Row]:
    return [
        model(number=n, place="London", name=NAME, ssn=SSN, notes=NOTES)  # type: ignore[misc]
        for n in range(count)
    ]


def _workloads(options: argparse.Namespace) -> dict[str, tuple[int, Make]]:
    """Return, by name: how many times it does what it does, and what makes it."""
    rows = options.rows
    singles = min(500, rows)

    def read_none(model: type[Row]) -> Callable[[], Run]:
        return lambda: lambda: list(model.objects.all())

    def read_all(model: type[Row]) -> Callable[[], Run]:
        def run() -> None:
            for row in model.objects.all():
                row.name, row.ssn, row.notes  # type: ignore[attr-defined]  # noqa: B018

        return lambda: run

    def bulk_create(model: type[Row]) -> Callable[[], Run]:
        def ready() -> Run:
            new = new_rows(model, rows // 4)  # anew, or a second run would find them sealed

            def run() -> None:
                with transaction.atomic():
                    model.objects.bulk_create(new)
                    transaction.set_rollback(True)

            return run

        return ready

    def values(model: type[Row]) -> Callable[[], Run]:
        return lambda: lambda: list(model.objects.values_list("name", flat=True))

    def get(model: type[Row]) -> Callable[[], Run]:
        keys = list(model.objects.values_list("pk", flat=True)[:singles])
        return lambda: lambda: [model.objects.get(pk=key) for key in keys]

    def save(model: type[Row]) -> Callable[[], Run]:
        saved = list(model.objects.all()[:singles])
        numbers = count(100_000_000)

        def ready() -> Run:
            ssns = [str(next(numbers)) for _ in saved]

            def run() -> None:
                with transaction.atomic():
                    for row, ssn in zip(saved, ssns, strict=True):
                        row.ssn = ssn  # type: ignore[attr-defined]
                        row.save(update_fields=["ssn"])

            return run

        return ready

    return {
        "read touching none": (rows, read_none),
        "read touching all three": (rows, read_all),
        "bulk create": (rows // 4, bulk_create),
        "values of one column": (rows, values),
        "get by key": (singles, get),
        "save one field": (singles, save),
    }


def _measured(options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Return the median seconds per row of each workload and contender."""
    contenders = {name: m for name, m in CONTENDERS.items() if not options.only or name in options.only}
    for model in contenders.values():
        model.objects.bulk_create(new_rows(model, options.rows))
    times: dict[str, dict[str, float]] = {}
    wanted = options.workloads or AIMS
    for workload, (times_done, make) in _workloads(options).items():
        if workload not in wanted:
            continue
        runs = {name: make(model) for name, model in contenders.items()}
        times[workload] = _interleaved(runs, options, times_done)
    if "lookup by blind index" in wanted:
        times["lookup by blind index"] = _lookups(options)
    return times


def _interleaved(
    runs: dict[str, Callable[[], Run]], options: argparse.Namespace, times_done: int
) -> dict[str, float]:
    clock = time.process_time if options.cpu else time.perf_counter
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for ready in runs.values():
        ready()()
    for turn in range(options.repeats):
        order = list(runs)
        for name in order[turn % len(order) :] + order[: turn % len(order)]:
            run = runs[name]()
            gc.collect()  # nobody pays for another's garbage
            started = clock()
            run()
            taken[name].append((clock() - started) / times_done)
    return {name: statistics.median(series) for name, series in taken.items()}


def _lookups(options: argparse.Namespace) -> dict[str, float]:
    emails = [f"user{n}@clinic.example" for n in range(options.rows)]
    floor, ours = SEARCHED["floor"], SEARCHED["ours"]
    floor.objects.bulk_create(floor(email=e, digest=floor_digest(e)) for e in emails)
    ours.objects.bulk_create(ours(email=e) for e in emails)
    wanted = emails[:: max(1, options.rows // 300)]
    return _interleaved(
        {
            "floor": lambda: lambda: [floor.objects.get(digest=floor_digest(e)).email for e in wanted],
            "ours": lambda: lambda: [ours.objects.get(email=e).email for e in wanted],
        },
        options,
        len(wanted),
    )


def _print_times(times: dict[str, dict[str, float]]) -> None:
    names = list(dict.fromkeys(name for by_name in times.values() for name in by_name))
    print(f"| us a row | {' | '.join(names)} | ours is | aim |")
    print(f"| --- {'| ---: ' * len(names)}| ---: | ---: |")
    for workload, by_name in times.items():
        base, aim = AIMS[workload]
        cells = " | ".join(f"{by_name[n] * 1e6:.1f}" if n in by_name else "" for n in names)
        compared = {base, "ours"} <= by_name.keys()
        ratio = f"{by_name['ours'] / by_name[base]:.2f} x {base}" if compared else ""
        print(f"| {workload} | {cells} | {ratio} | {aim:.2f} |")


def _print_sizes(options: argparse.Namespace) -> None:
    print()
    length = {"postgresql": "octet_length", "mysql": "octet_length"}.get(connection.vendor, "length")
    for name, model in CONTENDERS.items():
        if options.only and name not in options.only:
            continue
        with connection.cursor() as cursor:
            columns = " + ".join(f"{length}({column})" for column in ("name", "ssn", "notes"))
            cursor.execute(f"SELECT avg({columns}) FROM {model._meta.db_table}")
            stored = float(cursor.fetchone()[0])
        tracemalloc.start()
        rows = list(model.objects.all()[:2000])
        peak = tracemalloc.get_traced_memory()[1] / len(rows)
        tracemalloc.stop()
        print(
            f"* {name}: {stored:.0f} bytes stored in the three columns, {peak:.0f} bytes of memory a row read"
        )
    cell = stored_cell(next(CONTENDERS["ours"].objects.all().iterator()), "ssn")
    print(f"* ours: {len(cell) - len(SSN)} bytes a cell, plus plaintext")
    before = vaults["default"].stats()
    vaults["default"].keyring.forget()
    for row in CONTENDERS["ours"].objects.all():
        row.ssn  # type: ignore[attr-defined]  # noqa: B018
    after = vaults["default"].stats()
    print(
        f"* Vault requests: {before.requests} for everything above, {after.requests - before.requests} cold"
    )


def _profile(options: argparse.Namespace) -> None:
    import cProfile
    import pstats

    for workload in ("read touching all three", "bulk create"):
        run = _workloads(options)[workload][1](CONTENDERS["ours"])()
        profile = cProfile.Profile()
        profile.runcall(run)
        print(f"\n{workload}\n")
        pstats.Stats(profile).sort_stats("tottime").print_stats(18)


if __name__ == "__main__":
    main()
