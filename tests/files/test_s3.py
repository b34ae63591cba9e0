"""Encrypted files on S3, through django-storages, against moto's server on loopback."""

import io
import random
from collections.abc import Iterator
from typing import Any

import boto3
import httpx
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from django.core.files.base import ContentFile, File
from moto.server import ThreadedMotoServer

from django_workos_vault.exceptions import EnvelopeError, MalformedEnvelope, TamperedEnvelope
from django_workos_vault.files import EncryptedStorage
from tests.files.models import Scan

pytestmark = pytest.mark.django_db

TEXT = random.Random(1).randbytes(3 << 20)
S3 = "storages.backends.s3.S3Storage"


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def client(moto: str) -> Any:
    client = boto3.client("s3", endpoint_url=moto, region_name="us-east-1", **KEYS)
    client.create_bucket(Bucket="files")
    yield client
    for each in client.list_objects_v2(Bucket="files").get("Contents", ()):
        client.delete_object(Bucket="files", Key=each["Key"])
    client.close()


KEYS = {"aws_access_key_id": "tests", "aws_secret_access_key": "tests"}


def options(moto: str, **more: Any) -> dict[str, Any]:
    return {
        "access_key": "tests",
        "secret_key": "tests",
        "bucket_name": "files",
        "endpoint_url": moto,
        "region_name": "us-east-1",
        **more,
    }


@pytest.fixture
def storage(moto: str, client: Any) -> EncryptedStorage:
    return EncryptedStorage({"BACKEND": S3, "OPTIONS": options(moto, location="media")})


@pytest.fixture
def requests(storage: Any) -> list[str]:
    """The operations that boto sends, as they are sent."""
    sent: list[str] = []
    events = storage.inner.connection.meta.client.meta.events
    events.register("before-call.s3", lambda model, params, **kwargs: sent.append(line(model, params)))
    return sent


def line(model: Any, params: Any) -> str:
    asked = params["headers"].get("Range")
    return f"{model.name} {asked}" if asked else str(model.name)


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


def test_ranges_are_asked_for(storage: Any, requests: list[str]) -> None:
    """A megabyte from the middle costs one request for the header and one for its frames."""
    name = storage.save("long.bin", ContentFile(TEXT * 7))
    requests.clear()
    with storage.open(name) as file:
        file.seek(10 << 20)
        assert file.read(1 << 20) == (TEXT * 7)[10 << 20 : 11 << 20]
    start = 1024 + 160 * (65536 + 16)
    assert requests == [
        "GetObject bytes=0-131071",
        f"GetObject bytes={start}-{start + 16 * (65536 + 16) - 1}",
    ]


def test_a_whole_file_is_few_requests(storage: Any, requests: list[str]) -> None:
    """Read from one end to the other in small pieces, a file is asked for in ever larger ones."""
    name = storage.save("long.bin", ContentFile(TEXT * 7))
    requests.clear()
    with storage.open(name) as file:
        whole = io.BytesIO()
        while piece := file.read(10_000):
            whole.write(piece)
    assert whole.getvalue() == TEXT * 7
    assert len(requests) <= 14
    requests.clear()
    with storage.open(name) as file:
        assert file.read() == TEXT * 7
    assert len(requests) <= 25
    small = storage.save("small.bin", ContentFile(TEXT[:1000]))
    requests.clear()
    with storage.open(small) as file:
        assert file.read() == TEXT[:1000]
        assert file.size == 1000
    assert len(requests) == 1


@pytest.mark.parametrize("seed", range(4))
def test_it_reads_as_any_file_does(storage: EncryptedStorage, seed: int) -> None:
    """Whatever is read, in whatever order, the answers are those of a file with the plaintext."""
    dice = random.Random(seed)
    name = storage.save("a.bin", ContentFile(TEXT))
    plain = io.BytesIO(TEXT)
    with storage.open(name) as file:
        for _ in range(60):
            if dice.random() < 0.4:
                place = dice.randrange(len(TEXT) + 1000)
                assert file.seek(place) == plain.seek(place)
            length = dice.choice([1, 1000, 65536, 300_000])
            assert file.read(length) == plain.read(length)


class Breaking(io.RawIOBase):
    """An upload that breaks off after many megabytes."""

    def __init__(self, megabytes: int) -> None:
        self.left = 16 * megabytes

    def read(self, size: int = -1) -> bytes:
        self.left -= 1
        if self.left < 0:
            raise OSError("the client went away")
        return TEXT[: 1 << 16]


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


def test_an_object_that_was_changed(storage: EncryptedStorage, client: Any) -> None:
    """Flipped, cut, emptied or foreign, an object is one clear error."""
    name = storage.save("a.bin", ContentFile(TEXT))
    key = {"Bucket": "files", "Key": f"media/{name}"}
    raw = client.get_object(**key)["Body"].read()
    for changed, error in (
        (raw[:-1] + bytes([raw[-1] ^ 1]), TamperedEnvelope),
        (raw[: 1024 + 65552 * 3], TamperedEnvelope),
        (raw[:-5], EnvelopeError),
        (raw[:20], MalformedEnvelope),
        (b"", MalformedEnvelope),
        (b"%PDF-1.7" + TEXT, MalformedEnvelope),
        (raw + raw[1024:], TamperedEnvelope),
    ):
        client.put_object(**key, Body=changed)
        with pytest.raises(error), storage.open(name) as file:
            file.read()


def test_an_object_replaced_while_it_is_read(storage: EncryptedStorage, client: Any) -> None:
    """Parts of two versions are never put together: the error says to open it again."""
    name = storage.save("a.bin", ContentFile(TEXT))
    with storage.open(name) as file:
        assert file.read(10) == TEXT[:10]
        raw = client.get_object(Bucket="files", Key=f"media/{name}")["Body"].read()
        client.put_object(Bucket="files", Key=f"media/{name}", Body=raw + b"x")
        file.seek(2 << 20)
        with pytest.raises(MalformedEnvelope, match="replaced"):
            file.read(10)


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
