"""A value larger than one object in Vault holds: its parts, and the manifest that names them.

The row's object holds the manifest, JSON with id and SHA-256 of each part in order. A part is an object of
its own, written once and never changed, so a manifest names one value for as long as its parts are there; a
new value gets new parts, and then the manifest is swapped. Whoever finds a part gone looks for that one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from secrets import token_hex
from typing import Annotated

import msgspec

from django_workos_vault.backends import batch
from django_workos_vault.backends.objects import MAX_ID_LENGTH, VaultObject
from django_workos_vault.exceptions import UntrustedReference, VaultError, VaultRequestError
from django_workos_vault.fields.object_encoding import MAX_OBJECT_BYTES
from django_workos_vault.fields.object_reference import is_id, is_part_of, name_of_part, name_of_whole
from django_workos_vault.fields.object_scheme import FieldInVault

#: Requests that a minute's quota allows many times over. Larger things are files.
MAX_VALUE_BYTES = 100 * 1024 * 1024
MAX_PARTS = 128


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One part in a manifest."""

    id: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID_LENGTH)]
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class _Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    parts: Annotated[tuple[Part, ...], msgspec.Meta(min_length=1, max_length=MAX_PARTS)]


@dataclass(frozen=True, slots=True)
class _Piece:
    name: str
    text: str = field(repr=False)


class PartStore:
    """Where the parts of one field's values are kept."""

    def __init__(self, field: FieldInVault) -> None:
        self._field = field
        self._backend = field.vault.backend

    def store(self, name: str, text: str, key_context: Mapping[str, str]) -> tuple[Part, ...]:
        """Store ``text`` in parts of the object ``name``.

        Raises VaultError when one is not taken; the others are deleted then, as far as Vault can be asked.
        """
        generation, backend = token_hex(6), self._backend
        pieces = [
            _Piece(name_of_part(name, generation, number), piece)
            for number, piece in enumerate(_pieces(text))
        ]

        def create(piece: _Piece) -> Part:
            made = backend.create_object(piece.name, piece.text, key_context)
            return Part(made.id, sha256(piece.text.encode()).hexdigest())

        outcomes = batch.run(create, pieces)
        parts = tuple(outcome for outcome in outcomes if isinstance(outcome, Part))
        failure = next((outcome for outcome in outcomes if isinstance(outcome, VaultError)), None)
        if failure is not None:
            batch.run(backend.delete_object, [part.id for part in parts])
            raise failure
        return parts

    def named_in(self, found: VaultObject) -> tuple[Part, ...]:
        """Return the parts that ``found`` names. Raises VaultError for what names none."""
        try:
            parts = msgspec.json.decode(found.value, type=_Manifest).parts
        except (msgspec.DecodeError, RecursionError):
            parts = ()
        if not parts or not all(is_id(part.id) for part in parts):
            raise VaultError(
                f"The object {found.id} of {self._field} names no parts: something else wrote it."
            )
        return parts

    def whole(self, found: VaultObject) -> VaultObject:
        """Return ``found`` with the value whose parts it names.

        Raises VaultNotFound when one is gone, UntrustedReference when one is not what was stored, and
        VaultError.
        """
        parts = self.named_in(found)
        return self._joined(found, parts, batch.run(self._backend.read_object, [part.id for part in parts]))

    async def awhole(self, found: VaultObject) -> VaultObject:
        """:meth:`whole` for async code."""
        parts = self.named_in(found)
        read = await batch.arun(self._backend.aread_object, [part.id for part in parts])
        return self._joined(found, parts, read)

    def _joined(
        self, found: VaultObject, parts: Sequence[Part], read: Sequence[VaultObject | VaultError]
    ) -> VaultObject:
        name = name_of_whole(found.name)
        for part, one in zip(parts, read, strict=True):
            if isinstance(one, VaultError):
                raise one
            if (
                one.id != part.id
                or not is_part_of(one.name, name)
                or one.metadata.context != found.metadata.context
                or sha256(one.value.encode()).hexdigest() != part.sha256
            ):
                raise UntrustedReference(
                    f"The object {part.id} is not the part that {self._field} stored: it has another name, "
                    "key context or value. Something else wrote it."
                )
        return replace(found, value="".join(one.value for one in read if isinstance(one, VaultObject)))


def manifest(parts: Iterable[Part]) -> str:
    """Return what the row's object holds."""
    return msgspec.json.encode(_Manifest(tuple(parts))).decode()


def _pieces(text: str) -> list[str]:
    """Return ``text`` in pieces that one object each holds. Raises VaultRequestError for too many."""
    encoded, pieces, at = text.encode(), [], 0
    while at < len(encoded):
        end = min(at + MAX_OBJECT_BYTES, len(encoded))
        while end < len(encoded) and encoded[end] & 0xC0 == 0x80:  # in the middle of a character
            end -= 1
        pieces.append(encoded[at:end].decode())
        at = end
    if len(pieces) > MAX_PARTS:
        raise VaultRequestError(f"A value has at most {MAX_PARTS} parts, this one {len(pieces)}.")
    return pieces
