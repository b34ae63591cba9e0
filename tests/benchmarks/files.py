"""Encrypted files beside bare AES-GCM over the same frames: ``python -m tests.benchmarks.files``."""

import argparse
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.benchmarks.settings")

import django

django.setup()

from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: E402
from django.core.management import call_command  # noqa: E402

from django_workos_vault.streams.cipher import FileCipher  # noqa: E402
from django_workos_vault.streams.sources import FileSource  # noqa: E402
from tests.files.sealing import CLINIC, new_ring, pieces_of  # noqa: E402

FRAME = 1 << 16


def main() -> None:
    """Parse the options, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    call_command("migrate", run_syncdb=True, verbosity=0)
    cipher = FileCipher(new_ring(), "benchmark")
    with tempfile.TemporaryDirectory() as folder:
        plain, stored, bare = (Path(folder, name) for name in ("plain", "stored", "bare"))
        block = os.urandom(1 << 20)
        _write(plain, (block for _ in range(options.megabytes)))
        before = _peak()
        _write(stored, cipher.seal(_chunks(plain, FRAME), CLINIC))
        with cipher.open(FileSource(stored.open("rb"))) as file:
            assert sum(map(len, file.chunks())) == options.megabytes << 20
        grown = _peak() - before
        _write(bare, _bare_seal(plain))
        times = _measured(cipher, plain, stored, bare, options.repeats)
    print(f"{options.megabytes} MiB, warm page cache, one thread, CPU time, median of {options.repeats}.\n")
    print("| what | MiB/s | of bare AES-GCM |\n| --- | ---: | ---: |")
    for name in times:
        base = "bare AES-GCM, opening" if name in OPENING else "bare AES-GCM, sealing"
        print(f"| {name} | {options.megabytes / times[name]:.0f} | {times[base] / times[name]:.2f} |")
    print(f"\nWriting and reading the file took {grown / 1024:.1f} MiB above the interpreter.")


OPENING = {
    "bare AES-GCM, opening",
    "chunks()",
    "read(64 KiB)",
    "read(1 MiB)",
    "readinto(1 MiB)",
    "Tink's streaming AEAD, opening",
}


def _measured(cipher: FileCipher, plain: Path, stored: Path, bare: Path, repeats: int) -> dict[str, float]:
    buffer = bytearray(1 << 20)

    def opened(step: Callable[..., object]) -> None:
        with cipher.open(FileSource(stored.open("rb"))) as file:
            while step(file):
                pass

    def chunked() -> None:
        with cipher.open(FileSource(stored.open("rb"))) as file:
            _drop(file.chunks())

    runs: dict[str, Callable[[], None]] = {
        "bare AES-GCM, sealing": lambda: _drop(_bare_seal(plain)),
        "seal, 64 KiB chunks": lambda: _drop(cipher.seal(_chunks(plain, FRAME), CLINIC)),
        "seal, 1 MiB chunks": lambda: _drop(cipher.seal(_chunks(plain, 1 << 20), CLINIC)),
        "bare AES-GCM, opening": lambda: _drop(_bare_open(bare)),
        "chunks()": chunked,
        "read(64 KiB)": lambda: opened(lambda file: file.read(FRAME)),  # type: ignore[attr-defined]
        "read(1 MiB)": lambda: opened(lambda file: file.read(1 << 20)),  # type: ignore[attr-defined]
        "readinto(1 MiB)": lambda: opened(lambda file: file.readinto(buffer)),  # type: ignore[attr-defined]
    }
    runs |= _tink(plain, stored.with_name("tink"))
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            started = time.process_time()
            run()
            times[name].append(time.process_time() - started)
    return {name: statistics.median(taken) for name, taken in times.items()}


def _tink(plain: Path, stored: Path) -> dict[str, Callable[[], None]]:
    """Return what Tink's Python library does with the same file, where it is installed."""
    try:
        import tink
        from tink import streaming_aead
    except ImportError:
        return {}
    streaming_aead.register()
    template = streaming_aead.streaming_aead_key_templates.AES256_GCM_HKDF_1MB
    primitive = tink.new_keyset_handle(template).primitive(streaming_aead.StreamingAead)

    def seal(into: BinaryIO) -> None:
        with primitive.new_encrypting_stream(into, b"") as stream:
            for chunk in _chunks(plain, 1 << 20):
                stream.write(chunk)

    def opened() -> None:
        with primitive.new_decrypting_stream(stored.open("rb"), b"") as stream:
            _drop(iter(lambda: stream.read(1 << 20), b""))

    seal(stored.open("wb"))
    return {
        "Tink's streaming AEAD, sealing": lambda: seal(open(os.devnull, "wb")),
        "Tink's streaming AEAD, opening": opened,
    }


def _bare_seal(plain: Path) -> Iterable[bytes]:
    key = AESGCM(bytes(32))
    for number, piece in enumerate(_chunks(plain, FRAME)):
        yield key.encrypt(number.to_bytes(12), piece, None)


def _bare_open(bare: Path) -> Iterable[bytes]:
    key = AESGCM(bytes(32))
    for number, piece in enumerate(_chunks(bare, FRAME + 16)):
        yield key.decrypt(number.to_bytes(12), piece, None)


def _chunks(path: Path, step: int) -> Iterable[bytes]:
    with path.open("rb") as file:
        yield from pieces_of(file, step)


def _write(path: Path, chunks: Iterable[bytes]) -> None:
    with path.open("wb") as file:
        file.writelines(chunks)


def _drop(chunks: Iterable[bytes]) -> None:
    for _ in chunks:
        pass


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main()
