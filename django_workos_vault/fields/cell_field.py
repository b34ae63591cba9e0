"""A column of cells: what is written is sealed, what is read is opened.

Here the three objects of a field meet: its encoding has made bytes of a value, its digests say what it can be
found by, and its scheme has the cipher.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cached_property
from itertools import dropwhile, islice
from typing import Any

from django.core.exceptions import FieldError
from django.db.models import Field, Model

from django_workos_vault.batch_cipher import seal_again
from django_workos_vault.blind import Kind
from django_workos_vault.cipher import Cipher
from django_workos_vault.context import KeyContext
from django_workos_vault.exceptions import CANNOT_BE_OPENED, MalformedEnvelope, WrongBinding
from django_workos_vault.fields.cell import NEIGHBOURS, PLAIN, ForeignCell, Sealed, SealedAttribute, opened
from django_workos_vault.fields.column import held_opener
from django_workos_vault.fields.defaults import is_needed_by_no_row
from django_workos_vault.fields.digests import Digests
from django_workos_vault.fields.django_internals.frames import rows_of_bulk_create
from django_workos_vault.fields.encoded_field import EncodedField
from django_workos_vault.fields.expressions import refuse_expression
from django_workos_vault.fields.scheme import Row
from django_workos_vault.frame_locals import forget_locals, leaves_no_locals


class CellField(EncodedField):
    """Seals and opens. How a field is declared, validated, shown and dumped is its heir's business."""

    descriptor_class = SealedAttribute
    holds_cells = "ciphertexts"
    blind_indexes: tuple[Kind | None, ...] = ()

    @cached_property
    def digests(self) -> Digests:
        """What cells can be searched by: this field's blind indexes, and compound ones it is part of."""
        return Digests(self)

    @property
    def cipher(self) -> Cipher:
        """What seals and opens this field's cells."""
        return self.scheme.cipher

    # Sealing and opening

    @cached_property
    def _needs_only_the_value(self) -> bool:
        """Whether a cell depends on nothing but its value: not on its row, and it carries no digests."""
        return not (self.scheme.remembers_row or self.digests.are_carried)

    @cached_property
    def may_be_parted(self) -> bool:
        return self.scheme.remembers_row or bool(self.digests.compound_members)

    def sealed(self, value: Any, instance: Model | None = None) -> Sealed | None:
        """Return any value that the Django field takes as a sealed cell, None where it stores NULL."""
        plaintext = self._encoded(value)
        if plaintext is None:
            return None
        scheme = self.scheme
        if self._needs_only_the_value:
            cell = scheme.cipher.seal(plaintext, scheme.static_context(), self.block)
            sealed = Sealed(cell, self)
        else:
            digests = self.digests.front(opened(value), instance) if self.digests.are_carried else b""
            sealed = self.of_row(self.seal_plaintext(plaintext, instance, digests), instance)
        sealed.remember(value, plaintext)
        return sealed

    def seal_plaintext(self, plaintext: bytes, instance: Model | None = None, digests: bytes = b"") -> bytes:
        """Return an encoded value as a cell. ``instance`` is its row, if at hand."""
        scheme = self.scheme
        context = scheme.context_for(instance)
        identity = b""
        if instance is not None:
            if scheme.needs_row and not scheme.vault.keyring.is_ready(context):
                scheme.vault.keyring.prepare(scheme.contexts_of(self._batch_from(instance)))
            if scheme.binds:
                identity = scheme.identities(scheme.whole_row_of(instance))[0]
        return scheme.cipher.seal(plaintext, context, binding=identity, pad_to=self.block, digests=digests)

    @leaves_no_locals
    def resealed(self, cell: bytes, instance: Model | None = None, neighbours: Any = None) -> bytes:
        """Return what was sealed in ``cell``, of a field not bound to its row, as another cell.

        The bytes stay what they are. Raises EnvelopeError, where they are no value too, or VaultError.
        """
        scheme = self.scheme
        cipher = scheme.cipher
        plaintext = cipher.open(cell, neighbours=neighbours)
        value = self._decoded(plaintext)
        if self._needs_only_the_value:
            return cipher.seal(plaintext, scheme.static_context(), pad_to=self.block)
        if not self.digests.are_carried:
            return self.seal_plaintext(plaintext, instance)
        return self.seal_plaintext(plaintext, instance, self.digests.front(value, instance))

    @leaves_no_locals
    def resealed_at_once(
        self, cells: Sequence[bytes], contexts: Sequence[KeyContext | None]
    ) -> list[bytes | None]:
        """Return each of ``cells``, of a field not bound to its row and without digests, as another one.

        None for each that has no context, and for each of which :meth:`resealed` would say what is wrong.
        Raises VaultError in an outage.
        """
        return seal_again(self.scheme.cipher, cells, contexts, decode=self.encoding.decode, pad_to=self.block)

    def _batch_from(self, instance: Model) -> Any:
        """Return ``instance`` and the rows that follow it in a ``bulk_create()`` under way."""
        following = dropwhile(lambda row: row is not instance, rows_of_bulk_create() or [instance])
        return islice(following, min(NEIGHBOURS, self.vault.policy.cache_size))

    @leaves_no_locals
    def seal_value(self, value: Any, instance: Model | None = None) -> bytes:
        """Return ``value`` as a cell. Raises ValueError when the field stores it as NULL."""
        sealed = self.sealed(value, instance)
        if sealed is None:
            raise ValueError(f"{self} stores this value as NULL.")
        return sealed.cell

    def of_row(self, cell: bytes, instance: Model | None) -> Sealed:
        """Return ``cell`` as the instance holds it, with what the row holds now."""
        if instance is None or not self.scheme.remembers_row:
            return Sealed(cell, self)
        return Sealed(cell, self, None, self.scheme.row_of(instance))

    @cached_property
    def open_held(self) -> Callable[[Sealed], Any]:
        """``open_held(held)`` opens what an instance holds, has it remember the value, and returns that.

        Raises EnvelopeError or VaultError.
        """
        return held_opener(self)

    def open_cell(self, cell: bytes, neighbours: list[bytes] | None = None, row: Row | None = None) -> Any:
        """Return the Python value of a cell. Errors as above.

        ``row`` holds the row's values of the scheme's ``row_columns``, for a field with ``bind_to``.
        """
        return self.open_held(Sealed(cell, self, neighbours, row))

    def _decoded(self, plaintext: bytes) -> Any:
        try:
            return self.encoding.decode(plaintext)
        except Exception:  # noqa: S110 -- as in held_opener()
            pass
        del plaintext
        raise self.holds_no_value()

    def open_bytes(self, cell: bytes, row: Row | None = None) -> bytes:
        """Return what was sealed in a cell, before it is decoded. Errors as above."""
        return self.open_bound(cell, None, row) if self.scheme.is_bound else self.scheme.cipher.open(cell)

    def open_bound(self, cell: bytes, neighbours: list[bytes] | None, row: Row | None) -> bytes:
        if row is None:
            raise FieldError(
                f"{self} is bound to its row, and values(), annotations and expressions have none. "
                "Load instances; only() keeps the other columns out."
            )
        current, *previous = self.scheme.identities(row)
        for identity in previous:
            with suppress(WrongBinding):
                return self.scheme.cipher.open(cell, binding=identity, neighbours=neighbours)
        return self.scheme.cipher.open(cell, binding=current, neighbours=neighbours)

    def holds_no_value(self) -> MalformedEnvelope:
        """Return the error for a cell that opens to something that is no value."""
        return MalformedEnvelope(f"The cell in {self} opens, but holds no value of a {self.plain_type}.")

    def held_by(self, instance: Model) -> Any:
        """Return what ``instance`` holds, opening nothing. What was deferred is loaded."""
        if self.attname not in instance.__dict__:
            instance.refresh_from_db(fields=[self.attname])
        held = instance.__dict__[self.attname]
        if type(held) is Sealed:
            held.complete(instance)
        return held

    # Writing

    def pre_save(self, model_instance: Model, add: bool) -> Any:
        try:  # leaves_no_locals, without the price of a wrapper: this runs for every value that is written
            value = model_instance.__dict__.get(self.attname)
            if type(value) not in PLAIN or not self._takes_the_short_way:
                return self._cell_to_write(model_instance, add)
            plaintext = self._encoded(value)
            if plaintext is None:
                return None
            cipher, context = self._ready
            if cipher.keyring.closed:
                self.__dict__.pop("_ready", None)  # another thread may have done so
                cipher, context = self._ready
            sealed = Sealed(cipher.seal(plaintext, context, self.block), self)
            sealed.remember(value, None)
            model_instance.__dict__[self.attname] = sealed
            return sealed
        except Exception as exc:
            forget_locals(exc)
            value = plaintext = None
            raise

    @cached_property
    def _ready(self) -> tuple[Cipher, KeyContext]:
        """Cipher and key context of values that depend on no row, until the vault is closed."""
        return self.scheme.cipher, self.scheme.static_context()

    @cached_property
    def _takes_the_short_way(self) -> bool:
        """Whether what an instance holds is all that its cell depends on: Django's class changes nothing."""
        return self._needs_only_the_value and super().pre_save.__func__ is Field.pre_save  # type: ignore[attr-defined]

    def _cell_to_write(self, model_instance: Model, add: bool) -> Any:
        value = super().pre_save(model_instance, add)  # a cell that nobody touched comes as it is
        held = model_instance.__dict__.get(self.attname)
        if type(held) is Sealed:
            touched = held.has_changed() or self.row_changed(held, model_instance)
            touched = touched or (add and self._has_digest_of_one_row(held, model_instance))
            if self._is_cell_of_mine(held) and not touched and (value is held or held.holds(value)):
                return held
            value = held.open() if value is held else value
        if value is None or hasattr(value, "resolve_expression"):
            return value
        sealed = self.sealed(value, model_instance)
        if sealed is not None:
            model_instance.__dict__[self.attname] = sealed
        return sealed

    def _has_digest_of_one_row(self, held: Sealed, instance: Model) -> bool:
        # Where another field of a compound index is NULL, the digest is random and equals nothing, as NULL.
        # A copy of the row must not have the same, and gets its own unless the cell cannot be opened.
        if all(instance.__dict__.get(name) is not None for name in self.digests.compound_members):
            return False
        with suppress(*CANNOT_BE_OPENED):
            held.complete(instance)
            held.open()
            return True
        return False

    def get_db_prep_save(self, value: Any, connection: Any) -> Any:
        try:  # as in pre_save()
            if type(value) is Sealed and (value.field is self or self._is_cell_of_mine(value)):
                return self._parameter(value, connection)
            if not hasattr(value, "resolve_expression"):
                if is_needed_by_no_row(self, value, connection):
                    return None
                return self.get_db_prep_value(value, connection)
            refuse_expression(self, value)
            return value
        except Exception as exc:
            forget_locals(exc)
            del value
            raise

    @leaves_no_locals
    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        if not self._is_cell_of_mine(value):
            value = self.sealed(value)
        return None if value is None else self._parameter(value, connection)

    def _parameter(self, sealed: Sealed, connection: Any) -> Any:
        cell = sealed.cell
        if type(cell) is ForeignCell:
            return cell.stored
        cipher = self.scheme.cipher_in_use
        if cipher is None or cipher.keyring.closed or cipher.refers:
            self.scheme.cipher.secure(cell, connection.alias)
        return connection.Database.Binary(cell)

    def _is_cell_of_mine(self, value: Any) -> bool:
        # A cell that a program carries over from another column would not open in this one.
        return type(value) is Sealed and (value.field is self or value.field.label == self.label)
