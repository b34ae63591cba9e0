"""``python -m tests.benchmarks.lookups``: a lookup by blind index beside one in a plain indexed column.

PostgreSQL only: ``VAULT_TEST_DATABASE=postgresql``. Both take turns in one run, value by value, so that a
busy machine slows both.
"""

import argparse
import os
import random
import statistics
import time
from collections.abc import Callable
from typing import Any

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.benchmarks.settings"

import django

django.setup()

from django.db import connection, models  # noqa: E402

from tests.benchmarks.models import OursSearched  # noqa: E402

BATCH = 20_000


class PlainSearched(models.Model):
    """What the application had before: the value itself, indexed."""

    email = models.CharField(max_length=100, db_index=True)

    class Meta:
        app_label = "benchmarks"


def main() -> None:
    parser = argparse.ArgumentParser("python -m tests.benchmarks.lookups", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--lookups", type=int, default=3000)
    options = parser.parse_args()
    name = connection.settings_dict["NAME"]
    connection.creation.create_test_db(verbosity=0, autoclobber=True)
    try:
        _fill(options.rows)
        wanted = [_email(n) for n in random.Random(1).sample(range(options.rows), options.lookups)]
        print(
            f"PostgreSQL, Django {django.__version__}, {options.rows:,} rows, {options.lookups:,} lookups\n"
        )
        print("| us, median | plain | blind index | ratio |\n| --- | ---: | ---: | ---: |")
        _compare("the row's key", wanted, lambda rows, e: rows.values_list("pk").get(email=e))
        _compare("the row, its value not read", wanted, lambda rows, e: rows.get(email=e))
        _compare("the row, its value read", wanted, lambda rows, e: rows.get(email=e).email)
    finally:
        connection.creation.destroy_test_db(name, verbosity=0)


def _email(number: int) -> str:
    return f"patient{number}@clinic.example"


def _fill(rows: int) -> None:
    field: Any = OursSearched._meta.get_field("email")
    for model, cell in ((PlainSearched, str), (OursSearched, field.seal_value)):
        table = model._meta.db_table
        for start in range(0, rows, BATCH):
            cells = [cell(_email(number)) for number in range(start, min(start + BATCH, rows))]
            with connection.cursor() as cursor, cursor.copy(f"COPY {table} (email) FROM STDIN") as copy:
                for value in cells:
                    copy.write_row((value,))
        with connection.cursor() as cursor:
            cursor.execute(f"VACUUM ANALYZE {table}")


def _compare(what: str, wanted: list[str], look_up: Callable[[Any, str], Any]) -> None:
    taken: dict[Any, list[float]] = {PlainSearched: [], OursSearched: []}
    for turn, email in enumerate(wanted):
        for model in sorted(taken, key=lambda model: (model is PlainSearched) == bool(turn % 2)):
            started = time.perf_counter()
            look_up(model.objects, email)
            taken[model].append(time.perf_counter() - started)
    plain, ours = (statistics.median(series) * 1e6 for series in taken.values())
    print(f"| {what} | {plain:.0f} | {ours:.0f} | {ours / plain:.2f} |")


if __name__ == "__main__":
    main()
