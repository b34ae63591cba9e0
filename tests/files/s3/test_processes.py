"""Memory of an upload to S3, and a server that is killed while it is at work: processes of their own."""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from django.core.files.base import ContentFile, File
from django.db import transaction

from django_workos_vault.files import EncryptedStorage
from tests.files.models import Scan
from tests.files.s3.objects import S3, TEXT, Breaking, options
from tests.files.s3.sink import sink
from tests.files.server_process import server_process

pytestmark = [pytest.mark.slow, pytest.mark.django_db]

UPLOAD = """
    import io, os, resource, sys
    sys.path.insert(0, ".")
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    import django
    django.setup()
    from boto3.s3.transfer import TransferConfig
    from django.core.files import File
    from django.core.management import call_command
    from django_workos_vault.files import EncryptedStorage
    from tests.files.s3.objects import S3, options
    call_command("migrate", verbosity=0, run_syncdb=True)

    class Upload(io.RawIOBase):
        def __init__(self, megabytes):
            self.left = 16 * megabytes

        def read(self, size=-1):
            self.left -= 1
            return bytes(1 << 16) if self.left >= 0 else b""

    part = 5 << 20
    one_at_a_time = TransferConfig(use_threads=False, multipart_threshold=part, multipart_chunksize=part)
    given = options("URL", transfer_config=one_at_a_time, file_overwrite=True)
    storage = EncryptedStorage({"BACKEND": S3, "OPTIONS": given})

    def run(megabytes):
        storage.save("long.bin", File(Upload(megabytes), name="long.bin"))
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    before, short, long = run(1), run(32), run(256)
    print(short - before, long - short)
"""


def test_memory_of_an_upload_does_not_grow() -> None:
    """With one part at a time, an upload takes less than 8 MiB above the interpreter, however long it is."""
    with sink() as (url, taken):
        run = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(UPLOAD).replace("URL", url)],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "VAULT_TEST_DATABASE": "sqlite"},
        )
        assert run.returncode == 0, run.stderr
        assert taken() > 288 << 20
    once, more = map(int, run.stdout.split())
    assert once < 8 << 10
    assert more < 512


@contextmanager
def moto() -> Iterator[tuple[str, Any]]:
    """A server in a process of its own, which can be killed."""
    program = (
        "from moto.server import ThreadedMotoServer as S; import time\n"
        "s = S(ip_address='127.0.0.1', port=0, verbose=False); s.start()\n"
        "print(s.get_host_and_port()[1], flush=True); time.sleep(600)"
    )
    with server_process(program) as (url, process):
        yield url, process


@pytest.mark.parametrize("at", [0, 1, 12])
def test_a_server_that_is_killed(at: int, settings: Any) -> None:
    """Killed at the beginning, in the first part, or midway: the storage's own errors, and no row of it."""
    quick = Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=5)
    with moto() as (url, process):
        settings.STORAGES = {"default": {"BACKEND": S3, "OPTIONS": options(url, client_config=quick)}}
        storage = EncryptedStorage("default")
        storage.inner.connection.meta.client.create_bucket(Bucket="files")  # type: ignore[attr-defined]
        scan = Scan.objects.create(file=ContentFile(TEXT, name="before.bin"))

        class Killing(Breaking):
            def read(self, size: int = -1) -> bytes:
                if self.left == 16 * (20 - at):
                    os.kill(process.pid, signal.SIGKILL)
                return super().read(size) if self.left else b""

        with scan.file.open() as file:
            assert file.read(10) == TEXT[:10]
            # A KeyError is boto3's word for an answer that was cut off before its body.
            with pytest.raises((BotoCoreError, ClientError, OSError, KeyError)), transaction.atomic():
                Scan.objects.create(file=File(Killing(20), name="after.bin"))
            file.seek(2 << 20)
            with pytest.raises((BotoCoreError, ClientError, OSError)):
                file.read(10)
            with pytest.raises((BotoCoreError, ClientError, OSError)):
                Scan.objects.get().file.open().read(1)
        assert Scan.objects.get().file.name == scan.file.name
