"""What reading a file on S3 costs: requests for ranges, few and of what is read alone."""

import asyncio
import io
import random
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.test import Client

from django_workos_vault.files import EncryptedStorage
from django_workos_vault.files.heads import Head, Heads
from tests.files.models import Scan
from tests.files.s3.objects import S3, TEXT, line, options

pytestmark = pytest.mark.django_db


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


def test_what_is_remembered_of_files_is_bounded(storage: Any, heads: Heads) -> None:
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
