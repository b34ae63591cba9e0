"""Whatever is done to stored bytes, in whatever way they were stored, is an error."""

import io
import random
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, InMemoryStorage
from moto.server import ThreadedMotoServer

from django_workos_vault.exceptions import EnvelopeError
from django_workos_vault.files import EncryptedStorage
from django_workos_vault.handler import vaults
from django_workos_vault.streams.cipher import read_header
from django_workos_vault.streams.sources import BytesSource
from tests.files.models import Report, Scan
from tests.files.s3.objects import options

pytestmark = pytest.mark.django_db

FRAME = 65536 + 16
TEXTS = [random.Random(n).randbytes(200_000) for n in range(2)]

#: What seals a text somewhere; what is stored can be had and put, and the text read back.
Kind = Callable[[Any, bytes], tuple[Callable[[], bytes], Callable[[bytes], None], Callable[[], bytes]]]


def in_storage(inner: Any, text: bytes, **given: Any) -> Any:
    storage = EncryptedStorage(inner, **given)
    name = storage.save("a.bin", ContentFile(text))
    return stored_in(inner, name, lambda: storage.open(name))


def stored_in(inner: Any, name: str, open_file: Callable[[], Any]) -> Any:
    def get() -> bytes:
        with inner.open(name) as file:
            return file.read()  # type: ignore[no-any-return]

    def put(changed: bytes) -> None:
        if bucket := getattr(inner, "bucket", None):
            bucket.put_object(Key=name, Body=changed)
            return
        inner.delete(name)
        assert inner.save(name, ContentFile(changed)) == name

    def read() -> bytes:
        with open_file() as file:
            return file.read()  # type: ignore[no-any-return]

    return get, put, read


def in_field(model: Any, inner: Any, text: bytes, **fields: Any) -> Any:
    field = model._meta.get_field("file")
    field.storage = inner
    row = model.objects.create(file=ContentFile(text, name="a.bin"), **fields)
    return stored_in(inner, row.file.name, lambda: model.objects.get(pk=row.pk).file.open())


def in_blob(inner: Any, text: bytes, stream: bool = False) -> Any:
    vault = vaults["default"]
    held = [b"".join(vault.encrypt_stream(text, name="a", padding=1000)) if stream else vault.encrypt(text)]

    def read() -> bytes:
        return vault.decrypt_stream(io.BytesIO(held[0])).read() if stream else vault.decrypt(held[0])

    return lambda: held[0], lambda changed: held.__setitem__(0, changed), read


KINDS: dict[str, Kind] = {
    "storage": in_storage,
    "storage, padded": lambda inner, text: in_storage(inner, text, padding="padme", conceal_names=True),
    "storage, blocks": lambda inner, text: in_storage(inner, text, padding=5000),
    "field": lambda inner, text: in_field(Scan, inner, text),
    "field, bound and padded": lambda inner, text: in_field(Report, inner, text, clinic="org_1"),
    "blob": in_blob,
    "stream": lambda inner, text: in_blob(inner, text, stream=True),
}


@pytest.fixture(params=["folder", "memory", "s3"])
def inner(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[Any]:
    fields = [model._meta.get_field("file") for model in (Scan, Report)]
    before = [field.storage for field in fields]
    if request.param == "folder":
        yield FileSystemStorage(tmp_path)
    elif request.param == "memory":
        yield InMemoryStorage()
    else:
        from storages.backends.s3 import S3Storage

        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
        server.start()
        host, port = server.get_host_and_port()
        storage = S3Storage(**options(f"http://{host}:{port}", file_overwrite=False))
        storage.connection.meta.client.create_bucket(Bucket="files")
        yield storage
        server.stop()
    for field, storage in zip(fields, before, strict=True):
        field.storage = storage


def attacks(stored: bytes, other: bytes, dice: random.Random) -> Iterator[tuple[str, bytes]]:
    """Yield what somebody may make of ``stored`` and of ``other``, which is sealed in the same way."""
    start = read_header(BytesSource(stored)).length
    ends = [*range(start, len(stored), FRAME), len(stored)]
    frames = [stored[a:b] for a, b in pairwise(ends)]
    for a, b in [(0, 16), (16, 104), (104, start), *pairwise(ends)]:
        at = dice.randrange(a, b)
        yield (
            f"flipped at {at}",
            stored[:at] + bytes([stored[at] ^ 1 << dice.randrange(8)]) + stored[at + 1 :],
        )
        yield f"cut at {at}", stored[:at]
        yield f"a byte less at {at}", stored[:at] + stored[at + 1 :]
        yield f"a byte more at {at}", stored[:at] + b"\0" + stored[at:]
        yield f"spliced at {at}", stored[:at] + other[at:]
    for end in ends[:-1]:
        yield f"cut at the frame at {end}", stored[:end]
        yield f"spliced at the frame at {end}", stored[:end] + other[end:]
    yield "cut by a byte", stored[:-1]
    yield "a byte appended", stored + b"\0"
    yield "a frame appended", stored + frames[-1]
    yield "the body appended", stored + stored[start:]
    yield "itself appended", stored + stored
    yield "frames exchanged", stored[:start] + b"".join([frames[1], frames[0], *frames[2:]])
    yield "a frame repeated", stored[:start] + b"".join([frames[0], *frames])
    yield "a frame left out", stored[:start] + b"".join(frames[1:])
    yield "empty", b""
    yield "zeros", bytes(len(stored))
    yield "in clear", TEXTS[0]
    yield "a newer version", stored[:8] + b"\x02" + stored[9:]
    yield "an older version", stored[:8] + b"\x00" + stored[9:]


@pytest.mark.parametrize("kind", KINDS)
def test_stored_bytes_that_were_changed(kind: str, inner: Any) -> None:
    """Flipped, cut, swapped, spliced, appended to, emptied, foreign: one EnvelopeError that says why."""
    get, put, read = KINDS[kind](inner, TEXTS[0])
    stored, other = get(), KINDS[kind](inner, TEXTS[1])[0]()
    assert read() == TEXTS[0]
    dice = random.Random(kind)
    survived = []
    for what, changed in attacks(stored, other, dice):
        if changed in (stored, other):
            continue  # a file that is bound to nothing can be exchanged with another as a whole
        put(changed)
        try:
            read()
        except EnvelopeError as exc:
            told = str(exc)
        else:
            told = ""
        if not told:
            survived.append(what)
    assert survived == []
    put(stored)
    assert read() == TEXTS[0]
