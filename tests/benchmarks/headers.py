"""Headers of many files, one after the other and several at a time: ``python -m tests.benchmarks.headers``.

On S3 (moto) and Google's storage (an emulator) on loopback, where each request takes some milliseconds more.
"""

import argparse
import logging
import os
import statistics
import time
from types import SimpleNamespace
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.benchmarks.settings")

import django

django.setup()

from django.core.files.base import ContentFile  # noqa: E402
from django.core.management import call_command  # noqa: E402

from django_workos_vault.files import EncryptedStorage  # noqa: E402
from django_workos_vault.files.gcs import GoogleObject  # noqa: E402
from django_workos_vault.maintenance.files.beginnings import Beginning  # noqa: E402
from django_workos_vault.maintenance.files.many import Beginnings  # noqa: E402
from tests.files.google import GOOGLE, google_with_a_bucket  # noqa: E402
from tests.maintenance.forgetting.faulty_s3 import at, faulty_s3  # noqa: E402


def main() -> None:
    """Parse the options, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--delay", type=int, default=50, metavar="MILLISECONDS")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    call_command("migrate", run_syncdb=True, verbosity=0)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    took: dict[tuple[str, str], list[float]] = {}
    with faulty_s3(SimpleNamespace()) as s3, google_with_a_bucket() as google:
        os.environ["STORAGE_EMULATOR_HOST"] = google.url
        at_google = EncryptedStorage({"BACKEND": GOOGLE, "OPTIONS": google.options()})
        few, many = (
            EncryptedStorage(at(s3.url, max_pool_connections=number)["default"]) for number in (1, 10)
        )
        names = [many.save("scan.png", ContentFile(b"x" * 1000)) for _ in range(options.files)]
        stored = [at_google.save("scan.png", ContentFile(b"x" * 1000)) for _ in range(options.files)]
        s3.met, google.delay = lambda: time.sleep(options.delay / 1000), options.delay / 1000
        connections = GoogleObject.at_once
        for _ in range(options.repeats):
            for how, storage, allowed in (("one", few, lambda _: 1), ("ten", many, connections)):
                took.setdefault(("S3", how), []).append(read(storage, names))
                GoogleObject.at_once = staticmethod(allowed)  # type: ignore[assignment]
                took.setdefault(("Google", how), []).append(read(at_google, stored))
    for (store, how), seconds in sorted(took.items()):
        print(f"{store:8}{how:>5} at a time  {statistics.median(seconds):6.1f} s")


def read(storage: Any, names: list[str]) -> float:
    start = time.perf_counter()
    assert all(isinstance(each, Beginning) for each in Beginnings(storage.inner).of(names))
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
