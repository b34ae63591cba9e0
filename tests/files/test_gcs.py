"""Encrypted files on Google Cloud Storage, through django-storages, against an emulator on loopback."""

import random
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.files.base import ContentFile, File
from gcp_storage_emulator.server import create_server
from google.auth.credentials import AnonymousCredentials

from django_workos_vault.exceptions import EnvelopeError
from django_workos_vault.files import EncryptedStorage
from tests.files.s3.objects import Breaking

pytestmark = pytest.mark.django_db

TEXT = random.Random(1).randbytes(3 << 20)


@pytest.fixture(scope="module")
def emulator() -> Iterator[str]:
    server = create_server("127.0.0.1", 0, in_memory=True, default_bucket="files")
    server.start()
    host, port = server._api._httpd.server_address[:2]
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def storage(emulator: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", emulator)
    inner = {
        "BACKEND": "storages.backends.gcloud.GoogleCloudStorage",
        "OPTIONS": {"bucket_name": "files", "project_id": "tests", "credentials": AnonymousCredentials()},
    }
    return EncryptedStorage(inner)


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
