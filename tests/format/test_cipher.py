"""Cells that were changed, swapped or made up: always a clear error, never somebody else's plaintext."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_workos_vault import envelope, vaults
from django_workos_vault.backends.local import LocalVault
from django_workos_vault.batch_cipher import seal_again
from django_workos_vault.cipher import Cipher
from django_workos_vault.context import KeyContext
from django_workos_vault.exceptions import (
    DecryptionForbidden,
    EnvelopeError,
    MalformedEnvelope,
    TamperedEnvelope,
    WrongBinding,
)
from django_workos_vault.keyring.policy import DataKeyPolicy
from django_workos_vault.keyring.ring import KeyRing
from django_workos_vault.registry import DatabaseRegistry
from tests.called import names_called
from tests.clock import Clock
from tests.keyring.rings import make_ring

pytestmark = pytest.mark.django_db

CLINIC = KeyContext({"app": "clinic"})
ROW, OTHER_ROW = bytes(16), bytes(15) + b"\x01"
PLAINTEXT = b"123-45-6789"


@pytest.fixture
def ring() -> KeyRing:
    return KeyRing(
        vault="default",
        backend=LocalVault(master_key=b"tests only: this is not a secret"),
        registry=DatabaseRegistry("default"),
        policy=DataKeyPolicy(),
    )


VARIANTS = {
    "plain": {},
    "bound": {"binding": ROW},
    "padded": {"pad_to": 32},
    "digests": {"digests": bytes(range(64))},
    "everything": {"binding": ROW, "pad_to": 16, "digests": bytes(32)},
}


@pytest.fixture(params=VARIANTS)
def variant(request: pytest.FixtureRequest) -> dict[str, object]:
    return VARIANTS[request.param]


def opened(cipher: Cipher, cell: bytes, variant: dict[str, object]) -> bytes:
    return cipher.open(cell, binding=variant.get("binding", b""))  # type: ignore[arg-type]


@pytest.mark.parametrize("plaintext", [b"", b"\x00", b"\x80", b"x" * 5000])
def test_every_variant_comes_back(ring: KeyRing, variant: dict[str, object], plaintext: bytes) -> None:
    """What was sealed is opened, on the first opening and on the following ones."""
    cipher = Cipher(ring, "app.Person.ssn")
    cell = cipher.seal(plaintext, CLINIC, **variant)  # type: ignore[arg-type]
    fresh = Cipher(ring, "app.Person.ssn")
    assert [opened(fresh, cell, variant) for _ in range(3)] == [plaintext] * 3


def test_truncated_cells_are_errors(ring: KeyRing, variant: dict[str, object]) -> None:
    """A cell cut at any length is an error that says so, whether or not its key and its start are known."""
    cipher = Cipher(ring, "app.Person.ssn")
    cell = cipher.seal(PLAINTEXT, CLINIC, **variant)  # type: ignore[arg-type]
    opened(cipher, cell, variant)
    text_at = len(cell) - len(envelope.parse(cell).ciphertext)
    for length in range(len(cell)):
        with pytest.raises(MalformedEnvelope if length < text_at else TamperedEnvelope):
            opened(cipher, cell[:length], variant)
    with pytest.raises(TamperedEnvelope):
        opened(cipher, cell + b"\x00", variant)


def test_flipped_bits_are_errors(ring: KeyRing, variant: dict[str, object]) -> None:
    """One flipped bit anywhere is an EnvelopeError, though the key is in memory.

    The wrapped key is not part of what the cell authenticates, so that it can be wrapped again; it either
    gives the committed key or no key at all, and is asked for once.
    """
    cipher = Cipher(ring, "app.Person.ssn")
    cell = cipher.seal(PLAINTEXT, CLINIC, **variant)  # type: ignore[arg-type]
    opened(cipher, cell, variant)
    for at in range(len(cell)):
        flipped = bytearray(cell)
        flipped[at] ^= 1 << (at % 8)
        with pytest.raises(EnvelopeError):
            opened(cipher, bytes(flipped), variant)


def test_cell_of_another_column_is_refused_with_warm_keys_too(ring: KeyRing) -> None:
    """Both columns' cells begin alike and share a key; one is never opened as the other."""
    ssn, notes = Cipher(ring, "app.Person.ssn"), Cipher(ring, "app.Person.notes")
    cell, other = ssn.seal(PLAINTEXT, CLINIC), notes.seal(b"note", CLINIC)
    assert (ssn.open(cell), notes.open(other)) == (PLAINTEXT, b"note")
    with pytest.raises(WrongBinding, match="another field"):
        notes.open(cell)
    with pytest.raises(TamperedEnvelope):
        notes.open(cell.replace(envelope.label_id("app.Person.ssn"), envelope.label_id("app.Person.notes")))


def test_cell_of_a_renamed_column_opens_by_its_old_label(ring: KeyRing) -> None:
    """previous_labels open what was sealed before a rename, next to what was sealed since."""
    old = Cipher(ring, "app.Person.ssn").seal(PLAINTEXT, CLINIC)
    renamed = Cipher(ring, "app.Person.number", ("app.Person.ssn",))
    new = renamed.seal(b"new", CLINIC)
    assert [renamed.open(cell) for cell in (old, new, old, new)] == [PLAINTEXT, b"new"] * 2


def test_cell_of_another_row_is_refused(ring: KeyRing) -> None:
    """A bound cell opens for its row alone, and an unbound one is none of any row's."""
    cipher = Cipher(ring, "app.Device.pin")
    bound, unbound = cipher.seal(PLAINTEXT, CLINIC, binding=ROW), cipher.seal(PLAINTEXT, CLINIC)
    assert cipher.open(bound, binding=ROW) == PLAINTEXT
    for cell, binding in ((bound, OTHER_ROW), (bound, b""), (unbound, ROW)):
        with pytest.raises(WrongBinding, match="another row"):
            cipher.open(cell, binding=binding)


def test_parts_of_two_cells_do_not_fit_together(ring: KeyRing) -> None:
    """The start of one organization's cell and the body of another's are no cell."""
    cipher = Cipher(ring, "app.Patient.ssn")
    one, two = (cipher.seal(PLAINTEXT, KeyContext({"org": org})) for org in ("1", "2"))
    assert cipher.open(one) == cipher.open(two) == PLAINTEXT
    body_at = envelope.parse(one).body_at
    with pytest.raises(TamperedEnvelope):
        cipher.open(one[:body_at] + two[body_at:])


def test_unpadded_plaintext_in_a_padded_cell_is_malformed(ring: KeyRing) -> None:
    """A padded cell whose plaintext has no padding is an error, not a guess."""
    cipher = Cipher(ring, "app.Person.ssn")
    key = ring.sealing_key(CLINIC)
    head = cipher._head(key, envelope.PADDED, b"")
    sealed = key.aead.encrypt(bytes(12), b"no padding", head.associated_data)
    for _ in range(2):
        with pytest.raises(MalformedEnvelope):
            cipher.open(head.start + bytes(12) + sealed[-16:] + sealed[:-16])


@given(st.binary(max_size=400))
def test_made_up_bytes_are_envelope_errors(cell: bytes) -> None:
    """Whatever the bytes, parsing ends in an envelope or an EnvelopeError."""
    try:
        parsed = envelope.parse(cell)
    except EnvelopeError:
        return
    assert parsed.body_at <= len(cell)


@given(st.binary(min_size=1, max_size=60), st.integers(0, 400))
def test_cells_with_made_up_insides_are_envelope_errors(insides: bytes, at: int) -> None:
    """Overwriting any part of a valid start never leads into the parser's insides."""
    start = envelope.header(0, bytes(8), bytes(32), b"", b"k" * 206) + bytes(28)
    at = min(at, len(start))
    try:
        envelope.parse(start[:at] + insides + start[at + len(insides) :])
    except EnvelopeError:
        return


@pytest.fixture(params=[{}, {"pad_to": 32}], ids=["plain", "padded"])
def unbound(request: pytest.FixtureRequest) -> dict[str, int]:
    variant: dict[str, int] = request.param
    return variant


@pytest.mark.django_db(transaction=True)
def test_a_warm_value_passes_few_functions(ring: KeyRing, unbound: dict[str, int]) -> None:
    """Between the call and AES-GCM are two functions to seal and one to open: they run for every value."""
    cipher = Cipher(ring, "app.Person.ssn")
    cell = cipher.seal(PLAINTEXT, CLINIC, **unbound)
    cipher.open(cell)
    assert names_called(lambda: cipher.seal(PLAINTEXT, CLINIC, **unbound)) == ["seal", "sealing_key"]
    assert names_called(lambda: cipher.open(cell)) == ["open"]


@pytest.mark.parametrize("pad_to", [0, 32])
def test_many_cells_at_once(ring: KeyRing, pad_to: int) -> None:
    """Each is sealed again for its own context, with a nonce of its own; what cannot be is left out."""
    cipher = Cipher(ring, "app.Person.ssn")
    contexts: list[KeyContext | None] = [KeyContext({"org": str(n % 3)}) for n in range(30)]
    cells = [cipher.seal(b"%d" % n, CLINIC, pad_to=pad_to) for n in range(30)]
    cells[3] = cells[3][:-1] + bytes([cells[3][-1] ^ 1])
    cells[4], cells[5] = b"", Cipher(ring, "app.Person.notes").seal(b"5", CLINIC)
    cells[6], contexts[7] = cipher.seal(b"six", CLINIC, pad_to=pad_to), None
    fresh = Cipher(ring, "app.Person.ssn")
    again = seal_again(fresh, cells, contexts, decode=int, pad_to=pad_to)
    assert [n for n, cell in enumerate(again) if cell is None] == [3, 4, 5, 6, 7]
    made = {n: cell for n, cell in enumerate(again) if cell is not None}
    assert {n: int(cipher.open(cell)) for n, cell in made.items()} == {n: n for n in made}
    parsed = {n: envelope.parse(cell) for n, cell in made.items()}
    assert len({each.nonce for each in parsed.values()}) == len(made)
    assert {each.flags for each in parsed.values()} == {envelope.PADDED if pad_to else 0}
    for n, context in enumerate(contexts):
        assert n not in made or parsed[n].commitment == ring.sealing_key(context).commitment  # type: ignore[arg-type]


@pytest.mark.parametrize("state", ["in memory", "its time is up", "forgotten"])
def test_many_cells_of_a_key_that_was_used_before(state: str) -> None:
    """A key in memory opens them without another look; Vault is asked again once its time is up."""
    clock = Clock()
    ring = make_ring(clock=clock, cache_ttl=timedelta(seconds=60))
    cipher = Cipher(ring, "app.Person.ssn")
    cells = [cipher.seal(b"%d" % n, KeyContext({"org": str(n % 2)})) for n in range(10)]
    cipher.seal(b"", CLINIC)
    cells[9] = cells[9][:-1] + bytes([cells[9][-1] ^ 1])
    if state == "its time is up":
        clock.now += 61
    elif state == "forgotten":
        ring.forget()
    before = ring.stats().requests
    again = seal_again(cipher, cells, [CLINIC] * 10, decode=int)
    assert [int(cipher.open(cell)) for cell in again[:9]] == list(range(9))  # type: ignore[arg-type]
    assert again[9] is None
    assert ring.stats().requests - before == (0 if state == "in memory" else 3)


def test_many_cells_where_opening_is_forbidden(ring: KeyRing) -> None:
    """No cell is opened, though the key is in memory."""
    cipher = Cipher(ring, "app.Person.ssn")
    cells = [cipher.seal(b"1", CLINIC) for _ in range(3)]
    with pytest.raises(DecryptionForbidden), vaults["default"].decryption_forbidden():
        seal_again(cipher, cells, [CLINIC] * 3, decode=int)
