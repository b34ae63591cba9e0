"""Cells by the thousand, opened and sealed again: what concerns a key is worked out once for all of them."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from os import urandom
from typing import Any

from django_workos_vault.cipher import TAG, TEXT, Cipher
from django_workos_vault.context import KeyContext
from django_workos_vault.datakey import NONCE_BYTES, Head
from django_workos_vault.envelope import AFTER_COMMITMENT, PADDED
from django_workos_vault.exceptions import VaultError, is_outage

Decode = Callable[[bytes], object]


def seal_again(
    cipher: Cipher,
    cells: Sequence[bytes],
    contexts: Sequence[KeyContext | None],
    *,
    decode: Decode,
    pad_to: int = 0,
) -> list[bytes | None]:
    """Return each of ``cells``, of no row and without digests, as another one, sealed for its context.

    None for each that has no context, that cannot be opened or sealed, or whose plaintext ``decode`` takes
    for no value. Raises VaultError in an outage.
    """
    groups: dict[tuple[bytes, str], list[int]] = defaultdict(list)
    for place, (cell, context) in enumerate(zip(cells, contexts, strict=True)):
        if context is not None:
            groups[cell[:AFTER_COMMITMENT], context.digest].append(place)
    cipher.load_keys(cells)
    again: list[bytes | None] = [None] * len(cells)
    for places in groups.values():
        try:
            _seal_group(cipher, cells, places, contexts[places[0]], again, decode, pad_to)  # type: ignore[arg-type]
        except VaultError as exc:  # no key to open them with, or none to seal them
            if is_outage(exc):
                raise
    return again


def _seal_group(
    cipher: Cipher,
    cells: Sequence[bytes],
    places: Sequence[int],
    context: KeyContext,
    again: list[bytes | None],
    decode: Decode,
    pad_to: int,
) -> None:
    """Seal cells of one data key for one context, but those that something is wrong with."""
    nonces = urandom(NONCE_BYTES * len(places))  # of this call alone: none is there for a fork to use again
    known: Head | None = None
    decrypt: Any = None
    granted = opened = 0
    for n, place in enumerate(places):
        cell = cells[place]
        try:
            if known is not None and cell.startswith(known.start) and len(cell) >= known.text_at:
                plaintext = decrypt(
                    cell[known.nonce], cell[known.text] + cell[known.tag], known.associated_data
                )
                opened += 1
            else:
                plaintext = cipher.open(cell)
                known = cipher.head_of(cell)
                if known is None or known.key is None or known.flags & PADDED:
                    known = None  # Cipher.open() takes padding off, and says what is wrong
                else:
                    decrypt = known.key.aead.decrypt
            decode(plaintext)
            if not granted:
                key, granted = cipher.keyring.sealing_key_for(context, len(places) - n)
                head = cipher.head_for(key, pad_to)
                encrypt, start, associated_data = key.aead.encrypt, head.start, head.associated_data
            granted -= 1
            if pad_to:  # as Cipher.seal() does
                plaintext = plaintext + b"\x80" + bytes(-(len(plaintext) + 1) % pad_to)
            nonce = nonces[NONCE_BYTES * n : NONCE_BYTES * (n + 1)]
            sealed = encrypt(nonce, plaintext, associated_data)
            again[place] = b"".join((start, nonce, sealed[TAG], sealed[TEXT]))
        except VaultError:
            raise
        except Exception:  # noqa: S112 -- whatever a field's class makes of a foreign plaintext
            continue
    cipher.keyring.counters.opened += opened
