"""Values of 1 KB to 64 MB, in columns and in Vault objects: ``python -m tests.benchmarks.sizes``."""

import argparse
import os
import random
import statistics
import time
from typing import Any

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.benchmarks.settings"  # whatever a test run has

import django

django.setup()

from django.core.management import call_command  # noqa: E402

from tests.benchmarks.models import Sized  # noqa: E402

KINDS = ("text", "sealed_text", "binary", "sealed_binary", "in_vault")
SIZES = {"1 KB": 1 << 10, "64 KB": 1 << 16, "1 MB": 1 << 20, "16 MB": 1 << 24, "64 MB": 1 << 26}


def value_of(kind: str, size: int) -> Any:
    """Return a value of ``size`` bytes: bytes, or ASCII text."""
    data = random.Random(size).randbytes(size // 2).hex()
    return data.encode() if "binary" in kind else data


def saved_and_read(kind: str, value: Any) -> tuple[float, float]:
    """Return the seconds that one row's creation takes, and its reading."""
    started = time.perf_counter()
    row = Sized.objects.create(**{kind: value})
    saved = time.perf_counter()
    read = getattr(Sized.objects.only(kind).get(pk=row.pk), kind)
    done = time.perf_counter()
    if (bytes(read) if isinstance(read, memoryview) else read) != value:
        raise ValueError(kind)
    row.delete()
    return saved - started, done - saved


def main() -> None:
    """Parse the options, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=64, help="the longest value")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    call_command("migrate", verbosity=0, run_syncdb=True)
    saved_and_read("sealed_text", "warm")
    saved_and_read("in_vault", "warm")
    print("Saving / reading one value, ms.\n")
    print(f"| size | {' | '.join(KINDS)} |\n| --- |{' ---: |' * len(KINDS)}")
    for name, size in SIZES.items():
        if size > options.megabytes << 20:
            continue
        cells = []
        for kind in KINDS:
            value = value_of(kind, size)
            taken = [saved_and_read(kind, value) for _ in range(options.repeats)]
            cells.append(
                " / ".join(f"{statistics.median(each) * 1000:.1f}" for each in zip(*taken, strict=True))
            )
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
