"""What a field with ``blind_indexes`` writes in front of its cells, and which index answers which lookup."""

from collections.abc import Iterable, Mapping
from functools import cached_property
from os import urandom
from typing import Any

from django.core.exceptions import FieldError
from django.db.models import BinaryField, CharField, JSONField, Model, TextField

from django_workos_vault import envelope
from django_workos_vault.blind import Compound, Digest, Kind
from django_workos_vault.envelope import DIGEST_BYTES
from django_workos_vault.exceptions import CANNOT_BE_OPENED, EnvelopeError, WrongKey
from django_workos_vault.fields.cell import Sealed, names_set_to_null, opened
from django_workos_vault.fields.foreign_digests import refuse_another_root_key
from django_workos_vault.fields.scheme import GIVE_MANAGER
from django_workos_vault.frame_locals import leaves_no_locals
from django_workos_vault.vault import Vault

#: One declared blind index and its place in front of the cell, counted from 0.
Slot = tuple[int, Kind]


def fields_with_digests(model: type[Model]) -> list[Any]:
    """Return the fields of a model's own table whose cells can carry digests."""
    return [field for field in model._meta.local_concrete_fields if hasattr(field, "blind_indexes")]


class Digests:
    """What a field writes in front of its cells, and what it is searched by: its blind indexes.

    ``field`` has its model. It says which indexes there are, how a value is prepared, and which key is used.
    """

    def __init__(self, field: Any) -> None:
        self._field = field
        self._kinds: tuple[Kind | None, ...] = field.blind_indexes
        self._answers: dict[str, tuple[Slot, ...]] = {}

    @property
    def are_carried(self) -> bool:
        """Whether cells carry digests: of this field's blind indexes, or of compound ones it is part of."""
        return bool(self._kinds or self.compounds)

    @cached_property
    def slots(self) -> tuple[Slot, ...]:
        """The declared blind indexes with their places; unused places are left out."""
        return tuple((slot, kind) for slot, kind in enumerate(self._kinds) if kind is not None)

    def slots_for(self, lookup: str) -> tuple[Slot, ...]:
        """Return every version of the first blind index that answers ``lookup``, or nothing."""
        return self._answers.get(lookup) or self._first_answering(lookup)

    def _first_answering(self, lookup: str) -> tuple[Slot, ...]:
        # Only text has cases: for other types, what Django's iexact compares is equal or not.
        answered = {lookup, "exact"} if lookup == "iexact" and not self.holds_text else {lookup}
        for _, kind in self.slots:
            if not answered.isdisjoint((kind.name, *kind.lookups)):
                versions = tuple((slot, other) for slot, other in self.slots if other.name == kind.name)
                self._answers[lookup] = versions  # and nothing for other names, of which there is no end
                return versions
        return ()

    @property
    def holds_text(self) -> bool:
        """Whether the values are texts, which have cases."""
        return isinstance(self._field, CharField | TextField)

    @property
    def compare_texts(self) -> bool:
        """Whether the values can be compared as texts."""
        return not isinstance(self._field, BinaryField | JSONField)

    @cached_property
    def compound_members(self) -> tuple[str, ...]:
        """Names of the other fields in this one's compound indexes."""
        return tuple(n for _, kind in self.slots if isinstance(kind, Compound) for n in kind.with_fields)

    @cached_property
    def compounds(self) -> tuple[Any, ...]:
        """The fields of the model that have a compound index with this one in it."""
        found = []
        for field in fields_with_digests(self._field.model):
            members = field.digests.compound_members
            if members and self._field.name in (field.name, *members):
                found.append(field)
        return tuple(found)

    def front(self, value: Any, instance: Model | None) -> bytes:
        """Return the digests of ``value``, which is not stored as NULL, for a cell of ``instance``.

        Raises FieldError when a compound index needs the row and there is none.
        """
        if instance is None and self.compounds:
            raise FieldError(
                f"{self._field} is part of a compound blind index, which needs the whole row, and there is "
                f"none in update() and expressions. Use save() or bulk_update(), or {GIVE_MANAGER}"
            )
        prepared = self._field.get_prep_value(value)
        return b"".join(self._stored(kind, prepared, instance) for kind in self._kinds)

    def _stored(self, kind: Kind | None, prepared: Any, instance: Model | None) -> bytes:
        digest = None
        if kind is not None:
            others = self.held_with(kind, instance) if instance is not None else {}
            digest = self._digest(kind, self._message(kind, prepared, others))
        return urandom(DIGEST_BYTES) if digest is None else digest.raw  # random equals nothing, as NULL

    def held_with(self, kind: Kind, instance: Model) -> dict[str, Any]:
        """Return what ``instance`` holds in the other fields of a compound index: values, or stored cells."""
        names = kind.with_fields if isinstance(kind, Compound) else ()
        return {name: self.member(name).held_by(instance) for name in names}

    @leaves_no_locals
    def digest_of(self, kind: Kind, value: Any, others: Mapping[str, Any] = {}) -> Digest | None:
        """Return the digest of ``value`` in the index ``kind``; None when it, or one of ``others``, is None.

        ``others`` are the values of a compound index's other fields. Values may be stored cells: untouched
        ones of a row have the digest that they carry, and one that cannot be opened counts as None. Raises
        VaultError in an outage.
        """
        members = [(self.member(name), held) for name, held in others.items()]
        if all(_is_untouched(held, field) for field, held in ((self._field, value), *members)):
            stored = self._stored_digest(kind, value)
            if stored is not None:
                return stored
        value = _known(value)
        return self._digest(kind, self._message(kind, self.prepared(value), others))

    def _digest(self, kind: Kind, message: bytes | None) -> Digest | None:
        return None if message is None else Digest(self._under(self._field.label, kind, message))

    def _under(self, label: str, kind: Kind, message: bytes) -> bytes:
        vault: Vault = self._field.vault
        if not vault.index_keys.is_ready(kind.version):
            refuse_another_root_key(self._field, kind.version)
        return vault.digest(label, kind, message)

    def _stored_digest(self, kind: Kind, sealed: Sealed) -> Digest | None:
        slot = self._kinds.index(kind)
        try:
            digests = envelope.parse(sealed.cell).digests
        except EnvelopeError:
            return None
        found = digests[slot * DIGEST_BYTES : (slot + 1) * DIGEST_BYTES]
        return Digest(found) if found else None

    def prepared(self, value: Any) -> Any:
        """Return ``value`` as it is encoded; None for NULL."""
        return None if value is None else self._field.get_prep_value(value)

    def _message(self, kind: Kind, prepared: Any, others: Mapping[str, Any]) -> bytes | None:
        """Return what is digested for a prepared value of a row, None where a part of it is not known."""
        if not isinstance(kind, Compound):
            return (
                None
                if prepared is None
                else kind.message(self.input(kind, prepared), self._field.encoding.equal)
            )
        parts = [prepared]
        for name in kind.with_fields:
            parts.append(self.member(name).digests.prepared(_known(others.get(name))))
        return self.combined(kind, parts)

    def member(self, name: str) -> Any:
        """Return another field of a compound index."""
        return self._field.model._meta.get_field(name)

    def members(self, kind: Compound) -> list[Any]:
        """Return the fields of a compound index, this one first."""
        return [self._field, *map(self.member, kind.with_fields)]

    def combined(self, kind: Compound, parts: list[Any]) -> bytes | None:
        """Return the message of the prepared values of a compound index's fields."""
        if any(part is None for part in parts):
            return None
        pairs = zip(self.members(kind), parts, strict=True)
        return kind.combined(field.encoding.equal(part) for field, part in pairs)

    def input(self, kind: Kind, prepared: Any) -> Any:
        """Return a prepared value as ``kind`` takes it: a text, that of what comes back when it is read."""
        if not kind.of_text or isinstance(prepared, str):
            return prepared
        encoding = self._field.encoding
        return encoding.decode(encoding.encode(prepared))

    def under_each_label(self, kind: Kind, message: bytes) -> list[bytes]:
        """Return the digests of ``message`` under each label that the field's cells may have."""
        return [self._under(label, kind, message) for label in self._field.labels]

    def is_found(self, stored: bytes, value: Any, instance: Model) -> bool:
        """Whether the digests ``stored`` in front of a cell are those of its ``value``, in every index.

        They are not where the cell is older than an index, or the order of ``blind_indexes`` was changed. An
        index with a field whose cell cannot be opened is passed over.
        """
        for slot, kind in self.slots:
            if not self._field.vault.index_keys.exists(kind.version):
                return False
            message = self.stored_message(kind, value, instance)
            try:
                wanted = None if message is None else self.under_each_label(kind, message)
            except WrongKey:  # the root key's record was changed
                return False
            if wanted is not None and stored[slot * DIGEST_BYTES :][:DIGEST_BYTES] not in wanted:
                return False
        return True

    def stored_message(self, kind: Kind, value: Any, instance: Model) -> bytes | None:
        """Return what is digested for the ``value`` of a stored row, None where a part of it is not known."""
        return self._message(kind, self.prepared(value), self.held_with(kind, instance))

    def renew_compounds(self, instance: Model, written: Iterable[str] | None) -> None:
        """Make sure that a save of the columns ``written`` (all of them when None) renews compound digests.

        The digest stands in front of this field's cell, which must be sealed again when another field of the
        index was assigned. Raises FieldError when ``written`` leaves this field out.
        """
        members = self.compound_members
        if not members:
            return
        held_by_name = instance.__dict__
        assigned = [
            name
            for name in members
            if (written is None or name in written)
            and name in held_by_name
            and type(held_by_name[name]) is not Sealed
            and (held_by_name[name] is not None or name in names_set_to_null(instance))
        ]
        if not assigned:
            return
        attname, name = self._field.attname, self._field.name
        if attname not in held_by_name or (written is not None and name not in written):
            raise FieldError(
                f"{self._field} has a compound blind index with {', '.join(sorted(assigned))}: write it too, "
                "so that the index is renewed."
            )
        held_by_name[attname] = opened(held_by_name[attname])


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
