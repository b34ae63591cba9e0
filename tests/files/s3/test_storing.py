"""Encrypted files on S3, through django-storages, against moto's server on loopback."""

import asyncio
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
from django.test import Client
from moto.server import ThreadedMotoServer

from django_workos_vault.exceptions import EnvelopeError, MalformedEnvelope, TamperedEnvelope
from django_workos_vault.files import EncryptedStorage
from django_workos_vault.files.heads import Head, Heads, heads
from django_workos_vault.handler import vaults
from django_workos_vault.streams.cipher import read_header
from django_workos_vault.streams.sources import BytesSource
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


@pytest.fixture(autouse=True)
def nothing_read_yet() -> None:
    heads.forget_all()


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


def frames(first: int, last: int) -> str:
    """The request for these frames of a file with a header of 1024 bytes."""
    return f"GetObject bytes={1024 + first * 65552}-{1024 + (last + 1) * 65552 - 1}"


def test_a_file_that_was_read_before_is_one_request(storage: Any, requests: list[str]) -> None:
    """Whoever opens a file again asks for what is read of it alone, and gets what is there now."""
    name = storage.save("long.bin", ContentFile(TEXT))
    storage.open(name).close()
    requests.clear()
    with storage.open(name) as file:
        assert requests == []
        assert (file.seek(1 << 20), file.tell(), file.closed) == (1 << 20, 1 << 20, False)
        assert file.read(1 << 20) == TEXT[1 << 20 : 2 << 20]
        assert requests == [frames(16, 31)]
        assert file.read(10) == TEXT[2 << 20 :][:10]
        assert (file.original_name, file.seek(-5, 2), file.read()) == ("long.bin", len(TEXT) - 5, TEXT[-5:])
    assert file.closed
    for read in (
        lambda file: file.read(),
        lambda file: b"".join(file.chunks()),
        lambda file: file.file.read(),
        lambda file: b"".join(iter(file)),
        lambda file: asyncio.run(all_of(file)),
    ):
        with storage.open(name) as file:
            assert read(file) == TEXT
    unread = storage.open(name)
    unread.close()
    assert unread.closed
    with pytest.raises(ValueError, match="closed"):
        unread.read()
    assert unread.open().read(5) == TEXT[:5]
    with storage.open(name) as file, pytest.raises(ValueError, match="negative"):
        file.seek(-1)


async def all_of(file: Any) -> bytes:
    return b"".join([piece async for piece in file])


def replaced(storage: Any, client: Any, name: str, how: str) -> bytes | None:
    """Let somebody else put another thing under the name. Return its plaintext, if it has one."""
    key = {"Bucket": "files", "Key": f"media/{name}"}
    raw = client.get_object(**key)["Body"].read()
    storage.inner.delete(name)
    if how == "deleted":
        return None
    text = {"shorter": TEXT[:70_000], "longer": TEXT + TEXT, "as long": TEXT[::-1]}.get(how)
    if text is not None:
        storage.save(name, ContentFile(text))
        return text
    damaged = {"foreign": b"%PDF-1.7" + TEXT, "cut": raw[: 1024 + 65552 * 3], "empty": b""}.get(how)
    if how == "rekeyed":  # its header alone is another
        damaged = read_header(BytesSource(raw)).rewrapped(wrapped_again(raw)) + raw[1024:]
    client.put_object(**key, Body=damaged)
    return TEXT if how == "rekeyed" else None


def without_if_match(params: Any, **kwargs: Any) -> None:
    params["headers"].pop("If-Match", None)


def wrapped_again(raw: bytes) -> bytes:
    before = read_header(BytesSource(raw)).key_reference
    wrapped = vaults["default"].backend.rekey_data_key(before, {"app": "tests"}).wrapped
    assert wrapped != before
    return wrapped


def read_from(storage: Any, name: str, place: int) -> bytes:
    with storage.open(name) as file:
        file.seek(place)
        whole: bytes = file.read()
        return whole


REPLACEMENTS = {
    "shorter": None,
    "longer": None,
    "as long": None,
    "rekeyed": None,
    "deleted": FileNotFoundError,
    "foreign": MalformedEnvelope,
    "cut": TamperedEnvelope,
    "empty": MalformedEnvelope,
}


@pytest.mark.parametrize("knows_if_match", [True, False])
@pytest.mark.parametrize("how", REPLACEMENTS)
@pytest.mark.parametrize("place", [0, len(TEXT) - 10])
def test_a_file_replaced_between_two_ranges(
    storage: Any, client: Any, how: str, place: int, knows_if_match: bool
) -> None:
    """What another one put there since is what is read, or the error that a first reading would give."""
    name = storage.save("a.bin", ContentFile(TEXT))
    with storage.open(name) as file:
        assert file.size == len(TEXT)
    if not knows_if_match:
        events = storage.inner.connection.meta.client.meta.events
        events.register("before-call.s3", without_if_match)
    text = replaced(storage, client, name, how)
    error = REPLACEMENTS[how]
    if error is not None:
        with pytest.raises(error):
            read_from(storage, name, place)
        return
    assert text is not None
    assert read_from(storage, name, place) == text[place:]
    with storage.open(name) as file:
        assert (file.size, file.original_name) == (len(text), "a.bin")


def test_what_is_remembered_of_files_is_bounded(storage: Any, client: Any) -> None:
    """A process remembers some headers, none of more than two frames, and no plaintext."""
    few = Heads()
    for number in range(100):
        few.put(number, Head("tag", 1 << 20, bytes(1024), bytes(65552)))
    few.put("long", Head("tag", 1 << 24, bytes(1024), bytes(1 << 20)))
    assert few.get("long") is None
    assert len([number for number in range(100) if few.get(number)]) == 32
    name = storage.save("a.bin", ContentFile(b"left hand" * 50_000))
    with storage.open(name) as file:
        file.read()
    [head] = heads._held.values()
    assert b"left hand" not in head.start + head.end
    assert "WVF" not in repr(head)


@pytest.mark.urls("tests.files.urls")
def test_ranges_over_http_are_one_request(moto: str, client: Any, settings: Any) -> None:
    """A browser that jumps asks the storage once for each range, after the first."""
    settings.STORAGES = {"default": {"BACKEND": S3, "OPTIONS": options(moto)}}
    scan = Scan.objects.create(file=ContentFile(TEXT, name="a.mp4"))
    sent: list[str] = []
    inner: Any = scan.file.storage.inner
    events = inner.connection.meta.client.meta.events
    events.register("before-call.s3", lambda model, params, **kwargs: sent.append(line(model, params)))
    costs = []
    for asked, expected in (
        ("bytes=1048576-2097151", TEXT[1 << 20 : 2 << 20]),
        ("bytes=1048576-2097151", TEXT[1 << 20 : 2 << 20]),
        ("bytes=100-199", TEXT[100:200]),
        ("bytes=2000000-", TEXT[2_000_000:]),
        ("bytes=3145720-9999999", TEXT[3_145_720:]),
        ("bytes=-5", TEXT[-5:]),
        ("bytes=9999999-", b""),
    ):
        sent.clear()
        response: Any = Client().get(f"/scan/{scan.pk}/", headers={"range": asked})
        got = b"".join(response.streaming_content) if response.streaming else response.content
        assert (response.status_code, got) == (206 if expected else 416, expected)
        costs.append(len(sent))
    assert costs == [3, 1, 1, 1, 1, 1, 1]


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
