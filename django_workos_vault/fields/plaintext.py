"""Where a field's plaintext is asked for by Django: validation, forms and fixtures."""

from functools import cached_property
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.db.models import Model
from django.utils.translation import gettext_lazy as _

from django_workos_vault.exceptions import OUTAGES, EnvelopeError, VaultError
from django_workos_vault.fields.cell import Sealed
from django_workos_vault.fields.encodings import Encoding, Serialized
from django_workos_vault.fields.fixtures import (
    PREFIX,
    cannot_dump,
    cell_to_text,
    dumps_cells,
    is_serialized_cell,
    json_from_xml,
    serializer_at_work,
    text_to_cell,
    writes_xml,
)
from django_workos_vault.fields.forms import cells_are_to_stay_sealed, keep_cells
from django_workos_vault.fields.masking import quote_no_value
from django_workos_vault.fields.unique import refuse_duplicate
from django_workos_vault.frame_locals import leaves_no_locals

if TYPE_CHECKING:
    from django_workos_vault.fields.vaulted import VaultFieldMixin

    class _Field(VaultFieldMixin):
        def sealed(self, value: Any, instance: Model | None = None) -> Sealed | None: ...

        decoder: Any

        @property
        def plain_type(self) -> str: ...

        @property
        def encoding(self) -> Encoding: ...

        def of_row(self, cell: bytes, instance: Model | None) -> Sealed: ...

else:
    _Field = object


class PlaintextMixin(_Field):
    """Validates and shows plaintext, keeps cells that cannot be opened, and puts ciphertext into fixtures."""

    def to_python(self, value: Any) -> Any:
        if isinstance(value, str) and is_serialized_cell(value):
            return value  # take_serialized() takes it from here
        return super().to_python(json_from_xml(value, self.decoder) if self._is_json else value)

    @leaves_no_locals
    def clean(self, value: Any, model_instance: Model | None) -> Any:
        """Validate the plaintext. A stored cell is opened for that, and stays the cell it is.

        A stored cell that cannot be opened has nothing to validate: it is kept. Only when the row was moved
        and the cell must be sealed anew, that is a ValidationError.
        """
        if type(value) is not Sealed:
            cleaned = self._validated(value, model_instance)
            if model_instance is not None:
                refuse_duplicate(self, cleaned, model_instance)  # type: ignore[arg-type]
            return cleaned
        moved = model_instance is not None and self.row_changed(value, model_instance)
        if cells_are_to_stay_sealed() and not moved:
            return value
        try:
            opened = value.open()
        except (EnvelopeError, VaultError) as exc:
            if not moved:
                return value
            message = _("The stored value cannot be opened, so it cannot move with the row. Enter it again.")
            if isinstance(exc, OUTAGES):
                message = _(
                    "The stored value cannot be opened now, because WorkOS Vault does not answer, so it "
                    "cannot move with the row. Try again later."
                )
            raise ValidationError(message, code="cannot_be_opened") from exc
        cleaned = self._validated(opened, model_instance)
        return value if cleaned == opened else cleaned

    def _validated(self, value: Any, model_instance: Model | None) -> Any:
        try:
            return super().clean(value, model_instance)
        except ValidationError as exc:
            for error in exc.error_list:
                quote_no_value(error)  # uncaught, an error goes to logs
            raise

    def held_by(self, instance: Model) -> Any:
        """Return what ``instance`` holds, opening nothing. What was deferred is loaded."""
        if self.attname not in instance.__dict__:
            instance.refresh_from_db(fields=[self.attname])
        held = instance.__dict__[self.attname]
        if type(held) is Sealed:
            self.complete_row(held, instance)
        return held

    def formfield(self, **kwargs: Any) -> Any:
        form_field = super().formfield(**kwargs)
        return None if form_field is None else keep_cells(form_field, self)

    @leaves_no_locals
    def value_from_object(self, obj: Model) -> Any:
        """Return the plaintext; the cell itself when it cannot be opened, and where it is to stay sealed."""
        if dumps_cells(self):
            return self._held_or_sealed(obj)
        held = self.held_by(obj)
        if type(held) is not Sealed or cells_are_to_stay_sealed():
            return held
        try:
            return held.open()
        except (EnvelopeError, VaultError):
            return held

    def save_form_data(self, instance: Model, data: Any) -> None:
        """Assign what a form gives. A blank keeps a cell that cannot be opened: it was shown as a blank.

        This field's own form field says "keep" itself; a form may have another in its place.
        """
        says_nothing = data in self.empty_values or isinstance(data, bool)  # a checkbox has no blank
        if type(data) is not Sealed and not (says_nothing and self._is_unreadable(instance)):
            super().save_form_data(instance, data)

    def _is_unreadable(self, instance: Model) -> bool:
        held = self.held_by(instance)
        try:
            if type(held) is Sealed:
                held.open()
        except (EnvelopeError, VaultError):
            return True
        return False

    @leaves_no_locals
    def value_to_string(self, obj: Model) -> Any:
        """Return the cell as text for Django's serializers, else what the Django field makes of the value."""
        if not dumps_cells(self):
            value = self._opened_for_dump(obj)
            if not (isinstance(value, str) and value.startswith(PREFIX)):
                return self._plain_string(value, obj)  # else loaddata would take a user's text for a cell
        sealed = self._held_or_sealed(obj)
        return "" if sealed is None else cell_to_text(sealed.cell)

    def _opened_for_dump(self, obj: Model) -> Any:
        try:
            return getattr(obj, self.attname)
        except (EnvelopeError, VaultError) as exc:
            if serializer_at_work():
                raise cannot_dump(self, obj.pk) from exc
            raise

    def _plain_string(self, value: Any, obj: Model) -> Any:
        if isinstance(self.encoding, Serialized):
            return self.encoding.encode(value).decode()
        if self._is_json and writes_xml():
            return self.encoding.encode(value).decode()
        return super().value_to_string(obj)

    @cached_property
    def _is_json(self) -> bool:
        return self.plain_type == "JSONField" and not isinstance(self.encoding, Serialized)

    def _held_or_sealed(self, obj: Model) -> Sealed | None:
        held = self.held_by(obj)
        if type(held) is Sealed and not held.has_changed():
            return held
        return self.sealed(getattr(obj, self.attname), obj)

    def take_serialized(self, instance: Model) -> None:
        cell = text_to_cell(instance.__dict__.get(self.attname))
        if cell is not None:
            instance.__dict__[self.attname] = self.of_row(cell, instance)

    @leaves_no_locals
    def load_serialized(self, instance: Model) -> None:
        value = instance.__dict__.get(self.attname)
        if value is not None and type(value) is not Sealed:
            instance.__dict__[self.attname] = self.sealed(value, instance)
