"""Memory of an upload to S3, and a server that is killed while it is at work: processes of their own."""

from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from django.core.files.base import ContentFile, File
from django.db import transaction

from django_workos_vault.files import EncryptedStorage
from tests.files.alone import printed
from tests.files.models import Scan
from tests.files.s3.objects import S3, TEXT, Killing, options
from tests.files.s3.sink import sink
from tests.files.server_process import server_process

pytestmark = [pytest.mark.slow, pytest.mark.django_db]

MOTO = (
    "from moto.server import ThreadedMotoServer as S; import time\n"
    "s = S(ip_address='127.0.0.1', port=0, verbose=False); s.start()\n"
    "print(s.get_host_and_port()[1], flush=True); time.sleep(600)"
)


def test_memory_of_an_upload_does_not_grow() -> None:
    """With one part at a time, an upload takes less than 8 MiB above the interpreter, however long it is."""
    program = """
        from boto3.s3.transfer import TransferConfig
        from django.core.files import File
        from django_workos_vault.files import EncryptedStorage
        from tests.files.s3.objects import S3, options

        part = 5 << 20
        one_at_a_time = TransferConfig(use_threads=False, multipart_threshold=part, multipart_chunksize=part)
        given = options("URL", transfer_config=one_at_a_time, file_overwrite=True)
        storage = EncryptedStorage({"BACKEND": S3, "OPTIONS": given})

        def run(megabytes):
            storage.save("long.bin", File(Upload(megabytes), name="long.bin"))
            return peak()

        before, short, long = run(1), run(32), run(256)
        print(short - before, long - short)
    """
    with sink() as (url, taken):
        once, more = printed(program.replace("URL", url))
        assert taken() > 288 << 20
    assert once < 8 << 10
    assert more < 512


@pytest.mark.parametrize("at", [0, 1, 12])
def test_a_server_that_is_killed(at: int, settings: Any) -> None:
    """Killed at the beginning, in the first part, or midway: the storage's own errors, and no row of it."""
    quick = Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=5)
    with server_process(MOTO) as (url, process):
        settings.STORAGES = {"default": {"BACKEND": S3, "OPTIONS": options(url, client_config=quick)}}
        storage = EncryptedStorage("default")
        storage.inner.connection.meta.client.create_bucket(Bucket="files")  # type: ignore[attr-defined]
        scan = Scan.objects.create(file=ContentFile(TEXT, name="before.bin"))

        with scan.file.open() as file:
            assert file.read(10) == TEXT[:10]
            # A KeyError is boto3's word for an answer that was cut off before its body.
            with pytest.raises((BotoCoreError, ClientError, OSError, KeyError)), transaction.atomic():
                Scan.objects.create(file=File(Killing(20, at, process.pid), name="after.bin"))
            file.seek(2 << 20)
            with pytest.raises((BotoCoreError, ClientError, OSError)):
                file.read(10)
            with pytest.raises((BotoCoreError, ClientError, OSError)):
                Scan.objects.get().file.open().read(1)
        assert Scan.objects.get().file.name == scan.file.name
