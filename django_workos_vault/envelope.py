"""The byte layout of one encrypted cell, as pure functions.

::

    [0x80+n | digest 32 x n]  version 1 | suite 1 | flags 1 | label id 8 | commitment 32 |
    [row binding 16] | LEB128 length | key reference | nonce 12 | tag 16 | ciphertext

* The bracketed front holds blind-index digests. It says its own length, so adding an index to a column
  does not make older cells unreadable, and the database can index a fixed range of bytes.
* suite 1 is AES-256-GCM (NIST SP 800-38D) under the data key itself, with a random 96-bit nonce.
* flags: 1 row binding present, 2 the key reference is empty and the key is looked up in the registry by
  its commitment, 4 the plaintext is padded (ISO/IEC 7816-4).
* label id: the first 8 bytes of SHA-256 of the label, ``app_label.Model.field``.
* commitment: HKDF-SHA256 of the data key. GCM alone does not commit to its key.
* key reference: Vault's wrapped data key, opaque.

The associated data is text, as the WorkOS SDKs take it (see ``sdk_format``). It covers everything but the key
reference: a data key can be rekeyed without touching the ciphertext.
"""

from dataclasses import dataclass
from hashlib import sha256

from django_workos_vault.datakey import COMMITMENT_BYTES, NONCE_BYTES, TAG_BYTES
from django_workos_vault.exceptions import MalformedEnvelope, UnknownFormat

VERSION = 1
SUITE_AES_256_GCM = 1

BOUND = 1
REFERENCE = 2
PADDED = 4
KNOWN_FLAGS = BOUND | REFERENCE | PADDED

LABEL_ID_BYTES = 8
BINDING_BYTES = 16
DIGEST_BYTES = 32
MAX_DIGESTS = 16
MAX_KEY_REFERENCE_BYTES = 8192

_DIGESTS_MARK = 0x80
_LABEL_AT = 3
_COMMITMENT_AT = _LABEL_AT + LABEL_ID_BYTES
AFTER_COMMITMENT = _COMMITMENT_AT + COMMITMENT_BYTES


@dataclass(frozen=True, slots=True, repr=False)
class Envelope:
    """One parsed cell. ``body_at`` is the offset of the nonce in the cell it came from."""

    version: int
    flags: int
    label_id: bytes
    commitment: bytes
    binding: bytes
    key_reference: bytes
    nonce: bytes
    tag: bytes
    ciphertext: bytes
    digests: bytes
    body_at: int


def label_id(label: str) -> bytes:
    """Return the 8 bytes that stand for ``label`` in an envelope."""
    return sha256(label.encode()).digest()[:LABEL_ID_BYTES]


def associated_data(flags: int, commitment: bytes, binding: bytes, digests: bytes, label: str) -> bytes:
    """Return the associated data as UTF-8 text.

    The label comes last because it alone has no fixed alphabet, so no two inputs give the same text.
    The REFERENCE flag is left out: where the wrapped key is kept is not a property of the ciphertext.
    """
    parts = (str(VERSION), str(SUITE_AES_256_GCM), str(flags & ~REFERENCE))
    return ":".join((*parts, commitment.hex(), binding.hex(), digests.hex(), label)).encode()


def header(flags: int, label_id: bytes, commitment: bytes, binding: bytes, key_reference: bytes) -> bytes:
    """Return the bytes of an envelope before its nonce."""
    if len(key_reference) > MAX_KEY_REFERENCE_BYTES:
        raise MalformedEnvelope(
            f"the wrapped data key has {len(key_reference)} bytes, more than {MAX_KEY_REFERENCE_BYTES}"
        )
    return b"".join(
        (
            bytes((VERSION, SUITE_AES_256_GCM, flags)),
            label_id,
            commitment,
            binding,
            encode_leb128(len(key_reference)),
            key_reference,
        )
    )


def digests_front(digests: bytes) -> bytes:
    """Return the marked front of a cell that carries ``digests`` (whole 32-byte digests), or nothing.

    Raises MalformedEnvelope when they are not whole or too many: the cell could never be read again.
    """
    if not digests:
        return b""
    count, rest = divmod(len(digests), DIGEST_BYTES)
    if rest or count > MAX_DIGESTS:
        raise MalformedEnvelope(f"a cell carries at most {MAX_DIGESTS} digests of {DIGEST_BYTES} bytes")
    return bytes((_DIGESTS_MARK + count,)) + digests


def digests_end(cell: bytes) -> int:
    """Return the offset behind the digests of ``cell``, 0 when it has none or claims an impossible number."""
    count = cell[0] - _DIGESTS_MARK if cell else 0
    return 1 + count * DIGEST_BYTES if 1 <= count <= MAX_DIGESTS else 0


def parse(cell: bytes) -> Envelope:
    """Take one stored cell apart.

    Raises MalformedEnvelope when it is not an envelope or is cut short, UnknownFormat when it is one of
    a version, suite or flag that this release does not know. Nothing is decrypted.
    """
    digests, start = _split_digests(cell)
    if len(cell) < start + AFTER_COMMITMENT + 1 + NONCE_BYTES + TAG_BYTES:
        raise MalformedEnvelope(f"too short for an envelope: {len(cell)} bytes")
    version, suite, flags = cell[start : start + _LABEL_AT]
    if version != VERSION:
        raise UnknownFormat(f"envelope version {version} is not known to this release")
    if suite != SUITE_AES_256_GCM:
        raise UnknownFormat(f"cipher suite {suite} is not known to this release")
    if flags & ~KNOWN_FLAGS:
        raise UnknownFormat(f"envelope flags {flags:#x} are not known to this release")
    after_binding = start + AFTER_COMMITMENT + (BINDING_BYTES if flags & BOUND else 0)
    length, reference_at = decode_leb128(cell, after_binding)
    if length > MAX_KEY_REFERENCE_BYTES:
        raise MalformedEnvelope(
            f"the key reference claims {length} bytes, more than {MAX_KEY_REFERENCE_BYTES}"
        )
    if (length == 0) != bool(flags & REFERENCE):
        raise MalformedEnvelope("the envelope's flags and its key reference contradict each other")
    body_at = reference_at + length
    tag_at = body_at + NONCE_BYTES
    ciphertext_at = tag_at + TAG_BYTES
    if len(cell) < ciphertext_at:
        raise MalformedEnvelope("the envelope ends before its tag")
    return Envelope(
        version=version,
        flags=flags,
        label_id=cell[start + _LABEL_AT : start + _COMMITMENT_AT],
        commitment=cell[start + _COMMITMENT_AT : start + AFTER_COMMITMENT],
        binding=cell[start + AFTER_COMMITMENT : after_binding],
        key_reference=cell[reference_at:body_at],
        nonce=cell[body_at:tag_at],
        tag=cell[tag_at:ciphertext_at],
        ciphertext=cell[ciphertext_at:],
        digests=digests,
        body_at=body_at,
    )


def with_key_reference(cell: bytes, key_reference: bytes) -> bytes:
    """Return ``cell`` with another wrapping of the same data key. Raises what :func:`parse` raises.

    Without bytes it refers to the registry.
    """
    parsed = parse(cell)
    flags = parsed.flags & ~REFERENCE if key_reference else parsed.flags | REFERENCE
    return (
        digests_front(parsed.digests)
        + header(flags, parsed.label_id, parsed.commitment, parsed.binding, key_reference)
        + cell[parsed.body_at :]
    )


def _split_digests(cell: bytes) -> tuple[bytes, int]:
    if not cell:
        raise MalformedEnvelope("the cell is empty")
    if cell[:1].isascii() and cell[:1].decode().isprintable():  # not told which: it may be somebody's secret
        raise MalformedEnvelope(
            "the cell holds text and no envelope: it was written past Django, or is plaintext from before "
            "the column was encrypted (manage.py vault_check --explain adopting)"
        )
    end = digests_end(cell)
    if not end and cell[0] >= _DIGESTS_MARK:
        raise MalformedEnvelope(f"the cell claims {cell[0] - _DIGESTS_MARK} blind-index digests")
    return cell[1:end], end


def encode_leb128(value: int) -> bytes:
    """Return ``value`` (0 to 2**21 - 1) as unsigned LEB128, in its shortest form."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def decode_leb128(data: bytes, at: int) -> tuple[int, int]:
    """Return the number at offset ``at`` and the offset behind it. At most 3 bytes, shortest form only."""
    value = 0
    for index, byte in enumerate(data[at : at + 3]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            if byte == 0 and index:
                break
            return value, at + index + 1
    raise MalformedEnvelope("the key reference's length is not a number in shortest form")
