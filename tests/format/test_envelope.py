"""The byte layout: known-answer vectors, and what malformed input gives."""

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from django_workos_vault import envelope
from django_workos_vault.datakey import COMMITMENT_INFO, derive
from django_workos_vault.exceptions import EnvelopeError, MalformedEnvelope, UnknownFormat

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "envelope_v1.json").read_text())
INLINE = bytes.fromhex(VECTORS[0]["cell"])


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_known_answers_are_made(vector: dict[str, Any]) -> None:
    """From the vector's inputs, our functions make its very bytes."""
    key, nonce = bytes.fromhex(vector["data_key"]), bytes.fromhex(vector["nonce"])
    binding, digests = bytes.fromhex(vector["binding"]), bytes.fromhex(vector["digests"])
    commitment = derive(key, COMMITMENT_INFO)
    text = envelope.associated_data(vector["flags"], commitment, binding, digests, vector["label"])
    assert text.decode() == vector["associated_data"]
    sealed = AESGCM(key).encrypt(nonce, bytes.fromhex(vector["plaintext"]), text)
    label_id = envelope.label_id(vector["label"])
    head = envelope.header(
        vector["flags"], label_id, commitment, binding, bytes.fromhex(vector["key_reference"])
    )
    cell = envelope.digests_front(digests) + head + nonce + sealed[-16:] + sealed[:-16]
    assert cell.hex() == vector["cell"]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_known_answers_are_read(vector: dict[str, Any]) -> None:
    """A vector's cell comes apart into its inputs."""
    parsed = envelope.parse(bytes.fromhex(vector["cell"]))
    assert parsed.flags == vector["flags"]
    assert parsed.label_id == envelope.label_id(vector["label"])
    assert parsed.binding.hex() == vector["binding"]
    assert parsed.digests.hex() == vector["digests"]
    assert parsed.key_reference.hex() == vector["key_reference"]
    assert parsed.nonce.hex() == vector["nonce"]


def test_every_truncation_is_one_clear_error() -> None:
    """A cell that lost its end is malformed as long as its tag is incomplete."""
    body_at = envelope.parse(INLINE).body_at
    for length in range(body_at + envelope.NONCE_BYTES + envelope.TAG_BYTES):
        with pytest.raises(MalformedEnvelope):
            envelope.parse(INLINE[:length])


@pytest.mark.parametrize(("offset", "value"), [(0, 0), (0, 2), (0, 127), (1, 0), (1, 2), (2, 8), (2, 255)])
def test_unknown_formats_are_named(offset: int, value: int) -> None:
    """A version, suite or flag from the future is not taken for damage."""
    cell = bytearray(INLINE)
    cell[offset] = value
    with pytest.raises(UnknownFormat, match=r"\d"):
        envelope.parse(bytes(cell))


@pytest.mark.parametrize("text", [b"1", b"123-45-6789", b"longer than any envelope " * 10])
def test_text_is_told_from_damage(text: bytes) -> None:
    """Plaintext that was never sealed is refused with a message that says so, and quotes none of it."""
    with pytest.raises(MalformedEnvelope, match="before the column was encrypted") as caught:
        envelope.parse(text)
    assert "1" not in str(caught.value)


@pytest.mark.parametrize("front", [b"\x80", b"\x91", b"\xff"])
def test_impossible_digest_counts_are_refused(front: bytes) -> None:
    """A front that claims no digest, or more than 16, is malformed."""
    with pytest.raises(MalformedEnvelope, match="digests"):
        envelope.parse(front + bytes(32 * 128) + INLINE)


@pytest.mark.parametrize("length", [b"\xff\xff\xff\xff\x01", b"\xff\xff\x7f", b"\x81\x00", b"\x80\x80\x00"])
def test_key_reference_lengths_are_bounded(length: bytes) -> None:
    """A length that is too large, too long or not in shortest form is malformed."""
    with pytest.raises(MalformedEnvelope):
        envelope.parse(INLINE[:43] + length + bytes(9000))


@pytest.mark.parametrize("flags", [0, envelope.REFERENCE])
def test_flag_and_reference_must_agree(flags: int) -> None:
    """A cell either carries its wrapped key or refers to the registry, never both or neither."""
    reference = b"wrapped" if flags else b""
    cell = envelope.header(flags, bytes(8), bytes(32), b"", reference) + bytes(28)
    with pytest.raises(MalformedEnvelope, match="contradict"):
        envelope.parse(cell)


@given(st.binary(max_size=600))
def test_no_bytes_break_the_parser(data: bytes) -> None:
    """Whatever the bytes, the parser gives an envelope or an EnvelopeError."""
    for cell in (data, INLINE[: len(data)] + data, b"\x81" + data):
        try:
            envelope.parse(cell)
        except EnvelopeError:
            continue


@given(st.integers(0, 2**21 - 1))
def test_leb128_round_trips(number: int) -> None:
    """A length comes back, with the offset behind it."""
    encoded = envelope.encode_leb128(number)
    assert envelope.decode_leb128(b"xx" + encoded + b"yy", 2) == (number, 2 + len(encoded))


def test_no_two_inputs_share_associated_data() -> None:
    """The label is the only part of free form and stands last, so parts cannot run into each other."""
    one = envelope.associated_data(0, bytes(32), b"", b"", "a.B.c:d")
    other = envelope.associated_data(0, bytes(32), b"", b"", "d")
    assert one != other
    assert one.split(b":", 6)[6] == b"a.B.c:d"


def test_where_the_wrapped_key_is_kept_is_not_authenticated() -> None:
    """Moving a cell between inline and reference leaves its ciphertext alone."""
    assert envelope.associated_data(envelope.REFERENCE, bytes(32), b"", b"", "x") == (
        envelope.associated_data(0, bytes(32), b"", b"", "x")
    )
