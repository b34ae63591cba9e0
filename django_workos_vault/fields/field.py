"""The encrypted field: one class, in front of a Django field class.

It owns three plain objects: a *scheme* (what values are sealed for), an *encoding* (which bytes they are) and
its *digests* (what they can be searched by). Everything that Django asks of the column is answered here.
"""

from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from itertools import dropwhile, islice
from typing import Any

from django.core.checks import CheckMessage
from django.core.exceptions import FieldError, ValidationError
from django.db import DataError
from django.db.models import CharField, Field, IntegerField, Model, TextField
from django.utils.translation import gettext_lazy as _

from django_workos_vault.blind import Kind
from django_workos_vault.cipher import Cipher
from django_workos_vault.exceptions import OUTAGES, EnvelopeError, MalformedEnvelope, VaultError, WrongBinding
from django_workos_vault.fields import fixtures
from django_workos_vault.fields.cell import NEIGHBOURS, ForeignCell, Sealed, SealedAttribute, opened
from django_workos_vault.fields.checks import field_messages
from django_workos_vault.fields.column import EncryptedCol, opening_converter
from django_workos_vault.fields.defaults import DefaultOf, GoneDefault, LiteralDefault, is_needed_by_no_row
from django_workos_vault.fields.digests import Digests
from django_workos_vault.fields.django_internals.frames import looks_for_renames, rows_of_bulk_create
from django_workos_vault.fields.encodings import Encoding, Integer, Serialized, Text, encoding_of
from django_workos_vault.fields.encodings.numbers import with_bounds
from django_workos_vault.fields.expressions import refuse_expression
from django_workos_vault.fields.forms import cells_are_to_stay_sealed
from django_workos_vault.fields.index_checks import check_blind_indexes
from django_workos_vault.fields.lookups import lookup_class, refusal
from django_workos_vault.fields.masking import quote_no_value
from django_workos_vault.fields.partial_writes import refuse_foreign_upsert
from django_workos_vault.fields.scheme import Row
from django_workos_vault.fields.unique import refuse_duplicate, refuse_duplicate_in_serializer
from django_workos_vault.fields.vault_field import VaultField
from django_workos_vault.frame_locals import forget_locals, leaves_no_locals


class EncryptedField(VaultField):
    """Seals a Django field's values into one binary column.

    Arguments beyond the Django field's own, all optional:

    ``vault``
        alias in ``WORKOS_VAULTS``; ``"default"``.
    ``key_context``
        map of names to strings or :class:`FromRow`. It *replaces* the vault's ``KEY_CONTEXT``: each item of a
        context is a key of its own that can unwrap the data key alone, so merging would let the default
        context's key open what an organization's key should guard.
    ``mask``
        how the admin shows the value: a name from ``masks``.
    ``bind_to``
        names of local columns (or ``"pk"``) that identify the row. A cell copied into another row no longer
        opens.
    ``previous_bind_to``
        what ``bind_to`` was before, as a tuple of tuples, ``()`` for no binding: cells sealed so still open,
        until ``vault_reencrypt`` has sealed them anew.
    ``blind_indexes``
        list of what the field can be searched by, from ``indexes``. The place in the list is the place in the
        cell: append to it, never reorder it, and put ``None`` where one is dropped.
    ``pad_to``
        block size in bytes: plaintexts are padded to a multiple of it, so that a cell's length tells less.
        A field with ``choices`` pads to its longest choice by itself, and most other types have one length.
    ``label``, ``previous_labels``
        the name that a cell is sealed for (``app_label.Model.field`` unless given), and names it had before a
        rename.
    """

    descriptor_class = SealedAttribute
    holds_cells = "ciphertexts"
    non_db_attrs = (
        *Field.non_db_attrs,
        "bind_to",
        "previous_bind_to",
        "blind_indexes",
        "default",
        "key_context",
        "label",
        "mask",
        "max_length",
        "pad_to",
        "previous_labels",
        "vault",
    )

    def __init__(
        self,
        *args: Any,
        bind_to: tuple[str, ...] = (),
        previous_bind_to: tuple[tuple[str, ...], ...] = (),
        blind_indexes: Sequence[Kind | None] = (),
        pad_to: int = 0,
        **kwargs: Any,
    ) -> None:
        self.bind_to = tuple(bind_to)
        self.previous_bind_to = tuple(tuple(names) for names in previous_bind_to)
        self.blind_indexes = tuple(blind_indexes)
        self.pad_to = pad_to
        super().__init__(*args, **kwargs)
        if self.blind_indexes:
            self.validators.append(refuse_duplicate_in_serializer)

    def contribute_to_class(self, cls: type[Model], name: str, *args: Any, **kwargs: Any) -> None:
        super().contribute_to_class(cls, name, *args, **kwargs)
        # Asked here, for packages wrap a model's attributes later, and may: FieldTracker for one.
        self.has_own_attribute = isinstance(vars(cls).get(self.attname), SealedAttribute)

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        if looks_for_renames():
            kwargs.pop("default", None)
            return name, path, args, kwargs
        if self.bind_to:
            kwargs["bind_to"] = self.bind_to
        if self.previous_bind_to:
            kwargs["previous_bind_to"] = self.previous_bind_to
        if self.blind_indexes:
            kwargs["blind_indexes"] = list(self.blind_indexes)
        if self.pad_to:
            kwargs["pad_to"] = self.pad_to
        if "default" in kwargs and self._has_constant_default():
            is_declared = hasattr(self, "model")
            kwargs["default"] = (
                DefaultOf(self.model._meta.label, self.name) if is_declared else LiteralDefault()
            )
        return name, path, args, kwargs

    def clone(self) -> Any:
        return self.with_own_default(super().clone())

    def with_own_default(self, clone: Any) -> Any:
        """Return ``clone`` with the default that :meth:`deconstruct` does not give away."""
        if isinstance(clone.default, LiteralDefault):
            clone.default = self.default
        return clone

    def _has_constant_default(self) -> bool:
        return self.has_default() and not callable(self.default) and self.default not in (None, "")

    def check(self, **kwargs: Any) -> list[CheckMessage]:
        return [
            *super().check(**kwargs),
            *field_messages(self),
            *check_blind_indexes(self, kwargs.get("databases")),
        ]

    def _check_supported(self, databases: Any) -> list[CheckMessage]:
        return []  # what JSONField asks: the database need not know JSON

    # The column

    @property
    def plain_type(self) -> str:
        """The internal type of the Django field that this is the twin of."""
        return super().get_internal_type()

    @staticmethod
    def internal_type_of(plain_type: str) -> str:
        """Return the internal type of the twin of a field whose internal type is ``plain_type``.

        A name that Django does not know: it would turn the cells of what ends in "IntegerField" into numbers.
        What else looks at it, such as django-ninja, can still tell the types apart.
        """
        return plain_type if plain_type == "BinaryField" else f"{plain_type}Encrypted"

    def get_internal_type(self) -> str:
        return self.internal_type_of(self.plain_type)

    def db_type(self, connection: Any) -> str:
        return str(connection.data_types["BinaryField"])

    def cast_db_type(self, connection: Any) -> str:
        return self.db_type(connection)

    def db_parameters(self, connection: Any) -> Any:
        return {"type": self.db_type(connection), "check": None}

    def get_col(self, alias: Any, output_field: Any = None) -> Any:
        if output_field is None or output_field is self:
            return EncryptedCol(alias, self)
        return super().get_col(alias, output_field)

    @property
    def cached_col(self) -> Any:
        # A column remembers where its cells go in one query, so queries cannot share it.
        return EncryptedCol(self.model._meta.db_table, self)

    def get_db_converters(self, connection: Any) -> list[Any]:
        return [opening_converter(self)]  # and nothing that a database does for the plain type

    def get_lookup(self, lookup_name: str) -> Any:
        return lookup_class(self, lookup_name)

    def get_transform(self, lookup_name: str) -> Any:
        raise refusal(self, lookup_name)

    # Values and their bytes

    @cached_property
    def encoding(self) -> Encoding:
        """What turns a value into the bytes to seal, and back."""
        return encoding_of(self)

    @cached_property
    def digests(self) -> Digests:
        """What cells can be searched by: this field's blind indexes, and compound ones it is part of."""
        return Digests(self)

    @property
    def cipher(self) -> Cipher:
        """What seals and opens this field's cells."""
        return self.scheme.cipher

    @cached_property
    def block(self) -> int:
        """The padding block in bytes, 0 for none: ``pad_to``, and no less than the longest choice needs."""
        if not (self.encoding.varies_in_length and self.choices):
            return self.pad_to
        lengths = [len(self.encoded(choice) or b"") for choice, _ in self.flatchoices]
        return max(self.pad_to, 1 + max(lengths, default=0))

    @cached_property
    def validators(self) -> list[Any]:
        if not (isinstance(self, IntegerField) and isinstance(self.encoding, Integer)):
            return super().validators
        return with_bounds(super(IntegerField, self).validators, *self.encoding.bounds)

    def get_prep_value(self, value: Any) -> Any:
        return self.encoding.prepare(value, super().get_prep_value)

    @leaves_no_locals
    def encoded(self, value: Any) -> bytes | None:
        """Return the bytes to seal for any value that the Django field takes, None where it stores NULL.

        Raises what Django's field or the database would, without quoting the value: errors go to logs.
        """
        return self._encoded(value)

    def _encoded(self, value: Any) -> bytes | None:
        if type(value) is not str:
            value = opened(value)
            if type(value) is GoneDefault:
                raise value.refusal()
        try:
            if self._keeps_strings and type(value) is str:
                return value.encode()
            prepared = self.get_prep_value(value)
            return None if prepared is None else self.encoding.encode(prepared)
        except ValidationError as exc:
            refused: Exception = ValidationError(f"{self} cannot hold this value.", code=exc.code)
        except (ArithmeticError, DataError):
            refused = DataError(f"{self} cannot hold this value: it is out of range.")
        except (TypeError, ValueError) as exc:
            kind = TypeError if isinstance(exc, TypeError) else ValueError
            refused = kind(f"{self} cannot hold this {type(value).__name__}.")
        raise refused

    @cached_property
    def _keeps_strings(self) -> bool:
        """Whether Django's own methods alone prepare a value, which leave a string as it is."""
        own = {Field, CharField, TextField, EncryptedField}
        return type(self.encoding) is Text and all(
            owner in own
            for owner in type(self).__mro__
            if not {"to_python", "get_prep_value"}.isdisjoint(vars(owner))
        )

    # Sealing and opening

    @cached_property
    def _needs_only_the_value(self) -> bool:
        """Whether a cell depends on nothing but its value: not on its row, and it carries no digests."""
        return not (self.scheme.remembers_row or self.digests.are_carried)

    def sealed(self, value: Any, instance: Model | None = None) -> Sealed | None:
        """Return any value that the Django field takes as a sealed cell, None where it stores NULL."""
        plaintext = self._encoded(value)
        if plaintext is None:
            return None
        scheme = self.scheme
        if self._needs_only_the_value:
            cell = scheme.cipher.seal(plaintext, scheme.static_context(), pad_to=self.block)
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
        knows_row = self.scheme.remembers_row and instance is not None
        return Sealed(cell, self, None, self.scheme.row_of(instance) if knows_row else None)  # type: ignore[arg-type]

    def open_cell(self, cell: bytes, neighbours: list[bytes] | None = None, row: Row | None = None) -> Any:
        """Return the Python value of a cell. Raises EnvelopeError or VaultError.

        ``row`` holds the row's values of the scheme's ``row_columns``, for a field with ``bind_to``.
        """
        scheme = self.scheme
        if scheme.is_bound:
            plaintext = self._open_bound(cell, neighbours, row)
        else:
            plaintext = scheme.cipher.open(cell, neighbours=neighbours)
        try:  # not suppress(), which takes as long as the rest: this runs for every value
            return self.encoding.decode(plaintext)
        except Exception:  # noqa: S110 -- whatever a field's class makes of a foreign plaintext, and quotes
            pass
        del plaintext
        raise self.holds_no_value()

    def open_bytes(self, cell: bytes, row: Row | None = None) -> bytes:
        """Return what was sealed in a cell, before it is decoded. Errors as above."""
        return self._open_bound(cell, None, row) if self.scheme.is_bound else self.scheme.cipher.open(cell)

    def _open_bound(self, cell: bytes, neighbours: list[bytes] | None, row: Row | None) -> bytes:
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

    # Writing

    def pre_save(self, model_instance: Model, add: bool) -> Any:
        try:  # leaves_no_locals, without the price of a wrapper: this runs for every value that is written
            return self._cell_to_write(model_instance, add)
        except Exception as exc:
            forget_locals(exc)
            raise

    def _cell_to_write(self, model_instance: Model, add: bool) -> Any:
        if add and (self.scheme.needs_row or self.digests.compound_members):
            refuse_foreign_upsert(self)
        value = super().pre_save(model_instance, add)  # a cell that nobody touched comes as it is
        held = model_instance.__dict__.get(self.attname)
        if type(held) is Sealed:
            touched = held.has_changed() or self.row_changed(held, model_instance)
            if self._is_cell_of_mine(held) and not touched and (value is held or held.holds(value)):
                return held
            value = held.open() if value is held else value
        if value is None or hasattr(value, "resolve_expression"):
            return value
        sealed = self.sealed(value, model_instance)
        if sealed is not None:
            model_instance.__dict__[self.attname] = sealed
        return sealed

    def get_db_prep_save(self, value: Any, connection: Any) -> Any:
        try:  # as in pre_save()
            if self._is_cell_of_mine(value):
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
        if isinstance(sealed.cell, ForeignCell):
            return sealed.cell.stored
        self.scheme.cipher.secure(sealed.cell, connection.alias)
        return connection.Database.Binary(sealed.cell)

    def _is_cell_of_mine(self, value: Any) -> bool:
        # A cell that a program carries over from another column would not open in this one.
        return type(value) is Sealed and (value.field is self or value.field.label == self.label)

    def get_placeholder(self, value: Any, compiler: Any, connection: Any) -> str:
        """Guard expressions on their way into the column, up to Django 6.0."""
        if hasattr(value, "as_sql"):
            refuse_expression(self, value)
            return "%s"
        return str(connection.ops.binary_placeholder_sql(value))

    def get_placeholder_sql(self, value: Any, compiler: Any, connection: Any) -> tuple[str, Any]:
        """Guard expressions on their way into the column, from Django 6.1."""
        if hasattr(value, "as_sql"):
            refuse_expression(self, value)
        return connection.ops.binary_placeholder_sql(value, compiler)  # type: ignore[no-any-return]

    # Validation and forms

    def held_by(self, instance: Model) -> Any:
        """Return what ``instance`` holds, opening nothing. What was deferred is loaded."""
        if self.attname not in instance.__dict__:
            instance.refresh_from_db(fields=[self.attname])
        held = instance.__dict__[self.attname]
        if type(held) is Sealed:
            held.complete(instance)
        return held

    @leaves_no_locals
    def clean(self, value: Any, model_instance: Model | None) -> Any:
        """Validate the plaintext. A stored cell is opened for that, and stays the cell it is.

        A stored cell that cannot be opened has nothing to validate: it is kept. Only when the row was moved
        and the cell must be sealed anew, that is a ValidationError.
        """
        if type(value) is not Sealed:
            cleaned = self._validated(value, model_instance)
            if model_instance is not None:
                refuse_duplicate(self, cleaned, model_instance)
            return cleaned
        moved = model_instance is not None and self.row_changed(value, model_instance)
        if cells_are_to_stay_sealed() and not moved:
            return value
        try:
            plain = value.open()
        except (EnvelopeError, VaultError) as exc:
            if not moved:
                return value
            raise _cannot_move(exc) from exc
        cleaned = self._validated(plain, model_instance)
        return value if cleaned == plain else cleaned

    def _validated(self, value: Any, model_instance: Model | None) -> Any:
        try:
            return super().clean(value, model_instance)
        except ValidationError as exc:
            for error in exc.error_list:
                quote_no_value(error)  # uncaught, an error goes to logs
            raise

    def save_form_data(self, instance: Model, data: Any) -> None:
        """Assign what a form gives. A blank keeps a cell that cannot be opened: it was shown as a blank.

        This field's own form field says "keep" itself; a form may have another in its place.
        """
        says_nothing = data in self.empty_values or isinstance(data, bool)  # a checkbox has no blank
        if type(data) is not Sealed and not (says_nothing and self._is_unreadable(instance)):
            super().save_form_data(instance, data)

    def _is_unreadable(self, instance: Model) -> bool:
        try:
            opened(self.held_by(instance))
        except (EnvelopeError, VaultError):
            return True
        return False

    # Fixtures

    @cached_property
    def _is_json(self) -> bool:
        return self.plain_type == "JSONField" and not isinstance(self.encoding, Serialized)

    def to_python(self, value: Any) -> Any:
        if isinstance(value, str) and fixtures.is_serialized_cell(value):
            return value  # take_serialized() takes it from here
        if self._is_json:
            value = fixtures.json_from_xml(value, getattr(self, "decoder", None))
        return super().to_python(value)

    @leaves_no_locals
    def value_to_string(self, obj: Model) -> Any:
        """Return the cell as text for Django's serializers, else what the Django field makes of the value."""
        if not fixtures.dumps_cells(self):
            value = self._opened_for_dump(obj)
            if not fixtures.looks_like_cell(value):
                return self._plain_string(value, obj)  # else loaddata would take a user's text for a cell
        sealed = self.value_to_dump(obj)
        return "" if sealed is None else fixtures.cell_to_text(sealed.cell)

    def _opened_for_dump(self, obj: Model) -> Any:
        try:
            return getattr(obj, self.attname)
        except (EnvelopeError, VaultError) as exc:
            if fixtures.serializer_at_work():
                raise fixtures.cannot_dump(self, obj.pk) from exc
            raise

    def _plain_string(self, value: Any, obj: Model) -> Any:
        if isinstance(self.encoding, Serialized) or (self._is_json and fixtures.writes_xml()):
            return self.encoding.encode(value).decode()
        return super().value_to_string(obj)

    def value_to_dump(self, obj: Model) -> Sealed | None:
        """Return the stored cell; an assigned value sealed."""
        held = self.held_by(obj)
        if type(held) is Sealed and not held.has_changed():
            return held
        return self.sealed(getattr(obj, self.attname), obj)

    def take_serialized(self, instance: Model) -> None:
        cell = fixtures.text_to_cell(instance.__dict__.get(self.attname))
        if cell is not None:
            instance.__dict__[self.attname] = self.of_row(cell, instance)

    @leaves_no_locals
    def load_serialized(self, instance: Model) -> None:
        value = instance.__dict__.get(self.attname)
        if value is not None and type(value) is not Sealed:
            instance.__dict__[self.attname] = self.sealed(value, instance)

    # Migrations

    def relabel(self, label: str, previous_labels: tuple[str, ...]) -> None:
        """Let this field of a migration's model seal for ``label`` and open ``previous_labels`` as well."""
        self.explicit_label = label
        self.previous_labels = tuple(dict.fromkeys((*self.previous_labels, *previous_labels)))
        self.forget_place()


def _cannot_move(error: Exception) -> ValidationError:
    message = _("The stored value cannot be opened, so it cannot move with the row. Enter it again.")
    if isinstance(error, OUTAGES):
        message = _(
            "The stored value cannot be opened now, because WorkOS Vault does not answer, so it "
            "cannot move with the row. Try again later."
        )
    return ValidationError(message, code="cannot_be_opened")
