"""Seal and open one value: key context, label and row binding in, bytes out."""

from collections.abc import Iterable
from os import urandom

from cryptography.exceptions import InvalidTag

from django_workos_vault import envelope
from django_workos_vault.context import KeyContext
from django_workos_vault.envelope import NONCE_BYTES, TAG_BYTES, Envelope
from django_workos_vault.exceptions import (
    EnvelopeError,
    MalformedEnvelope,
    TamperedEnvelope,
    WrongBinding,
)
from django_workos_vault.keyring import KeyRing
from django_workos_vault.keys import LoadedKey

_BODY_BYTES = NONCE_BYTES + TAG_BYTES


class Cipher:
    """Seals and opens the cells of one label.

    ``label`` names the column (``app_label.Model.field``); ``previous_labels`` are names it had before, whose
    cells it still opens.
    """

    def __init__(self, keyring: KeyRing, label: str, previous_labels: Iterable[str] = ()) -> None:
        self.keyring = keyring
        self.label = label
        self._label_id = envelope.label_id(label)
        self._labels = {envelope.label_id(name): name for name in (*previous_labels, label)}
        self._reference_flag = envelope.REFERENCE if keyring.policy.envelope == "reference" else 0

    def seal(
        self,
        plaintext: bytes,
        context: KeyContext,
        *,
        binding: bytes = b"",
        pad_to: int = 0,
        digests: bytes = b"",
    ) -> bytes:
        """Return ``plaintext`` as a cell sealed under ``context``.

        ``binding`` is nothing or 16 bytes that the same row must give again; ``pad_to`` is a block size in
        bytes, 0 for none; ``digests`` are whole blind-index digests. Raises VaultError when no data key can
        be had.
        """
        flags = self._reference_flag
        if binding:
            flags |= envelope.BOUND
        if pad_to:
            flags |= envelope.PADDED
            plaintext = _pad(plaintext, pad_to)
        key = self.keyring.sealing_key(context)
        if binding or digests:
            head, associated_data = self._head(key, flags, binding, digests)
        else:
            head, associated_data = key.headers.get((self._label_id, flags)) or self._shared_head(key, flags)
        nonce = urandom(NONCE_BYTES)
        sealed = key.aead.encrypt(nonce, plaintext, associated_data)
        return head + nonce + sealed[-TAG_BYTES:] + sealed[:-TAG_BYTES]

    def open(self, cell: bytes, *, binding: bytes = b"") -> bytes:
        """Return the plaintext of ``cell``.

        ``binding`` is what :meth:`seal` was given. Raises an EnvelopeError that says what is wrong with the
        cell, a VaultError when its key cannot be unwrapped, DecryptionForbidden where opening is off.
        """
        self.keyring.check_opening_allowed()
        parsed = envelope.parse(cell)
        label = self._label_of(parsed)
        key = self.keyring.opening_key(parsed)
        if parsed.binding != binding:
            raise WrongBinding(f"The cell in {self.label} was sealed for another row.")
        associated_data = envelope.associated_data(
            parsed.flags, parsed.commitment, parsed.binding, parsed.digests, label
        )
        try:
            plaintext = key.aead.decrypt(parsed.nonce, parsed.ciphertext + parsed.tag, associated_data)
        except InvalidTag:
            raise TamperedEnvelope(f"The cell in {self.label} was changed after it was sealed.") from None
        return _unpad(plaintext) if parsed.flags & envelope.PADDED else plaintext

    def load_keys(self, cells: Iterable[bytes]) -> None:
        """Unwrap the keys of ``cells`` together; cells that are no envelopes are passed over.

        Raises DecryptionForbidden where opening is off.
        """
        self.keyring.check_opening_allowed()
        self.keyring.load(self._readable(cells))

    def _readable(self, cells: Iterable[bytes]) -> Iterable[Envelope]:
        for cell in cells:
            try:
                yield envelope.parse(cell)
            except EnvelopeError:
                continue

    def _label_of(self, parsed: Envelope) -> str:
        try:
            return self._labels[parsed.label_id]
        except KeyError:
            raise WrongBinding(
                f"The cell in {self.label} was sealed for another field. After a rename, name the old label "
                "in previous_labels."
            ) from None

    def _head(self, key: LoadedKey, flags: int, binding: bytes, digests: bytes) -> tuple[bytes, bytes]:
        key_reference = b"" if flags & envelope.REFERENCE else key.wrapped
        return (
            envelope.digests_front(digests)
            + envelope.header(flags, self._label_id, key.commitment, binding, key_reference),
            envelope.associated_data(flags, key.commitment, binding, digests, self.label),
        )

    def _shared_head(self, key: LoadedKey, flags: int) -> tuple[bytes, bytes]:
        head = key.headers[self._label_id, flags] = self._head(key, flags, b"", b"")
        return head


def _pad(plaintext: bytes, block: int) -> bytes:
    """ISO/IEC 7816-4: one 0x80, then zeros up to a multiple of ``block`` bytes."""
    return plaintext + b"\x80" + bytes(-(len(plaintext) + 1) % block)


def _unpad(padded: bytes) -> bytes:
    unpadded = padded.rstrip(b"\x00")
    if not unpadded.endswith(b"\x80"):
        raise MalformedEnvelope("The cell is marked as padded, but its plaintext is not.")
    return unpadded[:-1]
