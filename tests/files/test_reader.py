"""The plaintext of a sealed file, as a file: read anywhere, by threads and tasks, in constant memory."""

import asyncio
import io
import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from django_workos_vault.context import DeclaredContexts
from django_workos_vault.exceptions import DecryptionForbidden, TamperedEnvelope, UndeclaredKeyContext
from django_workos_vault.forbidding import ForbidDecryption
from django_workos_vault.keyring.ring import KeyRing
from django_workos_vault.streams.cipher import FileCipher
from tests.files.alone import growth
from tests.files.sealing import CLINIC, FRAME, Counting, opened, read, sealed, small

pytestmark = pytest.mark.django_db

TEXT = random.Random(1).randbytes(50 * FRAME + 17)


@pytest.mark.parametrize("padding", [None, "padme"])
@pytest.mark.parametrize("seed", range(8))
def test_it_reads_as_any_file_does(cipher: FileCipher, padding: str | None, seed: int) -> None:
    """Whatever is done with it, in whatever order, the answers are those of a file with the plaintext."""
    dice = random.Random(seed)
    ours, plain = opened(cipher, sealed(cipher, TEXT, padding=padding)), io.BytesIO(TEXT)

    def into(file: Any, length: int) -> bytes:
        buffer = bytearray(length)
        return bytes(buffer[: file.readinto(buffer)])

    for _ in range(150):
        length, place = dice.randrange(4 * FRAME), dice.randrange(len(TEXT) + FRAME)
        do = dice.choice(
            [
                lambda f, n=length: f.read(n),
                lambda f, n=length: into(f, n),
                lambda f, n=place: f.seek(n),
                lambda f, n=length: f.seek(-n, io.SEEK_END),
                lambda f, n=length: f.seek(n, io.SEEK_CUR),
                lambda f: f.tell(),
                lambda f: f.readline(80),
                lambda f: f.read(),
            ]
        )
        assert do(ours) == do(plain)
    assert list(opened(cipher, sealed(cipher, b"a\nb\n"))) == [b"a\n", b"b\n"]
    with io.TextIOWrapper(io.BufferedReader(opened(cipher, sealed(cipher, b"one\ntwo\n")))) as text:
        assert text.readlines() == ["one\n", "two\n"]
    for offset, whence in ((-1, 0), (-len(TEXT) - 1, 2)):
        with pytest.raises(ValueError, match="negative"):
            ours.seek(offset, whence)


def test_only_the_frames_needed_are_read(cipher: FileCipher) -> None:
    """A read of a few bytes asks the storage for their frames, and the same frame is not asked for twice."""
    stored = sealed(cipher, TEXT, fill=4096)
    source = Counting(stored)
    file = cipher.open(source)
    assert source.reads == [(0, 4096)]
    file.seek(10 * FRAME + 5)
    assert file.read(FRAME) == TEXT[10 * FRAME + 5 :][:FRAME]
    assert source.reads[1:] == [(4096 + 10 * (FRAME + 16), 2 * (FRAME + 16))]
    file.read(10)
    assert len(source.reads) == 2
    assert list(file.chunks(start=3, stop=9)) == [TEXT[3:9]]


def test_a_closed_file_is_closed(cipher: FileCipher) -> None:
    """Leaving the with block closes the stored file; then reading is a ValueError, as of any file."""
    source = Counting(sealed(cipher, TEXT))
    with cipher.open(source) as file:
        assert file.readable()
        assert file.seekable()
        assert not file.writable()
    assert source.closed
    for ask in (
        file.read,
        lambda: file.seek(0),
        lambda: file.readinto(bytearray(1)),
        lambda: next(file.chunks()),
    ):
        with pytest.raises(ValueError, match="closed"):
            ask()


def test_a_file_that_is_shared(cipher: FileCipher) -> None:
    """Threads that read one file get each byte once; each can go through all of it by itself."""
    file = opened(cipher, sealed(cipher, TEXT))
    with ThreadPoolExecutor(8) as pool:
        parts = list(pool.map(lambda _: file.read(7), range(1000)))
        wholes = list(pool.map(lambda _: b"".join(file.chunks()), range(8)))
    assert sorted(parts) == sorted(TEXT[at : at + 7] for at in range(0, 7000, 7))
    assert wholes == [TEXT] * 8


def test_async_code_reads_it(cipher: FileCipher) -> None:
    """It is iterated over with async for, all of it or a range."""
    file = opened(cipher, sealed(cipher, TEXT))

    async def work() -> tuple[bytes, bytes]:
        whole = b"".join([piece async for piece in file])
        return whole, b"".join([piece async for piece in file.achunks(start=100, stop=300)])

    assert asyncio.run(work()) == (TEXT, TEXT[100:300])


def test_decryption_forbidden(cipher: FileCipher) -> None:
    """Where opening is off, no file is opened, none that is open is read on, and sealing goes on."""
    stored = sealed(cipher, TEXT)
    file = opened(cipher, stored)
    unread = opened(cipher, stored)
    running = file.chunks(10)
    next(running)
    asks = [
        lambda: opened(cipher, stored),
        file.read,
        lambda: file.readinto(bytearray(9)),
        lambda: unread.size,
        lambda: next(file.chunks()),
        lambda: next(running),
    ]
    with ForbidDecryption("default"):
        sealed(cipher, TEXT)
        for ask in asks:
            with pytest.raises(DecryptionForbidden):
                ask()
    assert file.read() == TEXT


def test_stats_count_files(cipher: FileCipher) -> None:
    """A file sealed or opened counts as one value, whatever its length, and shares the key of its context."""
    stored = [sealed(cipher, TEXT) for _ in range(3)]
    assert [read(cipher, each) for each in stored] == [TEXT] * 3
    stats = cipher.keyring.stats()
    assert (stats.sealed, stats.opened, stats.keys_created, stats.requests) == (3, 3, 1, 1)


def test_without_a_key_nothing_is_begun(cipher: FileCipher) -> None:
    """When there is no key to seal with, the error comes before the first byte that could be written."""
    declared = DeclaredContexts({"app": lambda app: app == "another"})
    ring = KeyRing(
        vault="default",
        backend=cipher.keyring.backend,
        registry=cipher.keyring.registry,
        policy=cipher.keyring.policy,
        declared=declared,
    )
    with pytest.raises(UndeclaredKeyContext):
        small(ring).seal([TEXT], CLINIC)


def test_no_plaintext_in_reports(cipher: FileCipher) -> None:
    """A chunk that fails, or a frame that does not open, leaves no plaintext in its traceback."""
    secret = b"the secret itself, " * 8
    stored = sealed(cipher, secret)
    damaged = stored[:-1] + bytes([stored[-1] ^ 1])

    def failing() -> Any:
        yield secret
        raise OSError("the upload broke off")

    def asks() -> Any:
        yield lambda: list(cipher.seal(failing(), CLINIC)), OSError
        yield lambda: list(cipher.seal(failing(), CLINIC, padding="padme")), OSError
        yield lambda: opened(cipher, damaged).read(), TamperedEnvelope
        yield lambda: opened(cipher, damaged).readinto(bytearray(200)), TamperedEnvelope
        yield lambda: list(opened(cipher, damaged).chunks(stop=100)), TamperedEnvelope

    for ask, error in asks():
        with pytest.raises(error) as caught:
            ask()
        traceback = caught.value.__traceback__
        while traceback is not None:
            frame = traceback.tb_frame
            if "django_workos_vault" in frame.f_code.co_filename:
                for name, value in frame.f_locals.items():
                    kept = value if isinstance(value, list | tuple) else [value]
                    for each in kept:
                        if isinstance(each, bytes | bytearray | memoryview):
                            assert b"the secret" not in bytes(each), (frame.f_code.co_name, name)
            traceback = traceback.tb_next


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file() -> None:
    """Sealing and reading a long file takes no more than 8 MiB above the interpreter."""
    program = """
        import tempfile
        from tests.files.sealing import CLINIC, new_ring
        from django_workos_vault.streams.cipher import FileCipher
        from django_workos_vault.streams.sources import FileSource

        def run(megabytes):
            chunk = bytes(1 << 16)
            cipher = FileCipher(new_ring(), "big")
            with tempfile.TemporaryFile() as stored:
                for piece in cipher.seal((chunk for _ in range(16 * megabytes)), CLINIC, padding="padme"):
                    stored.write(piece)
                file = cipher.open(FileSource(stored))
                assert file.size == megabytes << 20
                assert sum(map(len, file.chunks())) == megabytes << 20
                file.seek(0)
                while file.read(1 << 16):
                    pass
    """
    assert growth(program) < 8 << 10


@pytest.mark.slow
def test_memory_of_an_upload_does_not_grow() -> None:
    """Uploading a long file through a field, and reading it, takes no more than 8 MiB either."""
    program = """
        import tempfile
        from django.conf import settings
        from django.core.files import File
        from tests.files.models import Scan

        folder = tempfile.TemporaryDirectory()
        settings.MEDIA_ROOT = folder.name

        def run(megabytes):
            scan = Scan()
            scan.file.save("long.bin", File(Upload(megabytes), name="long.bin"))
            scan = Scan.objects.get(pk=scan.pk)
            assert scan.file.size == megabytes << 20
            with scan.file.open() as file:
                assert sum(map(len, file.chunks())) == megabytes << 20
    """
    assert growth(program) < 8 << 10
