"""The format of encrypted files: known answers, made and read."""

import json
from pathlib import Path
from typing import Any

import pytest

from django_workos_vault import envelope
from django_workos_vault.datakey import DataKey, LoadedKey
from django_workos_vault.streams import header as headers
from django_workos_vault.streams.frames import Frames, seal_frames
from django_workos_vault.streams.padding import padded
from django_workos_vault.streams.sources import BytesSource

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "file_v1.json").read_text())


def key_of(vector: dict[str, Any]) -> LoadedKey:
    return LoadedKey(DataKey("key", bytearray.fromhex(vector["data_key"]), b"w"))


def bytes_of(vector: dict[str, Any], name: str) -> bytes:
    return bytes.fromhex(vector[name])


def made(vector: dict[str, Any]) -> bytes:
    key = key_of(vector)
    header = headers.FileHeader(
        flags=vector["flags"],
        frame_exponent=vector["frame_exponent"],
        label_id=envelope.label_id(vector["label"]),
        commitment=key.commitment,
        salt=bytes_of(vector, "salt"),
        binding=bytes_of(vector, "binding"),
        sealed_name=b"",
        key_reference=bytes_of(vector, "key_reference"),
    )
    name_key, frame_key = header.keys(key, vector["label"])
    start = header.named(headers.seal_name(vector["name"], name_key)).packed(vector["fill"])
    chunks: Any = [bytes_of(vector, "plaintext")]
    if vector["padding"]:
        chunks = padded(chunks, vector["padding"])
    return start + b"".join(seal_frames(chunks, frame_key, header.frame_bytes))


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["about"])
def test_known_answers_are_made(vector: dict[str, Any]) -> None:
    """From the vector's inputs, our functions make its very bytes."""
    assert made(vector).hex() == vector["file"]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["about"])
def test_known_answers_are_read(vector: dict[str, Any]) -> None:
    """A vector's file comes apart into its inputs."""
    source = BytesSource(bytes_of(vector, "file"))
    header = headers.parse(bytes_of(vector, "file"))
    assert (header.flags, header.frame_exponent) == (vector["flags"], vector["frame_exponent"])
    assert (header.salt, header.binding) == (bytes_of(vector, "salt"), bytes_of(vector, "binding"))
    assert header.key_reference == bytes_of(vector, "key_reference")
    name_key, frame_key = header.keys(key_of(vector), vector["label"])
    assert headers.open_name(header.sealed_name, name_key) == vector["name"]
    frames = Frames(source, header.length, frame_key, header.frame_bytes)
    text = b"".join(frames.pieces(0, frames.length))
    assert text.startswith(bytes_of(vector, "plaintext"))
    assert len(text) > len(bytes_of(vector, "plaintext")) or not vector["padding"]
