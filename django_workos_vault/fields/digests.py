"""What a field with ``blind_indexes`` writes in front of its cells, and which index answers which lookup."""

from collections.abc import Iterable, Mapping
from functools import cached_property
from os import urandom
from typing import TYPE_CHECKING, Any

from django.core.exceptions import FieldError, ValidationError
from django.db import DataError
from django.db.models import CharField, Field, GenericIPAddressField, Model, TextField

from django_workos_vault import envelope
from django_workos_vault.blind import Compound, Digest, Exact, Kind
from django_workos_vault.envelope import DIGEST_BYTES
from django_workos_vault.exceptions import CANNOT_BE_OPENED, EnvelopeError, WrongKey
from django_workos_vault.fields.cell import Sealed, names_set_to_null, opened
from django_workos_vault.fields.encodings import Encoding
from django_workos_vault.frame_locals import leaves_no_locals
from django_workos_vault.vault import Vault

if TYPE_CHECKING:
    _Base = Field[Any, Any]
else:
    _Base = object

#: What equals no stored value.
NOTHING: Any = object()

#: One declared blind index and its place in front of the cell, counted from 0.
Slot = tuple[int, Kind]


class DigestsMixin(_Base):
    """The part of an encrypted field that deals with its ``blind_indexes``."""

    if TYPE_CHECKING:
        previous_labels: tuple[str, ...]

        @property
        def label(self) -> str: ...

        @property
        def vault(self) -> Vault: ...

        @property
        def encoding(self) -> Encoding: ...

    blind_indexes: tuple[Kind | None, ...]

    @cached_property
    def slots(self) -> tuple[Slot, ...]:
        """The declared blind indexes with their places; unused places are left out."""
        return tuple((slot, kind) for slot, kind in enumerate(self.blind_indexes) if kind is not None)

    def slots_for(self, lookup: str) -> tuple[Slot, ...]:
        """Return every version of the first blind index that answers ``lookup``, or nothing."""
        # Only text has cases: for other types, what Django's iexact compares is equal or not.
        answered = {lookup, "exact"} if lookup == "iexact" and not self.holds_text else {lookup}
        for _, kind in self.slots:
            if not answered.isdisjoint((kind.name, *kind.lookups)):
                return tuple((slot, other) for slot, other in self.slots if other.name == kind.name)
        return ()

    @property
    def holds_text(self) -> bool:
        """Whether the values are texts, which have cases."""
        return isinstance(self, CharField | TextField)

    @cached_property
    def compound_members(self) -> tuple[str, ...]:
        """Names of the other fields in this one's compound indexes."""
        return tuple(n for _, kind in self.slots if isinstance(kind, Compound) for n in kind.with_fields)

    @cached_property
    def compounds(self) -> "tuple[DigestsMixin, ...]":
        """The fields of the model that have a compound index with this one in it."""
        return tuple(
            field
            for field in self.model._meta.local_concrete_fields
            if isinstance(field, DigestsMixin)
            and field.compound_members
            and self.name in (field.name, *field.compound_members)
        )

    def front(self, value: Any, instance: Model | None) -> bytes:
        """Return the digests of ``value``, which is not stored as NULL, for a cell of ``instance``.

        Raises FieldError when a compound index needs the row and there is none.
        """
        if instance is None and self.compounds:
            raise FieldError(
                f"{self} is part of a compound blind index, which needs the whole row, and there is none in "
                "update(), bulk_update() and expressions. Load the rows, assign and save()."
            )
        prepared = self.get_prep_value(value)
        return b"".join(self._stored(kind, prepared, instance) for kind in self.blind_indexes)

    def _stored(self, kind: Kind | None, prepared: Any, instance: Model | None) -> bytes:
        digest = None
        if kind is not None:
            others = self.held_with(kind, instance) if instance is not None else {}
            digest = self._digest(kind, self._message(kind, prepared, others))
        return urandom(DIGEST_BYTES) if digest is None else digest.raw  # random equals nothing, as NULL

    def held_with(self, kind: Kind, instance: Model) -> dict[str, Any]:
        """Return what ``instance`` holds in the other fields of a compound index: values, or stored cells."""
        names = kind.with_fields if isinstance(kind, Compound) else ()
        return {name: self.model._meta.get_field(name).held_by(instance) for name in names}  # type: ignore[union-attr]

    @leaves_no_locals
    def digest_of(self, kind: Kind, value: Any, others: Mapping[str, Any] = {}) -> Digest | None:
        """Return the digest of ``value`` in the index ``kind``; None when it, or one of ``others``, is None.

        ``others`` are the values of a compound index's other fields. Values may be stored cells: untouched
        ones of a row have the digest that they carry, and one that cannot be opened counts as None. Raises
        VaultError in an outage.
        """
        members = [(self._member(name), held) for name, held in others.items()]
        if all(_is_untouched(held, field) for field, held in ((self, value), *members)):
            stored = self._stored_digest(kind, value)
            if stored is not None:
                return stored
        value = _known(value)
        return self._digest(kind, self._message(kind, self._prepared(value), others))

    def _digest(self, kind: Kind, message: bytes | None) -> Digest | None:
        return None if message is None else Digest(self.vault.digest(self.label, kind, message))

    def _stored_digest(self, kind: Kind, sealed: Sealed) -> Digest | None:
        slot = self.blind_indexes.index(kind)
        try:
            digests = envelope.parse(sealed.cell).digests
        except EnvelopeError:
            return None
        found = digests[slot * DIGEST_BYTES : (slot + 1) * DIGEST_BYTES]
        return Digest(found) if found else None

    def _prepared(self, value: Any) -> Any:
        return None if value is None else self.get_prep_value(value)

    def _message(self, kind: Kind, prepared: Any, others: Mapping[str, Any]) -> bytes | None:
        """Return what is digested for a prepared value of a row, None where a part of it is not known."""
        if not isinstance(kind, Compound):
            return (
                None if prepared is None else kind.message(self._input(kind, prepared), self.encoding.equal)
            )
        parts = [prepared]
        for name in kind.with_fields:
            parts.append(self._member(name)._prepared(_known(others.get(name))))
        return self._combined(kind, parts)

    def _member(self, name: str) -> Any:
        return self.model._meta.get_field(name)

    def _combined(self, kind: Compound, parts: list[Any]) -> bytes | None:
        """Return the message of the prepared values of a compound index's fields."""
        if any(part is None for part in parts):
            return None
        fields: list[Any] = [self, *map(self._member, kind.with_fields)]
        return kind.combined(field.encoding.equal(part) for field, part in zip(fields, parts, strict=True))

    def _input(self, kind: Kind, prepared: Any) -> Any:
        """Return a prepared value as ``kind`` takes it: a text, that of what comes back when it is read."""
        if not kind.of_text or isinstance(prepared, str):
            return prepared
        return self.encoding.decode(self.encoding.encode(prepared))

    @leaves_no_locals
    def searched(self, lookup: str, value: Any) -> Any:
        """Return a value searched for by ``lookup`` as :meth:`search_digests` takes it.

        None when it means NULL, :data:`NOTHING` when no stored value equals it. Raises what the Django field
        raises for a value of another type, without quoting it.
        """
        kind = self.slots_for(lookup)[0][1]
        try:
            if isinstance(kind, Compound):
                fields: list[Any] = [self, *map(self._member, kind.with_fields)]
                return [field._prepared(part) for field, part in zip(fields, value, strict=True)]
            typed = isinstance(value, str) and not self.holds_text
            if typed and kind.of_text and lookup not in Exact.lookups:
                return value  # a part of a number's text need not be a number
            if lookup == "iexact" and typed:
                value = self.to_python(value)
                self.encoding.equal(self._prepared(value))
            prepared = self._prepared(value)
            # Stored as NULL, an empty address still equals none, as in Django's column.
            return NOTHING if prepared is None and isinstance(self, GenericIPAddressField) else prepared
        except ArithmeticError:
            return NOTHING  # out of any column's range
        except ValidationError as exc:
            refused: Exception = ValidationError(
                f"{self} does not take the value searched for.", code=exc.code
            )
        except Exception as exc:
            error = TypeError if isinstance(exc, TypeError) else ValueError
            refused = error(f"{self} does not take the value searched for ({type(exc).__name__}).")
        if lookup == "iexact":
            return NOTHING  # Django compares texts there, and this is not the text of any value
        raise refused

    @leaves_no_locals
    def search_digests(self, kind: Kind, searched: Any) -> list[bytes]:
        """Return the digests that a stored value equal to ``searched`` may have: one per label of the field.

        None when the column could not hold such a value.
        """
        message = self.search_message(kind, searched)
        return [] if message is None else self._digests(kind, message)

    def _digests(self, kind: Kind, message: bytes) -> list[bytes]:
        return [self.vault.digest(label, kind, message) for label in (self.label, *self.previous_labels)]

    @leaves_no_locals
    def search_message(self, kind: Kind, searched: Any) -> bytes | None:
        """Return what is digested for what :meth:`searched` returned; None when it equals no stored value.

        Raises TypeError, which never quotes it, when the field does not take such a value.
        """
        if searched is None or searched is NOTHING:
            return None
        try:
            if isinstance(kind, Compound):
                return self._combined(kind, searched)
            return kind.searched(self._input(kind, searched), self.encoding.equal)
        except (ArithmeticError, DataError, ValueError):
            return None  # out of the column's range
        except Exception as exc:
            # Django's errors quote the value, and so would a chained exception.
            reason = type(exc).__name__
        raise TypeError(f"{self} does not take the value searched for ({reason}).")

    def is_found(self, stored: bytes, value: Any, instance: Model) -> bool:
        """Whether the digests ``stored`` in front of a cell are those of its ``value``, in every index.

        They are not where the cell is older than an index, or the order of ``blind_indexes`` was changed. An
        index with a field whose cell cannot be opened is passed over.
        """
        for slot, kind in self.slots:
            if not self.vault.index_keys.exists(kind.version):
                return False
            message = self.stored_message(kind, value, instance)
            try:
                wanted = None if message is None else self._digests(kind, message)
            except WrongKey:  # the root key's record was changed
                return False
            if wanted is not None and stored[slot * DIGEST_BYTES :][:DIGEST_BYTES] not in wanted:
                return False
        return True

    def stored_message(self, kind: Kind, value: Any, instance: Model) -> bytes | None:
        """Return what is digested for the ``value`` of a stored row, None where a part of it is not known."""
        return self._message(kind, self._prepared(value), self.held_with(kind, instance))

    def renew_compounds(self, instance: Model, written: Iterable[str] | None) -> None:
        """Make sure that a save of the columns ``written`` (all of them when None) renews compound digests.

        The digest stands in front of this field's cell, which must be sealed again when another field of the
        index was assigned. Raises FieldError when ``written`` leaves this field out.
        """
        held_by_name = instance.__dict__
        assigned = [
            name
            for name in self.compound_members
            if (written is None or name in written)
            and name in held_by_name
            and type(held_by_name[name]) is not Sealed
            and (held_by_name[name] is not None or name in names_set_to_null(instance))
        ]
        if not assigned:
            return
        if self.attname not in held_by_name or (written is not None and self.name not in written):
            raise FieldError(
                f"{self} has a compound blind index with {', '.join(sorted(assigned))}: write it too, so "
                "that the index is renewed."
            )
        held_by_name[self.attname] = opened(held_by_name[self.attname])


def _is_untouched(held: Any, field: Any) -> bool:
    """Whether ``held`` is a stored cell of ``field``, not one that a program carried over from another."""
    return type(held) is Sealed and held.field.label == field.label and not held.has_changed()


def _known(value: Any) -> Any:
    """Return a value, that of a stored cell too; None for a cell that cannot be opened.

    Raises VaultError in an outage, which is no answer.
    """
    try:
        return opened(value)
    except CANNOT_BE_OPENED:
        return None
