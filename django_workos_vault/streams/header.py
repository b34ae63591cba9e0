"""How an encrypted file begins: what says which key opens it, for which label and row, and how it is cut.

::

    magic 8 | version 1 | suite 1 | flags 1 | frame exponent 1 | header length 4 | label id 8 |
    commitment 32 | salt 32 | binding 16 | length 2 | sealed name | length 2 | key reference | zeros

All numbers are big-endian. ``docs/files-format.md`` describes the bytes, and why they are so.
"""

from dataclasses import dataclass, replace

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from django_workos_vault.datakey import COMMITMENT_BYTES, NONCE_BYTES, TAG_BYTES, LoadedKey
from django_workos_vault.envelope import (
    BINDING_BYTES,
    LABEL_ID_BYTES,
    MAX_KEY_REFERENCE_BYTES,
    SUITE_AES_256_GCM,
    Envelope,
)
from django_workos_vault.exceptions import MalformedEnvelope, TamperedEnvelope, UnknownFormat

#: As PNG's: a high bit, a name, and line ends that a transfer in text mode would change.
MAGIC = b"\x89WVF\r\n\x1a\n"
VERSION = 1
FILE_INFO = b"django_workos_vault/1/file"

BOUND = 1
REFERENCE = 2
PADDED = 4
KNOWN_FLAGS = BOUND | REFERENCE | PADDED

#: A frame holds 2**exponent bytes of plaintext.
MIN_FRAME_EXPONENT = 6
MAX_FRAME_EXPONENT = 24
FRAME_EXPONENT = 16

SALT_BYTES = 32
#: Names on a storage are at most 4096 bytes on common systems; padding and tag come on top.
MAX_SEALED_NAME_BYTES = 8192
NAME_BLOCK = 64
#: What a file's header is filled up to, so that another wrapping of the key fits in the same place.
HEADER_BLOCK = 1024

START_BYTES = 16
_FIXED = START_BYTES + LABEL_ID_BYTES + COMMITMENT_BYTES + SALT_BYTES + BINDING_BYTES
_LABEL = slice(START_BYTES, START_BYTES + LABEL_ID_BYTES)
_COMMITMENT = slice(_LABEL.stop, _LABEL.stop + COMMITMENT_BYTES)
_SALT = slice(_COMMITMENT.stop, _COMMITMENT.stop + SALT_BYTES)
_BINDING = slice(_SALT.stop, _FIXED)
MAX_HEADER_BYTES = _FIXED + 4 + MAX_SEALED_NAME_BYTES + MAX_KEY_REFERENCE_BYTES + HEADER_BLOCK

_CUT = "The file ends within its header: it was cut short."
_NONCE_OF_THE_NAME = bytes(NONCE_BYTES)  # the key is this file's and for this alone, and seals once


@dataclass(frozen=True, slots=True, repr=False)
class FileHeader:
    """What stands in front of the frames.

    ``binding`` is 16 bytes, all zero for a file that is bound to no row. ``sealed_name`` is the file's name
    with its tag, and the tag alone where there is no name: it vouches for the header. ``key_reference`` is
    Vault's wrapped data key, or nothing where the registry keeps that. ``length`` is the whole header's.
    """

    flags: int
    frame_exponent: int
    label_id: bytes
    commitment: bytes
    salt: bytes
    binding: bytes
    sealed_name: bytes
    key_reference: bytes
    length: int = 0

    @property
    def frame_bytes(self) -> int:
        """Bytes of plaintext in each frame but the last."""
        return 1 << self.frame_exponent

    @property
    def wants(self) -> Envelope:
        """What the key ring is asked for, as a cell would ask."""
        nothing = b""
        return Envelope(
            VERSION, self.flags, self.label_id, self.commitment, self.binding, self.key_reference,
            nothing, nothing, nothing, nothing, 0,
        )  # fmt: skip

    def keys(self, key: LoadedKey, label: str) -> tuple[AESGCM, AESGCM]:
        """Return the two keys of this file: for its name, and for its frames.

        HKDF-SHA256 (RFC 5869) with the file's salt. All that the header says goes in, but for the wrapped
        key, where that is kept and how much room there is: a file can be rekeyed without touching its
        frames, and with any other change nothing opens.
        """
        said = bytes((VERSION, SUITE_AES_256_GCM, self.flags & ~REFERENCE, self.frame_exponent))
        info = FILE_INFO + said + self.commitment + self.binding + label.encode()
        derived = key.derive(info, salt=self.salt, length=64)
        return AESGCM(derived[:32]), AESGCM(derived[32:])

    def named(self, sealed_name: bytes) -> "FileHeader":
        """Return the header with its name, which is sealed under a key that the rest of it gives."""
        return replace(self, sealed_name=sealed_name)

    def packed(self, fill: int = 1, size: int = 0) -> bytes:
        """Return the header's bytes, filled up to a multiple of ``fill``, and to ``size`` at least.

        Raises MalformedEnvelope for a wrapped key that is too long.
        """
        if len(self.key_reference) > MAX_KEY_REFERENCE_BYTES:
            raise MalformedEnvelope(
                f"The wrapped key has {len(self.key_reference)} bytes, more than {MAX_KEY_REFERENCE_BYTES}."
            )
        body = b"".join(
            (
                self.label_id,
                self.commitment,
                self.salt,
                self.binding,
                len(self.sealed_name).to_bytes(2),
                self.sealed_name,
                len(self.key_reference).to_bytes(2),
                self.key_reference,
            )
        )
        length = max(size, -(-(START_BYTES + len(body)) // fill) * fill)
        start = MAGIC + bytes((VERSION, SUITE_AES_256_GCM, self.flags, self.frame_exponent))
        return (start + length.to_bytes(4) + body).ljust(length, b"\x00")

    def rewrapped(self, wrapped: bytes) -> bytes:
        """Return the header with another wrapping of the same data key, as long as before where it fits.

        Then it can be written over the old one in place; else the frames have to be copied behind it.
        """
        flags = self.flags & ~REFERENCE if wrapped else self.flags | REFERENCE
        return replace(self, flags=flags, key_reference=wrapped).packed(HEADER_BLOCK, self.length)


def seal_name(name: str, name_key: AESGCM) -> bytes:
    """Return ``name`` sealed, padded so that its length shows in steps of 64 bytes; nothing stays nothing.

    Raises ValueError for a name that no storage would take.
    """
    padded = b""
    if name:
        padded = name.encode(errors="replace") + b"\x80"
        padded += bytes(-len(padded) % NAME_BLOCK)
    if len(padded) + TAG_BYTES > MAX_SEALED_NAME_BYTES:
        raise ValueError(f"A file's name has less than {MAX_SEALED_NAME_BYTES} bytes.")
    return name_key.encrypt(_NONCE_OF_THE_NAME, padded, None)


def open_name(sealed: bytes, name_key: AESGCM) -> str:
    """Return the sealed name. Raises TamperedEnvelope when anything in the header was changed."""
    try:
        padded = name_key.decrypt(_NONCE_OF_THE_NAME, sealed, None)
    except InvalidTag:
        raise TamperedEnvelope("The file's header was changed after it was sealed.") from None
    return padded.rstrip(b"\x00")[:-1].decode(errors="replace")


def header_length(start: bytes) -> int:
    """Return how long the header is that begins with ``start``, the first 16 bytes of a file.

    Raises MalformedEnvelope when this is no encrypted file, UnknownFormat for one of another version.
    """
    if not start:
        raise MalformedEnvelope("The file is empty: nothing was sealed into it, or all of it was cut off.")
    if not start.startswith(MAGIC[: len(start)]):
        raise MalformedEnvelope("This is not an encrypted file: it begins with other bytes.")
    if len(start) < START_BYTES:
        raise MalformedEnvelope(_CUT)
    version, suite, flags, exponent = start[8:12]
    if version != VERSION:
        age = "older" if version < VERSION else "newer"
        raise UnknownFormat(f"The file is of version {version}, {age} than this release reads.")
    if suite != SUITE_AES_256_GCM:
        raise UnknownFormat(f"The file's cipher suite {suite} is not known to this release.")
    if flags & ~KNOWN_FLAGS:
        raise UnknownFormat(f"The file's flags {flags:#x} are not known to this release.")
    if not MIN_FRAME_EXPONENT <= exponent <= MAX_FRAME_EXPONENT:
        raise MalformedEnvelope("The file's header claims an impossible frame size.")
    length = int.from_bytes(start[12:16])
    if not _FIXED + 4 + TAG_BYTES <= length <= MAX_HEADER_BYTES:
        raise MalformedEnvelope(f"The file's header claims to be {length} bytes long.")
    return length


def parse(header: bytes) -> FileHeader:
    """Take a whole header apart. Raises MalformedEnvelope or UnknownFormat; nothing is decrypted."""
    length = header_length(header[:START_BYTES])
    if len(header) < length:
        raise MalformedEnvelope(_CUT)
    name, at = _part(header, _FIXED, MAX_SEALED_NAME_BYTES, length)
    reference, at = _part(header, at, MAX_KEY_REFERENCE_BYTES, length)
    flags = header[10]
    binding = header[_BINDING]
    if bool(reference) == bool(flags & REFERENCE):
        raise MalformedEnvelope("The file's flags and its key reference contradict each other.")
    if any(binding) and not flags & BOUND:
        raise MalformedEnvelope("The file's flags and its row binding contradict each other.")
    if len(name) < TAG_BYTES or any(header[at:length]):
        raise MalformedEnvelope("The file's header is damaged.")
    return FileHeader(
        flags=flags,
        frame_exponent=header[11],
        label_id=header[_LABEL],
        commitment=header[_COMMITMENT],
        salt=header[_SALT],
        binding=binding,
        sealed_name=name,
        key_reference=reference,
        length=length,
    )


def _part(header: bytes, at: int, most: int, end: int) -> tuple[bytes, int]:
    length = int.from_bytes(header[at : at + 2])
    stop = at + 2 + length
    if length > most or stop > end:
        raise MalformedEnvelope("The file's header claims a part that does not fit in it.")
    return header[at + 2 : stop], stop
