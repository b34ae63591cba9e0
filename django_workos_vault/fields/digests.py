"""What a field with ``blind_indexes`` writes in front of its cells, and which index answers which lookup."""

from collections.abc import Iterable, Mapping
from functools import cached_property
from os import urandom
from typing import TYPE_CHECKING, Any

from django.core.exceptions import FieldError
from django.db.models import Field, Model

from django_workos_vault import envelope
from django_workos_vault.blind import Compound, Kind
from django_workos_vault.envelope import DIGEST_BYTES
from django_workos_vault.exceptions import EnvelopeError, WrongKey
from django_workos_vault.fields.sealed import Sealed, names_set_to_null, opened
from django_workos_vault.handler import Vault
from django_workos_vault.traces import leaves_no_locals

if TYPE_CHECKING:
    _Base = Field[Any, Any]
else:
    _Base = object

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

        def encode(self, value: Any) -> bytes: ...

    blind_indexes: tuple[Kind | None, ...]

    @cached_property
    def slots(self) -> tuple[Slot, ...]:
        """The declared blind indexes with their places; unused places are left out."""
        return tuple((slot, kind) for slot, kind in enumerate(self.blind_indexes) if kind is not None)

    def slots_for(self, lookup: str) -> tuple[Slot, ...]:
        """Return every version of the first blind index that answers ``lookup``, or nothing."""
        for _, kind in self.slots:
            if lookup == kind.name or lookup in kind.lookups:
                return tuple((slot, other) for slot, other in self.slots if other.name == kind.name)
        return ()

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
        """Return the digests of ``value`` (prepared, not None) for a cell of ``instance``.

        Raises FieldError when a compound index needs the row and there is none.
        """
        if instance is None and self.compounds:
            raise FieldError(
                f"{self} is part of a compound blind index, which needs the whole row, and there is none in "
                "update(), bulk_update() and expressions. Load the rows, assign and save()."
            )
        return b"".join(self._stored(kind, value, instance) for kind in self.blind_indexes)

    def _stored(self, kind: Kind | None, value: Any, instance: Model | None) -> bytes:
        if kind is None:
            return urandom(DIGEST_BYTES)
        others: Mapping[str, Any] = {}
        if isinstance(kind, Compound):
            others = {name: getattr(instance, name) for name in kind.with_fields}
        return self.digest_of(kind, value, others) or urandom(DIGEST_BYTES)  # random equals nothing, as NULL

    @leaves_no_locals
    def digest_of(self, kind: Kind, value: Any, others: Mapping[str, Any] = {}) -> bytes | None:
        """Return the digest of ``value`` in the index ``kind``; None when it, or one of ``others``, is None.

        ``others`` are the values of a compound index's other fields. A value may be a stored cell, whose own
        digest is taken where it has one.
        """
        if isinstance(kind, Compound):
            return self._compound_digest(kind, [value, *(others.get(name) for name in kind.with_fields)])
        if type(value) is Sealed:
            value = self._stored_digest(kind, value) or value.open()
        if value is None or type(value) is bytes:
            return value
        return self.vault.digest(self.label, kind, kind.message(self.get_prep_value(value), self.encode))

    def _stored_digest(self, kind: Kind, sealed: Sealed) -> bytes | None:
        slot = self.blind_indexes.index(kind)
        try:
            digests = envelope.parse(sealed.cell).digests
        except EnvelopeError:
            return None
        return digests[slot * DIGEST_BYTES : (slot + 1) * DIGEST_BYTES] or None

    @leaves_no_locals
    def search_digests(self, kind: Kind, value: Any) -> list[bytes]:
        """Return the digests that a stored value equal to ``value`` may have: one per label of the field."""
        message = self.search_message(kind, value)
        return [self.vault.digest(label, kind, message) for label in (self.label, *self.previous_labels)]

    def search_message(self, kind: Kind, value: Any) -> bytes:
        """Return what is digested for a ``value`` searched for.

        Raises ValueError, which never quotes it, when the field does not take such a value.
        """
        try:
            if isinstance(kind, Compound):
                return self._compound_message(kind, value)
            return kind.searched(self.get_prep_value(value), self.encode)
        except Exception as exc:
            # Django's errors quote the value, and so would a chained exception.
            reason = type(exc).__name__
        raise ValueError(f"{self} does not take the value searched for ({reason}).")

    def is_found(self, stored: bytes, value: Any, instance: Model) -> bool:
        """Whether the digests ``stored`` in front of a cell are those of its ``value``, in every index.

        They are not where the cell is older than an index, or the order of ``blind_indexes`` was changed.
        """
        others = {name: getattr(instance, name) for name in self.compound_members}
        for slot, kind in self.slots:
            if not self.vault.index_keys.exists(kind.version):
                return False
            try:
                wanted = self.digest_of(kind, value, others)
                former = [] if isinstance(kind, Compound) else self.search_digests(kind, value)
            except WrongKey:  # the root key's record was changed
                return False
            if wanted is not None and stored[slot * DIGEST_BYTES :][:DIGEST_BYTES] not in (wanted, *former):
                return False
        return True

    def stored_message(self, kind: Kind, value: Any, instance: Model) -> bytes:
        """Return what is digested for the ``value`` of a stored row."""
        if isinstance(kind, Compound):
            return self._compound_message(kind, [value, *(getattr(instance, n) for n in kind.with_fields)])
        return kind.message(self.get_prep_value(value), self.encode)

    def _compound_message(self, kind: Compound, values: Iterable[Any]) -> bytes:
        fields: list[Any] = [self, *(self.model._meta.get_field(name) for name in kind.with_fields)]
        return kind.combined(
            field.encode(field.get_prep_value(value)) for field, value in zip(fields, values, strict=True)
        )

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

    def _compound_digest(self, kind: Compound, values: list[Any]) -> bytes | None:
        values = [opened(value) for value in values]
        if None in values:
            return None
        return self.vault.digest(self.label, kind, self._compound_message(kind, values))
