"""Encrypted files on S3, through django-storages, against moto's server on loopback: stored, and gone."""

from typing import Any

import httpx
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from django.core.files.base import ContentFile, File
from moto.server import ThreadedMotoServer

from django_workos_vault.files import EncryptedStorage
from tests.files.models import Scan
from tests.files.s3.objects import S3, TEXT, Breaking, options

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("size", [0, 1, 65536, 65537, 3 << 20])
def test_what_is_stored_comes_back(storage: EncryptedStorage, client: Any, size: int) -> None:
    """The object holds ciphertext as an octet stream, whatever its name says; its plaintext comes back."""
    name = storage.save("scans/page.html", ContentFile(TEXT[:size]))
    got = client.get_object(Bucket="files", Key=f"media/{name}")
    assert got["ContentType"] == "application/octet-stream"
    raw = got["Body"].read()
    assert raw.startswith(b"\x89WVF")
    assert size < 100 or TEXT[:100] not in raw
    with storage.open(name) as file:
        assert (file.size, file.original_name) == (size, "page.html")
        assert file.read() == TEXT[:size]
    assert storage.exists(name)
    assert storage.size(name) == size
    storage.delete(name)
    assert not storage.exists(name)
    with pytest.raises(FileNotFoundError):
        storage.open(name)


def test_long_files_go_up_in_parts(moto: str, client: Any, requests: list[str], storage: Any) -> None:
    """A file over the threshold is sent as a multipart upload, sealed as it goes."""
    text = TEXT * 7  # 21 MiB; parts are of 8 MiB
    name = storage.save("long.bin", ContentFile(text))
    assert requests.count("UploadPart") == 3
    assert "CompleteMultipartUpload" in requests
    with storage.open(name) as file:
        assert b"".join(file.sealed.chunks()) == text


@pytest.mark.parametrize("megabytes", [1, 21])
def test_a_broken_upload_leaves_nothing(storage: Any, client: Any, megabytes: int) -> None:
    """Neither an object nor the parts of one stay behind, and a file of that name that was there stays."""
    storage.inner.file_overwrite = True
    storage.save("a.bin", ContentFile(b"before"))
    for name in ("a.bin", "b.bin"):
        with pytest.raises(OSError, match="went away"):
            storage.save(name, File(Breaking(megabytes), name=name))
    keys = [each["Key"] for each in client.list_objects_v2(Bucket="files")["Contents"]]
    assert keys == ["media/a.bin"]
    assert not client.list_multipart_uploads(Bucket="files").get("Uploads")
    with storage.open("a.bin") as file:
        assert file.read() == b"before"


def test_a_field_over_s3(moto: str, client: Any, settings: Any) -> None:
    """A model's field stores its files in the default storage, and its signed URLs give ciphertext."""
    settings.STORAGES = {"default": {"BACKEND": S3, "OPTIONS": options(moto)}}
    scan = Scan.objects.create(file=ContentFile(TEXT, name="hand.png"))
    with Scan.objects.get().file.open() as file:
        assert file.read() == TEXT
    assert httpx.get(scan.file.url).content.startswith(b"\x89WVF")
    scan.file.delete()
    assert not client.list_objects_v2(Bucket="files").get("Contents")


def test_a_server_that_goes_away(client: Any) -> None:
    """When the storage dies midway, writing and reading are its own errors, and the row has no file."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    quick = Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=5)
    storage = EncryptedStorage({"BACKEND": S3, "OPTIONS": options(url, client_config=quick)})
    storage.inner.connection.meta.client.create_bucket(Bucket="files")  # type: ignore[attr-defined]
    name = storage.save("a.bin", ContentFile(TEXT))

    class Killing(Breaking):
        def read(self, size: int = -1) -> bytes:
            if self.left == 16 * 20 - 200:
                server.stop()
            return super().read(size) if self.left else b""

    with storage.open(name) as file:
        file.read(10)
        with pytest.raises((BotoCoreError, ClientError, OSError)):
            storage.save("b.bin", File(Killing(20), name="b.bin"))
        file.seek(2 << 20)
        with pytest.raises((BotoCoreError, ClientError)):
            file.read(10)
