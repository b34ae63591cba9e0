"""Seal and open one value: key context, label and row binding in, bytes out."""

from collections.abc import Iterable, Iterator
from os import urandom

from cryptography.exceptions import InvalidTag

from django_workos_vault import envelope, forbidding
from django_workos_vault.context import KeyContext
from django_workos_vault.datakey import COMMITMENT_BYTES, NONCE_BYTES, TAG_BYTES, Head, LoadedKey
from django_workos_vault.envelope import LABEL_ID_BYTES, PADDED, Envelope
from django_workos_vault.exceptions import (
    EnvelopeError,
    MalformedEnvelope,
    TamperedEnvelope,
    WrongBinding,
)
from django_workos_vault.forbidding import check_opening_allowed
from django_workos_vault.keyring.ring import KeyRing

_COMMITMENT_AT = 3 + LABEL_ID_BYTES
_COMMITMENT = slice(_COMMITMENT_AT, _COMMITMENT_AT + COMMITMENT_BYTES)

# Where AESGCM.encrypt() leaves them.
TEXT = slice(None, -TAG_BYTES)
TAG = slice(-TAG_BYTES, None)


_NONE_KNOWN = Head(None, b"", b"", 0)


class Cipher:
    """Seals and opens the cells of one label.

    ``label`` names the column (``app_label.Model.field``); ``previous_labels`` are names it had before, whose
    cells it still opens.

    All cells of one column and key that are not bound to a row begin with the same bytes, up to their nonce
    and behind their digests. Those are worked out once and kept with the key (:class:`Head`). A cell that
    begins with exactly these bytes has passed every check that :func:`envelope.parse` and :meth:`_opened`
    would make of them.

    What runs for every value gives its arguments by position: names, and parameters that must be named, keep
    Python from its fast way of calling.
    """

    def __init__(self, keyring: KeyRing, label: str, previous_labels: Iterable[str] = ()) -> None:
        self.keyring = keyring
        self.label = label
        self._label_id = envelope.label_id(label)
        self._labels = {envelope.label_id(name): name for name in (*previous_labels, label)}
        #: whether cells refer to the registry for their wrapped key
        self.refers = keyring.policy.envelope == "reference"
        self._reference_flag = envelope.REFERENCE if self.refers else 0
        self._key_in_memory = keyring.cache.get
        self._now = keyring.clock
        self._recent = _NONE_KNOWN
        self._counters = keyring.counters

    def seal(
        self,
        plaintext: bytes,
        context: KeyContext,
        pad_to: int = 0,
        binding: bytes = b"",
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
            # ISO/IEC 7816-4: one 0x80, then zeros up to a multiple of the block.
            plaintext = plaintext + b"\x80" + bytes(-(len(plaintext) + 1) % pad_to)
        key = self.keyring.sealing_key(context)
        head = key.heads.get(self)
        if head is None or head.flags != flags:
            head = self._head(key, flags, binding)
        start, associated_data = head.start, head.associated_data
        if digests:
            start = envelope.digests_front(digests) + start
            associated_data = self._associated_data(flags, key, binding, digests)
        nonce = urandom(NONCE_BYTES)
        sealed = key.aead.encrypt(nonce, plaintext, associated_data)
        return b"".join((start, nonce, sealed[TAG], sealed[TEXT]))

    def open(self, cell: bytes, binding: bytes = b"", neighbours: list[bytes] | None = None) -> bytes:
        """Return the plaintext of ``cell``.

        ``binding`` is what :meth:`seal` was given. ``neighbours`` are cells likely to be opened next: when
        the key is not in memory, theirs are unwrapped along with it, and the list is emptied. Raises an
        EnvelopeError that says what is wrong with the cell, a VaultError when its key cannot be unwrapped,
        DecryptionForbidden where opening is off.
        """
        head = self._recent
        if cell.startswith(head.start):
            bare, associated_data = cell, head.associated_data
        else:
            head, bare, associated_data = self._found(cell)
        key = head.key  # none once it was dropped from memory
        if (
            key is None
            or binding
            or (forbidding.in_use and (forbidding.forbidden_vaults.get() or forbidding.wanting_justification))
            or self._now() >= key.expires_at
        ):
            plaintext, flags = self._opened(cell, binding, neighbours)
        else:
            flags = head.flags
            try:
                plaintext = key.aead.decrypt(
                    bare[head.nonce], bare[head.text] + bare[head.tag], associated_data
                )
            except (InvalidTag, ValueError):  # the latter for a nonce that is cut short
                self._parsed(cell)
                raise self._tampered() from None
        self._counters.opened += 1
        if not flags & PADDED:
            return plaintext
        unpadded = plaintext.rstrip(b"\x00")
        if not unpadded.endswith(b"\x80"):
            raise MalformedEnvelope("The cell is marked as padded, but its plaintext is not.")
        return unpadded[:-1]

    def head_for(self, key: LoadedKey, pad_to: int = 0) -> Head:
        """Return how cells of no row begin that ``key`` seals."""
        flags = self._reference_flag | (PADDED if pad_to else 0)
        head = key.heads.get(self)
        return head if head is not None and head.flags == flags else self._head(key, flags, b"")

    def opening_head(self, cell: bytes) -> Head | None:
        """Return how ``cell`` begins, when its key may be used; None where :meth:`open` has more to do."""
        head = self._found(cell)[0]
        if head.key is None or head.flags & PADDED or not cell.startswith(head.start):
            return None
        if forbidding.in_use and (forbidding.forbidden_vaults.get() or forbidding.wanting_justification):
            return None
        return head if self._now() < head.key.expires_at else None

    def load_keys(self, cells: Iterable[bytes]) -> None:
        """Unwrap the keys of ``cells`` together; cells that are no envelopes are passed over.

        Raises DecryptionForbidden where opening is off.
        """
        check_opening_allowed(self.keyring.vault)
        self.keyring.load(readable(cells))

    async def aload_keys(self, cells: Iterable[bytes]) -> None:
        """:meth:`load_keys` for async code."""
        check_opening_allowed(self.keyring.vault)
        await self.keyring.aload(readable(cells))

    def secure(self, cell: bytes, database: str) -> None:
        """Make sure that ``cell``, about to be written to ``database``, does not commit without its key.

        Raises WrongKey when that cannot be promised.
        """
        if self.refers and self.keyring.budgets.unsettled:
            front = envelope.digests_end(cell)
            self.keyring.budgets.secure(cell[front:][_COMMITMENT], database)

    def _found(self, cell: bytes) -> tuple[Head, bytes, bytes]:
        """Return the head that ``cell`` begins with behind its digests, what begins so, and associated data.

        A head without a key where none is known.
        """
        front = envelope.digests_end(cell)
        bare, head = cell[front:], self._recent
        if not bare.startswith(head.start):
            known = self._key_in_memory(bare[_COMMITMENT])
            recent = None if known is None else known.heads.get(self)
            if recent is None or not bare.startswith(recent.start):
                return _NONE_KNOWN, cell, b""
            self._recent = head = recent
        key = head.key
        if key is None or not front:
            return head, bare, head.associated_data
        return head, bare, self._associated_data(head.flags, key, digests=cell[1:front])

    def _opened(self, cell: bytes, binding: bytes, neighbours: list[bytes] | None) -> tuple[bytes, int]:
        """Return the plaintext of a cell that begins as none before, and the envelope's flags."""
        check_opening_allowed(self.keyring.vault)
        parsed = self._parsed(cell)
        label = self._label_of(parsed)
        key = self.keyring.opening_key(parsed, () if neighbours is None else _emptied(neighbours))
        if parsed.binding != binding:
            raise WrongBinding(f"The cell in {self.label} was sealed for another row.")
        associated_data = envelope.associated_data(
            parsed.flags, parsed.commitment, parsed.binding, parsed.digests, label
        )
        try:
            plaintext = key.aead.decrypt(parsed.nonce, parsed.ciphertext + parsed.tag, associated_data)
        except InvalidTag:
            raise self._tampered() from None
        if not parsed.binding and label == self.label and key.is_proven(parsed.key_reference):
            start = cell[envelope.digests_end(cell) : parsed.body_at]
            fresh = Head(key, start, self._associated_data(parsed.flags, key), parsed.flags)
            self._recent = key.heads.setdefault(self, fresh)
        return plaintext, parsed.flags

    def _parsed(self, cell: bytes) -> Envelope:
        try:
            return envelope.parse(cell)
        except EnvelopeError as exc:
            raise type(exc)(f"The cell in {self.label} cannot be read: {exc}.") from None

    def _tampered(self) -> TamperedEnvelope:
        return TamperedEnvelope(f"The cell in {self.label} was changed after it was sealed.")

    def _label_of(self, parsed: Envelope) -> str:
        try:
            return self._labels[parsed.label_id]
        except KeyError:
            raise WrongBinding(
                f"The cell in {self.label} was sealed for another field. After a rename, name the old label "
                "in previous_labels."
            ) from None

    def _head(self, key: LoadedKey, flags: int, binding: bytes) -> Head:
        key_reference = b"" if flags & envelope.REFERENCE else key.wrapped
        start = envelope.header(flags, self._label_id, key.commitment, binding, key_reference)
        head = Head(key, start, self._associated_data(flags, key, binding), flags)
        if not binding:
            key.heads[self] = head
        return head

    def _associated_data(
        self, flags: int, key: LoadedKey, binding: bytes = b"", digests: bytes = b""
    ) -> bytes:
        return envelope.associated_data(flags, key.commitment, binding, digests, self.label)


def readable(cells: Iterable[bytes]) -> Iterator[Envelope]:
    """Yield the first envelope of each wrapped key among ``cells``, passing over what is no envelope."""
    seen = set()
    starts: dict[bytes, bytes] = {}  # most cells of a column begin as another of their key
    for cell in cells:
        up_to_commitment = cell[: _COMMITMENT.stop]
        start = starts.get(up_to_commitment)
        if start is not None and cell.startswith(start):
            continue
        try:
            parsed = envelope.parse(cell)
        except EnvelopeError:
            continue
        starts[up_to_commitment] = cell[: parsed.body_at]
        wrapped = parsed.commitment, parsed.key_reference
        if wrapped not in seen:
            seen.add(wrapped)
            yield parsed


def _emptied(neighbours: list[bytes]) -> Iterator[Envelope]:
    cells = neighbours[:]
    neighbours.clear()  # looked at once, or a page whose keys cannot be had would be searched for every cell
    yield from readable(cells)
