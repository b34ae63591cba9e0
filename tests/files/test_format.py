"""Encrypted files that were changed, cut, mixed or made up: one clear error each, and no byte too many."""

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.base import ContentFile
from hypothesis import given
from hypothesis import strategies as st

from django_workos_vault.context import KeyContext
from django_workos_vault.exceptions import (
    EnvelopeError,
    MalformedEnvelope,
    TamperedEnvelope,
    UnknownFormat,
    WrongBinding,
    WrongKey,
)
from django_workos_vault.files import EncryptedStorage
from django_workos_vault.handler import vaults
from django_workos_vault.keyring.ring import KeyRing
from django_workos_vault.models import DataKeyRecord
from django_workos_vault.streams import header as headers
from django_workos_vault.streams.cipher import FileCipher, read_header
from django_workos_vault.streams.frames import seal_frames
from django_workos_vault.streams.sources import BytesSource
from tests.files.sealing import (
    CLINIC,
    FRAME,
    LABEL,
    OTHER_ROW,
    ROW,
    opened,
    pieces,
    read,
    sealed,
    small,
)

pytestmark = pytest.mark.django_db

STORED = FRAME + 16
TEXT = bytes(range(256)) + b"the last, shorter frame"  # four whole frames and a part of one


def frames_at(stored: bytes) -> int:
    return read_header(BytesSource(stored)).length


VARIANTS: dict[str, dict[str, object]] = {
    "plain": {},
    "named": {"name": "Befund Müller.pdf"},
    "bound": {"binding": ROW},
    "padme": {"padding": "padme"},
    "blocks": {"padding": 100},
    "one byte blocks": {"padding": 1},
    "filled": {"fill": 1024},
    "everything": {"name": "n" * 300, "binding": ROW, "padding": "padme", "fill": 1024},
}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("size", [0, 1, 8, 55, 56, 57, 63, 64, 65, 127, 128, 129, 1000])
def test_every_length_comes_back(cipher: FileCipher, variant: str, size: int) -> None:
    """What was sealed is opened, in every length around the ends of frames, with its name and size."""
    options = VARIANTS[variant]
    text = hashlib.shake_128(b"text").digest(size)
    file = opened(cipher, sealed(cipher, text, **options), options.get("binding", b""))  # type: ignore[arg-type]
    assert (file.size, file.original_name) == (size, options.get("name", ""))
    assert (file.read(), file.read()) == (text, b"")
    assert b"".join(file.chunks()) == b"".join(file.chunks(7)) == text


@pytest.mark.parametrize("step", [1, 63, 64, 65, 128, 200, 279])
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_how_it_is_cut_when_written_does_not_show(
    cipher: FileCipher, step: int, kind: Callable[[bytes], bytes]
) -> None:
    """Chunks of any size and kind make the same frames; empty ones and reused buffers do no harm."""
    chunks = [kind(piece) for piece in pieces(TEXT, step)]
    stored = b"".join(cipher.seal([b"", *chunks, b""], CLINIC, fill=1))
    assert len(stored) == len(sealed(cipher, TEXT))
    assert read(cipher, stored) == TEXT


def test_a_buffer_may_be_used_again(cipher: FileCipher) -> None:
    """A chunk that its owner overwrites after handing it over was sealed as it was."""
    buffer = bytearray(FRAME)

    def chunks() -> object:
        for number in range(5):
            buffer[:] = bytes([number]) * FRAME
            yield buffer

    stored = b"".join(cipher.seal(chunks(), CLINIC))  # type: ignore[arg-type]
    assert read(cipher, stored) == b"".join(bytes([number]) * FRAME for number in range(5))


@pytest.mark.parametrize("variant", ["plain", "everything"])
def test_every_byte_counts(cipher: FileCipher, variant: str) -> None:
    """One changed bit anywhere in the file is an EnvelopeError, and never in a header gives out a byte."""
    options = VARIANTS[variant]
    binding: bytes = options.get("binding", b"")  # type: ignore[assignment]
    stored = sealed(cipher, TEXT, **options)
    start = frames_at(stored)
    for at in range(len(stored)):
        flipped = bytearray(stored)
        flipped[at] ^= 1 << (at % 8)
        if at < start:
            with pytest.raises(EnvelopeError):
                opened(cipher, bytes(flipped), binding).read(0)
        else:
            with pytest.raises(TamperedEnvelope, match=f"Frame {(at - start) // STORED} "):
                read(cipher, bytes(flipped), binding)


def test_every_changed_byte_of_the_header_is_an_error(cipher: FileCipher) -> None:
    """Each byte of the header, set to each of its other values, is an error before any frame is read."""
    stored = sealed(cipher, b"", name="a")
    header = read_header(BytesSource(stored))
    wrapped_at = header.length - len(header.key_reference)
    values = [0, 1, 2, 4, 8, 0x7F, 0x80, 0xFF]
    for at in range(wrapped_at):  # the wrapped key's own bytes are Vault's to judge: see the test above
        for value in {*values, stored[at] ^ 1} - {stored[at]}:
            with pytest.raises(EnvelopeError):
                opened(cipher, stored[:at] + bytes([value]) + stored[at + 1 :])


def test_cut_anywhere_it_is_an_error(cipher: FileCipher) -> None:
    """A file cut at any length is an error when it is opened or read to its end, and says that it was cut."""
    stored = sealed(cipher, TEXT, name="scan.png")
    start = frames_at(stored)
    with pytest.raises(MalformedEnvelope, match="empty"):
        opened(cipher, b"")
    for length in range(1, start):
        with pytest.raises(MalformedEnvelope, match="cut short"):
            opened(cipher, stored[:length])
    for length in range(start, len(stored)):
        with pytest.raises(EnvelopeError) as error:
            read(cipher, stored[:length])
        at_a_frame = (length - start) % STORED == 0 and length > start
        assert ("cut short" in str(error.value)) >= at_a_frame


def test_a_cut_file_gives_no_size_and_no_end(cipher: FileCipher) -> None:
    """Cut between two frames, what is there can be read, but neither the size nor an end is made up."""
    stored = sealed(cipher, TEXT)
    file = opened(cipher, stored[: frames_at(stored) + 2 * STORED])
    assert file.read(FRAME) == TEXT[:FRAME]
    for ask in (lambda: file.size, lambda: file.seek(0, 2), lambda: list(file.chunks()), file.read):
        with pytest.raises(TamperedEnvelope, match="cut short"):
            ask()
    file.seek(2 * FRAME)
    with pytest.raises(TamperedEnvelope, match="cut short"):
        file.read(1)
    with pytest.raises(TamperedEnvelope, match="cut short"):
        file.readinto(bytearray(1))


def test_nothing_can_be_appended(cipher: FileCipher) -> None:
    """Bytes or frames behind the last frame are an error."""
    stored, other = sealed(cipher, TEXT[:128]), sealed(cipher, TEXT)
    for more in (b"\x00", bytes(16), bytes(17), bytes(STORED), other[frames_at(other) :], stored[-STORED:]):
        with pytest.raises(EnvelopeError):
            read(cipher, stored + more)
        with pytest.raises(EnvelopeError):
            opened(cipher, stored + more).size  # noqa: B018


def test_a_frame_behind_the_last_is_named(cipher: FileCipher) -> None:
    """Reading frame by frame, the error says that something was appended, before that frame's bytes."""
    stored = sealed(cipher, TEXT[:128])
    file = opened(cipher, stored + bytes(STORED))
    assert file.read(FRAME) == TEXT[:FRAME]
    with pytest.raises(TamperedEnvelope, match="appended"):
        file.read(FRAME - 1)


def test_frames_cannot_change_places(cipher: FileCipher) -> None:
    """Exchanged, repeated or left out, a frame is an error before a byte of it is given out."""
    stored = sealed(cipher, TEXT)
    start = frames_at(stored)
    head, body = stored[:start], [stored[at : at + STORED] for at in range(start, len(stored), STORED)]
    for order in ([1, 0, 2, 3, 4], [0, 0, 2, 3, 4], [0, 2, 3, 4], [1, 2, 3, 4], [0, 1, 2, 4]):
        wrong = next(n for n, frame in enumerate(order) if n != frame)
        file = opened(cipher, head + b"".join(body[n] for n in order))
        assert file.read(FRAME * wrong) == TEXT[: FRAME * wrong]
        with pytest.raises(TamperedEnvelope):
            file.read(1)


def test_two_files_cannot_be_spliced(cipher: FileCipher) -> None:
    """Header, name or frames of another file, of the same label, key and content, do not fit."""
    one, two = sealed(cipher, TEXT, name="one"), sealed(cipher, TEXT, name="two")
    start = frames_at(one)
    for at in range(start, len(one), STORED):
        file = opened(cipher, one[:at] + two[at:])
        assert file.read(at - start - (at - start) // STORED * 16) == TEXT[: (at - start) // STORED * FRAME]
        with pytest.raises(TamperedEnvelope):
            file.read(1)
    name = headers._FIXED + 2
    with pytest.raises(TamperedEnvelope, match="header was changed"):
        opened(cipher, one[:name] + two[name : name + 80] + one[name + 80 :])


def test_the_name_cannot_be_taken_away(cipher: FileCipher) -> None:
    """A header without the seal of its name is an error: it vouches for the rest."""
    stored = sealed(cipher, TEXT, name="one", fill=1024)
    header = read_header(BytesSource(stored))
    for name in (b"", header.sealed_name[:16], header.sealed_name[-16:]):
        changed = header.named(name).packed(1, header.length)
        with pytest.raises(EnvelopeError):
            opened(cipher, changed + stored[header.length :])


def test_label_and_row_are_told_from_tampering(ring: KeyRing, cipher: FileCipher) -> None:
    """A file of another field or row says so; one whose header was made to fit was changed."""
    bound, unbound = sealed(cipher, TEXT, binding=ROW), sealed(cipher, TEXT)
    assert read(cipher, bound, ROW) == TEXT
    for stored, binding in ((bound, OTHER_ROW), (bound, b""), (unbound, ROW)):
        with pytest.raises(WrongBinding, match="another row"):
            opened(cipher, stored, binding)
    with pytest.raises(WrongBinding, match="another field"):
        opened(small(ring, "app.Patient.photo"), unbound)
    renamed = small(ring, "app.Patient.photo", (LABEL,))
    assert read(renamed, unbound) == TEXT
    own = read_header(BytesSource(sealed(renamed, TEXT))).label_id
    with pytest.raises(TamperedEnvelope, match="header was changed"):
        opened(renamed, unbound[:16] + own + unbound[24:])
    with pytest.raises(TamperedEnvelope, match="header was changed"):
        opened(cipher, bound.replace(ROW, OTHER_ROW), OTHER_ROW)


def test_what_is_no_file_of_ours_says_so(cipher: FileCipher) -> None:
    """Plain files, and those of older and newer versions and suites, are told apart."""
    stored = sealed(cipher, TEXT)
    for other in (b"%PDF-1.7 ...", TEXT, b"\x89PNG\r\n\x1a\n" + TEXT, stored[1:], b"\n"):
        with pytest.raises(MalformedEnvelope, match="not an encrypted file"):
            opened(cipher, other)
    for at, value, message in ((8, 0, "older"), (8, 2, "newer"), (9, 2, "suite"), (10, 8, "flags")):
        with pytest.raises(UnknownFormat, match=message):
            opened(cipher, stored[:at] + bytes([value]) + stored[at + 1 :])


class Lying(BytesSource):
    """Says another size than it gives."""

    def __init__(self, stored: bytes, size: int) -> None:
        super().__init__(stored)
        self.size = size


def test_a_storage_that_lies_about_its_size(cipher: FileCipher) -> None:
    """Said to be longer or shorter than it is, a file is an error, whatever is read of it first."""
    stored = sealed(cipher, TEXT)
    for size in range(frames_at(stored), len(stored) + 2 * STORED):
        if size != len(stored):
            with pytest.raises(EnvelopeError):
                cipher.open(Lying(stored, size)).read()
            with pytest.raises(EnvelopeError):
                cipher.open(Lying(stored, size)).seek(0, 2)


def test_a_second_empty_frame_is_none(cipher: FileCipher) -> None:
    """A file has one form: nobody's last frame is empty but that of a file of no bytes."""
    stored = sealed(cipher, TEXT[:FRAME])
    with pytest.raises(MalformedEnvelope, match="within a frame"):
        opened(cipher, stored + bytes(16))


@pytest.mark.parametrize("said", [0, 1, 2**40, 2**64 - 1])
def test_a_padded_file_that_says_too_much(cipher: FileCipher, said: int) -> None:
    """The size in a padded file is bounded by what is there."""
    text = bytes(100) + said.to_bytes(8)
    stored = sealed(cipher, text)
    padded = sealed(cipher, b"", padding=108)
    header = read_header(BytesSource(padded))
    key = cipher.keyring.opening_key(header.wants)
    frame_key = header.keys(key, LABEL)[1]
    forged = padded[: header.length] + b"".join(seal_frames([text], frame_key, FRAME))
    assert len(forged) - header.length == len(stored) - frames_at(stored)
    if said <= 100:
        assert read(cipher, forged) == bytes(said)
    else:
        with pytest.raises(MalformedEnvelope, match="padded"):
            read(cipher, forged)


def test_padding_hides_the_size(cipher: FileCipher) -> None:
    """Files of many sizes are stored in few; Padmé adds at most an eighth to what is not tiny."""
    for padding, most in (("padme", 100), (512, 9)):
        lengths = {len(sealed(cipher, bytes(size), padding=padding)) for size in range(0, 4000, 7)}
        assert len(lengths) <= most
    assert len(sealed(cipher, bytes(10**6), padding="padme")) < 1.125 * len(sealed(cipher, bytes(10**6)))
    for wrong in (0, -1, "", "pad"):
        with pytest.raises(ValueError, match="padding"):
            cipher.seal([b""], CLINIC, padding=wrong)


def test_a_rekeyed_header_fits_in_its_place(cipher: FileCipher) -> None:
    """The header alone is written anew for another wrapping of the key, as long as before; frames stay."""
    stored = b"".join(cipher.seal([TEXT], CLINIC, name="scan.png", binding=ROW))
    header = read_header(BytesSource(stored))
    longer = cipher.keyring.backend.rekey_data_key(
        header.key_reference, KeyContext({"org": "o" * 300, "app": "a"}).items
    )
    changed = header.rewrapped(longer.wrapped)
    assert len(changed) == header.length
    cipher.keyring.forget()
    assert read(cipher, changed + stored[header.length :], ROW) == TEXT
    more = header.rewrapped(bytes(2000))
    assert len(more) > header.length
    assert read_header(BytesSource(more)).sealed_name == header.sealed_name


def test_a_wrapped_key_in_the_registry(cipher: FileCipher) -> None:
    """A file whose wrapped key is kept in the registry opens, and one that contradicts itself does not."""
    stored = sealed(cipher, TEXT)
    header = read_header(BytesSource(stored))
    cipher.keyring.forget()
    assert read(cipher, header.rewrapped(b"") + stored[header.length :]) == TEXT
    flagged = stored[:10] + bytes([headers.REFERENCE]) + stored[11:]
    with pytest.raises(MalformedEnvelope, match="contradict"):
        opened(cipher, flagged)


def test_a_wrapped_key_that_the_registry_has_lost(cipher: FileCipher) -> None:
    """A file whose wrapped key was kept in the registry, and is lost there, is one error that says so."""
    stored = sealed(cipher, TEXT)
    header = read_header(BytesSource(stored))
    refers = header.rewrapped(b"") + stored[header.length :]
    DataKeyRecord.objects.all().delete()
    cipher.keyring.forget()
    assert read(cipher, stored) == TEXT
    cipher.keyring.forget()
    with pytest.raises(WrongKey, match="registry"):
        opened(cipher, refers)


def test_files_hold_their_key_in_every_vault(settings: Any, media: Any) -> None:
    """Also where cells refer to the registry, a file opens after all records are gone."""
    settings.WORKOS_VAULTS = {
        "default": settings.WORKOS_VAULTS["default"] | {"DATA_KEYS": {"envelope": "reference"}}
    }
    vault = vaults["default"]
    storage = EncryptedStorage("default")
    name, blob = storage.save("a.bin", ContentFile(TEXT)), vault.encrypt(TEXT)
    DataKeyRecord.objects.all().delete()
    vault.forget_keys()
    with storage.open(name) as file:
        assert file.read() == TEXT
    assert vault.decrypt(blob) == TEXT


@given(st.binary(max_size=400), st.integers(0, 600))
def test_made_up_headers_are_envelope_errors(insides: bytes, at: int) -> None:
    """Overwriting any part of a header never leads into the parser's insides."""
    whole = headers.FileHeader(0, 6, bytes(8), bytes(32), bytes(32), bytes(16), bytes(16), b"k" * 206).packed(
        512
    )
    made = whole[:at] + insides + whole[at + len(insides) :]
    try:
        parsed = headers.parse(made)
    except EnvelopeError:
        return
    assert parsed.length <= len(made)
