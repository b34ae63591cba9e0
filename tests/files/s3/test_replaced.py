"""Objects on S3 that somebody replaced or changed, between two readings or within one."""

from typing import Any

import pytest
from django.core.files.base import ContentFile

from django_workos_vault.exceptions import EnvelopeError, MalformedEnvelope, TamperedEnvelope
from django_workos_vault.files import EncryptedStorage
from django_workos_vault.handler import vaults
from django_workos_vault.streams.cipher import read_header
from django_workos_vault.streams.sources import BytesSource
from tests.files.s3.objects import TEXT

pytestmark = pytest.mark.django_db


def replaced(storage: Any, client: Any, name: str, how: str) -> bytes | None:
    """Let somebody else put another thing under the name. Return its plaintext, if it has one."""
    key = {"Bucket": "files", "Key": f"media/{name}"}
    raw = client.get_object(**key)["Body"].read() if how in ("cut", "rekeyed") else b""
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
