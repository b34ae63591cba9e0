"""Cells by the thousand, opened and sealed again: what concerns a key is worked out once for all of them."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from os import urandom
from typing import Any

from django_workos_vault.cipher import TAG, TEXT, Cipher
from django_workos_vault.context import KeyContext
from django_workos_vault.datakey import NONCE_BYTES, Head
from django_workos_vault.envelope import AFTER_COMMITMENT
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
    places: dict[tuple[bytes, str], list[int]] = defaultdict(list)
    for place, (cell, context) in enumerate(zip(cells, contexts, strict=True)):
        if context is not None:
            places[cell[:AFTER_COMMITMENT], context.digest].append(place)
    groups = [
        _Group(of_one, contexts[of_one[0]], cipher.opening_head(cells[of_one[0]]))  # type: ignore[arg-type]
        for of_one in places.values()
    ]
    cold = [cells[place] for group in groups if group.head is None for place in group.places]
    if cold:
        cipher.load_keys(cold)
    nonces = urandom(NONCE_BYTES * len(cells))  # of this call alone: none is there for a fork to use again
    again: list[bytes | None] = [None] * len(cells)
    for group in groups:
        try:
            _seal_group(cipher, cells, group, nonces, again, decode, pad_to)
        except VaultError as exc:  # no key to open them with, or none to seal them
            if is_outage(exc):
                raise
    return again


@dataclass(slots=True)
class _Group:
    """Where the cells of one data key and one context are; how the first of them begins, if that is known."""

    places: list[int]
    context: KeyContext
    head: Head | None


def _seal_group(
    cipher: Cipher,
    cells: Sequence[bytes],
    group: _Group,
    nonces: bytes,
    again: list[bytes | None],
    decode: Decode,
    pad_to: int,
) -> None:
    """Seal the cells of ``group``, but those that something is wrong with. Each place has its nonce."""
    known = group.head
    decrypt: Any = known and known.key and known.key.aead.decrypt
    granted = opened = 0
    for n, place in enumerate(group.places):
        cell = cells[place]
        try:
            if known is not None and cell.startswith(known.start) and len(cell) >= known.text_at:
                plaintext = decrypt(
                    cell[known.nonce], cell[known.text] + cell[known.tag], known.associated_data
                )
                opened += 1
            else:
                plaintext = cipher.open(cell)  # which takes padding off, and says what is wrong
                known = cipher.opening_head(cell)
                decrypt = known and known.key and known.key.aead.decrypt
            decode(plaintext)
            if not granted:
                key, granted = cipher.keyring.sealing_key_for(group.context, len(group.places) - n)
                head = cipher.head_for(key, pad_to)
                encrypt, start, associated_data = key.aead.encrypt, head.start, head.associated_data
            granted -= 1
            if pad_to:  # as Cipher.seal() does
                plaintext = plaintext + b"\x80" + bytes(-(len(plaintext) + 1) % pad_to)
            nonce = nonces[NONCE_BYTES * place : NONCE_BYTES * (place + 1)]
            sealed = encrypt(nonce, plaintext, associated_data)
            again[place] = b"".join((start, nonce, sealed[TAG], sealed[TEXT]))
        except VaultError:
            raise
        except Exception:  # noqa: S112 -- whatever a field's class makes of a foreign plaintext
            continue
    cipher.keyring.counters.opened += opened
