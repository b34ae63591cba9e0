"""What every encrypted field has in common, as a mixin in front of a Django field class."""

from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

from django.core.checks import CheckMessage
from django.core.exceptions import FieldError
from django.db.models import Field, IntegerField, Model

from django_workos_vault.blind import Kind
from django_workos_vault.cipher import Cipher
from django_workos_vault.exceptions import (
    MalformedEnvelope,
    WrongBinding,
)
from django_workos_vault.fields.bulk import contexts_of_batch
from django_workos_vault.fields.cell import Sealed, SealedAttribute, opened
from django_workos_vault.fields.checks import field_messages
from django_workos_vault.fields.column import EncryptedCol, opening_converter
from django_workos_vault.fields.defaults import DefaultOf, LiteralDefault
from django_workos_vault.fields.digests import DigestsMixin
from django_workos_vault.fields.encoding import EncodingMixin
from django_workos_vault.fields.encodings import Encoding, Integer, encoding_of
from django_workos_vault.fields.encodings.numbers import with_bounds
from django_workos_vault.fields.index_checks import check_blind_indexes
from django_workos_vault.fields.lookups import lookup_class, refusal
from django_workos_vault.fields.plaintext import PlaintextMixin
from django_workos_vault.fields.rename_detection import looks_for_renames
from django_workos_vault.fields.rows import bindings, row_values
from django_workos_vault.fields.unique import refuse_duplicate_in_serializer
from django_workos_vault.fields.vaulted import VaultFieldMixin
from django_workos_vault.fields.writing import WritingMixin
from django_workos_vault.frame_locals import leaves_no_locals
from django_workos_vault.vault import vaults


class EncryptedFieldMixin(WritingMixin, EncodingMixin, PlaintextMixin, VaultFieldMixin, DigestsMixin):
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
    #: what the column holds that the database cannot compute with
    holds_cells = "ciphertexts"
    _cipher: Cipher | None = None
    if TYPE_CHECKING:
        _unique: bool
        db_index: bool
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
        #: whether a cell may open only in its row
        self.is_bound = bool(bind_to or previous_bind_to)
        super().__init__(*args, **kwargs)
        if self.blind_indexes:
            self.validators.append(refuse_duplicate_in_serializer)

    def contribute_to_class(self, cls: type[Model], name: str, *args: Any, **kwargs: Any) -> None:
        for cached in _OF_ONE_PLACE & vars(self).keys():
            del self.__dict__[cached]  # django-modeltranslation makes a field of another one's __dict__
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

    # The column

    @cached_property
    def encoding(self) -> Encoding:
        """What turns a value into the bytes to seal, and back."""
        return encoding_of(self)

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

    def encode(self, value: Any) -> bytes:
        """Return the bytes to seal for what :meth:`get_prep_value` made of a value."""
        return self.encoding.encode(value)

    @cached_property
    def validators(self) -> list[Any]:
        if not (isinstance(self, IntegerField) and isinstance(self.encoding, Integer)):
            return super().validators
        return with_bounds(super(IntegerField, self).validators, *self.encoding.bounds)

    def get_prep_value(self, value: Any) -> Any:
        return self.encoding.prepare(value, super().get_prep_value)

    def _check_supported(self, databases: Any) -> list[CheckMessage]:
        return []  # what JSONField asks: the database need not know JSON

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

    # Values to cells and back

    @property
    def cipher(self) -> Cipher:
        """What seals and opens this field's cells."""
        cipher = self._cipher
        if cipher is None or cipher.keyring.closed:
            cipher = self._cipher = vaults[self.vault_alias].cipher(self.label, self.previous_labels)
        return cipher

    def relabel(self, label: str, previous_labels: tuple[str, ...]) -> None:
        """Let this field of a migration's model seal for ``label`` and open ``previous_labels`` as well."""
        self.explicit_label = label
        self.previous_labels = tuple(dict.fromkeys((*self.previous_labels, *previous_labels)))
        self.__dict__.pop("label", None)
        self._cipher = None

    @cached_property
    def is_searchable(self) -> bool:
        """Whether cells carry digests: of this field's blind indexes, or of compound ones it is part of."""
        return bool(self.blind_indexes or self.compounds)

    @cached_property
    def needs_only_the_value(self) -> bool:
        """Whether a cell depends on nothing but its value: not on its row, and it carries no digests."""
        return not (self.remembers_row or self.is_searchable)

    @leaves_no_locals
    def seal_value(self, value: Any, instance: Model | None = None) -> bytes:
        """Return ``value`` as a cell. Raises ValueError when the field stores it as NULL."""
        sealed = self.sealed(value, instance)
        if sealed is None:
            raise ValueError(f"{self} stores this value as NULL.")
        return sealed.cell

    def seal_plaintext(self, plaintext: bytes, instance: Model | None = None, digests: bytes = b"") -> bytes:
        """Return an encoded value as a cell. ``instance`` is their row, if at hand."""
        context = self.context_for(instance)
        if instance is not None and self.is_row_aware and not self.vault.keyring.is_ready(context):
            self.vault.keyring.prepare(contexts_of_batch(self, instance))
        bound_to = b""
        if self.bind_to and instance is not None:
            bound_to = bindings(self, self._whole_row(instance))[0]
        return self.cipher.seal(plaintext, context, binding=bound_to, pad_to=self.block, digests=digests)

    def sealed(self, value: Any, instance: Model | None = None) -> Sealed | None:
        """Return any value that the Django field takes as a sealed cell, None where it stores NULL."""
        plaintext = self._encoded(value)
        if plaintext is None:
            return None
        if self.needs_only_the_value:
            cell = self.cipher.seal(plaintext, self.static_context(), pad_to=self.block)
            sealed = Sealed(cell, self)
        else:
            digests = b""
            if self.is_searchable:
                digests = self.front(opened(value), instance)
            sealed = self.of_row(self.seal_plaintext(plaintext, instance, digests), instance)
        sealed.remember(value, plaintext)
        return sealed

    def of_row(self, cell: bytes, instance: Model | None) -> Sealed:
        """Return ``cell`` as the instance holds it, with what the row holds now."""
        row = row_values(self, instance) if self.remembers_row and instance is not None else None
        return Sealed(cell, self, None, row)

    def open_cell(
        self, cell: bytes, neighbours: list[bytes] | None = None, row: tuple[Any, ...] | None = None
    ) -> Any:
        """Return the Python value of a cell. Raises EnvelopeError or VaultError.

        ``row`` holds the row's values of :attr:`row_columns`, for a field with ``bind_to``.
        """
        plaintext = self.open_bytes(cell, neighbours, row)
        try:  # not suppress(), which takes as long as the rest: this runs for every value
            return self.encoding.decode(plaintext)
        except Exception:  # noqa: S110 -- whatever a field's class makes of a foreign plaintext, and quotes
            pass
        del plaintext
        raise self.holds_no_value()

    def open_bytes(
        self, cell: bytes, neighbours: list[bytes] | None = None, row: tuple[Any, ...] | None = None
    ) -> bytes:
        """Return what was sealed in a cell, before it is decoded. Arguments and errors as above."""
        if self.is_bound:
            return self._open_bound(cell, neighbours, row)
        return self.cipher.open(cell, neighbours=neighbours)

    def holds_no_value(self) -> MalformedEnvelope:
        """Return the error for a cell that opens to something that is no value."""
        return MalformedEnvelope(f"The cell in {self} opens, but holds no value of a {self.plain_type}.")

    def _open_bound(self, cell: bytes, neighbours: list[bytes] | None, row: tuple[Any, ...] | None) -> bytes:
        if row is None:
            raise FieldError(
                f"{self} is bound to its row, and values(), annotations and expressions have none. "
                "Load instances; only() keeps the other columns out."
            )
        current, *previous = bindings(self, row)
        for bound_to in previous:
            with suppress(WrongBinding):
                return self.cipher.open(cell, binding=bound_to, neighbours=neighbours)
        return self.cipher.open(cell, binding=current, neighbours=neighbours)

    def _whole_row(self, instance: Model) -> tuple[Any, ...]:
        return tuple(getattr(instance, name) for name in self.row_columns)

    def get_db_converters(self, connection: Any) -> list[Any]:
        return [opening_converter(self)]  # and nothing that a database does for the plain type

    # Lookups

    def get_lookup(self, lookup_name: str) -> Any:
        return lookup_class(self, lookup_name)

    def get_transform(self, lookup_name: str) -> Any:
        raise refusal(self, lookup_name)

    def check(self, **kwargs: Any) -> list[CheckMessage]:
        return [
            *super().check(**kwargs),
            *field_messages(self),
            *check_blind_indexes(self, kwargs.get("databases")),
        ]


#: What a field works out once, and another field of the model, or of another model, must not take over.
_OF_ONE_PLACE = frozenset(
    name
    for mixin in EncryptedFieldMixin.__mro__
    if mixin.__module__.startswith(__package__)
    for name, member in vars(mixin).items()
    if isinstance(member, cached_property) and name != "validators"
) | {"_cipher"}
