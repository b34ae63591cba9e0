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

from django.core.files.base import ContentFile  # noqa: E402
from django.core.management import call_command  # noqa: E402
from moto.server import ThreadedMotoServer  # noqa: E402
from storages.backends.s3 import S3Storage  # noqa: E402

from django_workos_vault.files import EncryptedStorage  # noqa: E402

MEGABYTE = 1 << 20


def main() -> None:
    """Parse the options, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    call_command("migrate", verbosity=0)
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
    )
    plain.connection.meta.client.create_bucket(Bucket="files")
    sealed = EncryptedStorage(plain)
    content = os.urandom(MEGABYTE) * options.megabytes
    names = {
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

    opened = sealed.open(names[sealed])

    def again() -> bytes:
        opened.seek(middle)
        opened.sealed._source._held = b""
        data: bytes = opened.read(MEGABYTE)
        return data

    runs = {
        "a range of a plain object, boto": bare,
        "a plain file of django-storages": through(plain),
        "an encrypted file": through(sealed),
        "an encrypted file that is open": again,
    }
    print(f"1 MiB from the middle of {options.megabytes} MiB, median of {options.repeats}.\n")
    print("| what | ms | of a plain range |\n| --- | ---: | ---: |")
    base = 0.0
    for name, run in runs.items():
        taken = []
        for _ in range(options.repeats):
            started = time.perf_counter()
            data = run()
            taken.append(time.perf_counter() - started)
            if data != expected:
                raise ValueError(name)
        median = statistics.median(taken)
        base = base or median
        print(f"| {name} | {median * 1000:.0f} | {median / base:.2f} |")
    server.stop()


if __name__ == "__main__":
    main()
