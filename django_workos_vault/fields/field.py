"""The encrypted field, in front of a Django field class: its declaration, and where Django sees plaintext.

It owns three plain objects: a *scheme* (what values are sealed for), an *encoding* (which bytes they are) and
its *digests* (what they can be searched by). ``cell_field`` puts them to work.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from django.core.checks import CheckMessage
from django.core.exceptions import ValidationError
from django.db.models import Field, IntegerField, Model
from django.utils.translation import gettext_lazy as _

from django_workos_vault.blind import Kind
from django_workos_vault.exceptions import OUTAGES, EnvelopeError, VaultError
from django_workos_vault.fields import fixtures
from django_workos_vault.fields.cell import Sealed, SealedAttribute, opened
from django_workos_vault.fields.cell_field import CellField
from django_workos_vault.fields.checks import EncryptedFieldChecks
from django_workos_vault.fields.defaults import DefaultOf, LiteralDefault
from django_workos_vault.fields.django_internals.frames import looks_for_renames
from django_workos_vault.fields.encodings import Integer, Serialized
from django_workos_vault.fields.encodings.numbers import with_bounds
from django_workos_vault.fields.forms import cells_are_to_stay_sealed
from django_workos_vault.fields.index_checks import IndexChecks
from django_workos_vault.fields.lookups import lookup_class, refusal
from django_workos_vault.fields.masking import quote_no_value
from django_workos_vault.fields.unique import locate_errors, refuse_duplicate_in_serializer
from django_workos_vault.frame_locals import leaves_no_locals


class EncryptedField(CellField):
    """Seals a Django field's values into one binary column.

    Arguments beyond the Django field's own, all optional:

    ``vault``
        alias in ``WORKOS_VAULTS``; ``"default"``.
    ``key_context``
        map of names to strings or :class:`FromRow`. It *replaces* the vault's ``KEY_CONTEXT``: each item of a
        context is a key of its own that can unwrap the data key alone, so merging would let the default
        context's key open what an organization's key should guard.
    ``mask``
        what is shown in the place of the value: a name from ``masks``, or a function of your own, itself or
        its dotted path: it gets the value and returns text.
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
        if self.blind_indexes:
            locate_errors(cls)
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
            *EncryptedFieldChecks(self).messages(),
            *IndexChecks(self).messages(kwargs.get("databases")),
        ]

    def get_lookup(self, lookup_name: str) -> Any:
        return lookup_class(self, lookup_name)

    def get_transform(self, lookup_name: str) -> Any:
        raise refusal(self, lookup_name)

    def _check_supported(self, databases: Any) -> list[CheckMessage]:
        return []  # what JSONField asks: the database need not know JSON

    @cached_property
    def validators(self) -> list[Any]:
        if not (isinstance(self, IntegerField) and isinstance(self.encoding, Integer)):
            return super().validators
        return with_bounds(super(IntegerField, self).validators, *self.encoding.bounds)

    # Validation and forms

    @leaves_no_locals
    def clean(self, value: Any, model_instance: Model | None) -> Any:
        """Validate the plaintext. A stored cell is opened for that, and stays the cell it is.

        A stored cell that cannot be opened has nothing to validate: it is kept. Only when the row was moved
        and the cell must be sealed anew, that is a ValidationError.
        """
        if type(value) is not Sealed:
            return self._validated(value, model_instance)
        moved = model_instance is not None and self.refuse_lost_move(value, model_instance)
        if cells_are_to_stay_sealed() and not moved:
            return value
        try:
            plain = value.open()
        except (EnvelopeError, VaultError):
            return value
        cleaned = self._validated(plain, model_instance)
        return value if cleaned == plain else cleaned

    def refuse_lost_move(self, held: Sealed, instance: Model) -> bool:
        """Return whether the row was moved, and ``held`` must be sealed anew.

        Raises ValidationError when it cannot be, for it cannot be opened.
        """
        moved = self.row_changed(held, instance)
        if moved:
            try:
                held.open()
            except (EnvelopeError, VaultError) as exc:
                raise _cannot_move(exc) from exc
        return moved

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
