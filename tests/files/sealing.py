"""What the tests of encrypted files share."""

import io
from collections.abc import Iterator
from typing import BinaryIO

from django_workos_vault.backends.local import LocalVault
from django_workos_vault.context import KeyContext
from django_workos_vault.keyring.policy import DataKeyPolicy
from django_workos_vault.keyring.ring import KeyRing
from django_workos_vault.registry import DatabaseRegistry
from django_workos_vault.streams.cipher import FileCipher
from django_workos_vault.streams.reader import SealedFile
from django_workos_vault.streams.sources import BytesSource

CLINIC = KeyContext({"app": "clinic"})
ROW, OTHER_ROW = bytes(15) + b"\x01", bytes(15) + b"\x02"
LABEL = "app.Patient.scan"
#: The smallest, so that a small file has many.
FRAME = 64


def new_ring() -> KeyRing:
    return KeyRing(
        vault="default",
        backend=LocalVault(master_key=b"tests only: this is not a secret"),
        registry=DatabaseRegistry("default"),
        policy=DataKeyPolicy(),
    )


def small(ring: KeyRing, label: str = LABEL, previous: tuple[str, ...] = ()) -> FileCipher:
    return FileCipher(ring, label, previous, frame_exponent=6)


def sealed(cipher: FileCipher, plaintext: bytes, **options: object) -> bytes:
    options.setdefault("fill", 1)
    return b"".join(cipher.seal([plaintext], CLINIC, **options))  # type: ignore[arg-type]


def opened(cipher: FileCipher, stored: bytes, binding: bytes = b"") -> SealedFile:
    return cipher.open(BytesSource(stored), binding=binding)


def read(cipher: FileCipher, stored: bytes, binding: bytes = b"") -> bytes:
    return opened(cipher, stored, binding).read()


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    return pieces_of(io.BytesIO(data), size)


def pieces_of(file: BinaryIO, size: int) -> Iterator[bytes]:
    while piece := file.read(size):
        yield piece


class Counting(BytesSource):
    """Notes what is read of it."""

    def __init__(self, stored: bytes) -> None:
        super().__init__(stored)
        self.reads: list[tuple[int, int]] = []
        self.closed = False

    def read_at(self, offset: int, length: int) -> bytes:
        self.reads.append((offset, length))
        return super().read_at(offset, length)

    def close(self) -> None:
        self.closed = True
