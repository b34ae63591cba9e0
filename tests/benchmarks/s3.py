"""A megabyte from the middle of a long file on S3 (moto, loopback): ``python -m tests.benchmarks.s3``."""

import argparse
import logging
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.benchmarks.settings")

import django

django.setup()

from botocore.config import Config  # noqa: E402
from django.core.files.base import ContentFile  # noqa: E402
from django.core.management import call_command  # noqa: E402
from moto.server import ThreadedMotoServer  # noqa: E402
from storages.backends.s3 import S3Storage  # noqa: E402

from django_workos_vault.files import EncryptedStorage, ranged, sources  # noqa: E402
from django_workos_vault.files.heads import Heads  # noqa: E402

MEGABYTE = 1 << 20


def main() -> None:
    """Parse the options, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--whole", action="store_true", help="read the plain file of django-storages too")
    options = parser.parse_args()
    call_command("migrate", run_syncdb=True, verbosity=0)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    plain = S3Storage(
        access_key="tests",
        secret_key="tests",
        bucket_name="files",
        endpoint_url=f"http://{host}:{port}",
        region_name="us-east-1",
        client_config=Config(read_timeout=600),  # putting a gigabyte together takes moto more than a minute
    )
    plain.connection.meta.client.create_bucket(Bucket="files")
    sealed = EncryptedStorage(plain)
    content = os.urandom(MEGABYTE) * options.megabytes
    names: dict[Any, str] = {
        storage: storage.save(name, ContentFile(content)) for name, storage in (("a", plain), ("b", sealed))
    }
    middle = options.megabytes // 2 * MEGABYTE
    expected = content[middle : middle + MEGABYTE]
    del content

    def bare() -> bytes:
        wanted = f"bytes={middle}-{middle + MEGABYTE - 1}"
        body: bytes = plain.bucket.Object(names[plain]).get(Range=wanted)["Body"].read()
        return body

    def through(storage: Any) -> Callable[[], bytes]:
        def read() -> bytes:
            with storage.open(names[storage]) as file:
                file.seek(middle)
                data: bytes = file.read(MEGABYTE)
                return data

        return read

    def never_read_before() -> bytes:
        ranged.heads = sources.heads = Heads()
        return through(sealed)()

    runs = {
        "a range of a plain object, asked of boto": bare,
        "an encrypted file that this process has not read before": never_read_before,
        "an encrypted file that it has": through(sealed),
    }
    if options.whole:
        runs["a plain file of django-storages, which downloads all of it"] = through(plain)
    print(f"1 MiB from the middle of {options.megabytes} MiB, median of {options.repeats}.\n")
    print("| what | ms | of a plain range |\n| --- | ---: | ---: |")
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(options.repeats):  # one after the other, so that a busy machine is so for all
        for name, run in runs.items():
            started = time.perf_counter()
            data = run()
            taken[name].append(time.perf_counter() - started)
            if data != expected:
                raise ValueError(name)
    medians = {name: statistics.median(times) for name, times in taken.items()}
    base = next(iter(medians.values()))
    for name, median in medians.items():
        print(f"| {name} | {median * 1000:.0f} | {median / base:.2f} |")
    server.stop()


if __name__ == "__main__":
    main()
