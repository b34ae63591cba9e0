"""Encrypted files on Google Cloud Storage, through django-storages, against an emulator on loopback."""

import gzip
import random
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.files.base import ContentFile, File

from django_workos_vault.exceptions import EnvelopeError, MalformedEnvelope
from django_workos_vault.files import EncryptedStorage, ranged, sources
from django_workos_vault.files.heads import Heads
from django_workos_vault.files.sources import source_of
from tests.files.google import GOOGLE, Google, google_with_a_bucket
from tests.files.s3.objects import Breaking

pytestmark = pytest.mark.django_db

TEXT = random.Random(1).randbytes(3 << 20)


@pytest.fixture(scope="module")
def server() -> Iterator[Google]:
    with google_with_a_bucket() as google:
        yield google


@pytest.fixture
def google(server: Google, monkeypatch: pytest.MonkeyPatch) -> Google:
    """With nothing asked yet, of which this process knows nothing."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
    known = Heads()
    for module in (ranged, sources):
        monkeypatch.setattr(module, "heads", known)
    server.requests.clear()
    server.reads.clear()
    return server


@pytest.fixture
def storage(google: Google) -> Any:
    return EncryptedStorage({"BACKEND": GOOGLE, "OPTIONS": google.options()})


@pytest.mark.parametrize("size", [0, 1, 65536, 65537, 3 << 20])
def test_what_is_stored_comes_back(storage: EncryptedStorage, size: int) -> None:
    """The object holds ciphertext, and its plaintext comes back."""
    name = storage.save("scans/page.html", ContentFile(TEXT[:size]))
    blob = storage.inner.bucket.get_blob(name)  # type: ignore[attr-defined]
    raw = blob.download_as_bytes()
    assert raw.startswith(b"\x89WVF")
    assert size < 100 or TEXT[:100] not in raw
    with storage.open(name) as file:
        assert (file.size, file.original_name) == (size, "page.html")
        assert file.read() == TEXT[:size]
        file.seek(size // 2)
        assert file.read(10) == TEXT[:size][size // 2 : size // 2 + 10]
    storage.delete(name)
    assert not storage.exists(name)
    with pytest.raises(FileNotFoundError):
        storage.open(name)


def test_a_broken_upload_leaves_nothing(storage: Any) -> None:
    """No object stays behind."""
    with pytest.raises(OSError, match="went away"):
        storage.save("b.bin", File(Breaking(3), name="b.bin"))
    assert not storage.exists("b.bin")


def test_an_object_that_was_changed(storage: Any) -> None:
    """Flipped, cut or foreign, an object is one clear error."""
    name = storage.save("a.bin", ContentFile(TEXT))
    blob = storage.inner.bucket.get_blob(name)
    raw = blob.download_as_bytes()
    for changed in (raw[:-1] + bytes([raw[-1] ^ 1]), raw[:-5], raw[:20], b"%PDF-1.7", raw + raw[1024:]):
        blob.upload_from_string(changed, content_type="application/octet-stream")
        with pytest.raises(EnvelopeError), storage.open(name) as file:
            file.read()


def frames(first: int, last: int) -> str:
    """The range of these frames of a file with a header of 1024 bytes."""
    return f"bytes={1024 + first * 65552}-{1024 + (last + 1) * 65552 - 1}"


def test_ranges_are_asked_for(storage: Any, google: Google) -> None:
    """A megabyte from the middle is three requests; two less where the process has read that file before."""
    name = storage.save("long.bin", ContentFile(TEXT))
    google.requests.clear()
    for requests, reads in ((3, ["bytes=0-131071", frames(16, 31)]), (1, [frames(16, 31)])):
        with storage.open(name) as file:
            file.seek(1 << 20)
            assert file.read(1 << 20) == TEXT[1 << 20 : 2 << 20]
        assert (len(google.requests), google.reads) == (requests, reads)
        google.requests.clear()
        google.reads.clear()


def test_it_reads_as_any_file_does(storage: Any) -> None:
    """Whatever is read, in whatever order."""
    name = storage.save("a.bin", ContentFile(TEXT))
    dice, plain = random.Random(2), ContentFile(TEXT)
    with storage.open(name) as file:
        for _ in range(40):
            place = dice.randrange(len(TEXT) + 1000)
            length = dice.choice([1, 1000, 65536, 300_000])
            assert (file.seek(place), file.read(length)) == (plain.seek(place), plain.read(length))


@pytest.mark.parametrize("text", [TEXT[:70_000], TEXT[::-1], None])
def test_an_object_that_was_replaced(storage: Any, text: bytes | None) -> None:
    """Between two readings, what is there now is read. While it is read, the error says so."""
    name = storage.save("a.bin", ContentFile(TEXT))
    reading = storage.open(name)
    assert reading.read(10) == TEXT[:10]
    storage.inner.delete(name)
    if text is not None:
        assert storage.save(name, ContentFile(text)) == name
    reading.seek(2 << 20)
    with pytest.raises(MalformedEnvelope if text else FileNotFoundError, match=r"replaced|not exist"):
        reading.read(10)
    if text is None:
        with pytest.raises(FileNotFoundError):
            storage.open(name).read()
    else:
        with storage.open(name) as file:
            assert file.read() == text


def test_objects_that_say_they_are_compressed(storage: Any) -> None:
    """A sealed file is none, whatever its name is. Of a plain one, what was compressed is read."""
    name = storage.save("page.css.gz", ContentFile(b"left" * 1000))
    blob = storage.inner.bucket.get_blob(name)
    assert blob.content_encoding == "gzip"
    with storage.open(name) as file:
        assert file.read() == b"left" * 1000
    plain = storage.inner.bucket.blob("plain.css")
    plain.content_encoding = "gzip"
    plain.upload_from_string(gzip.compress(b"right" * 1000), content_type="text/css")
    source = source_of(storage.inner, "plain.css")
    assert source.read_at(0, 6000) == b"right" * 1000
