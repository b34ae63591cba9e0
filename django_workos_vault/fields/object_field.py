"""A field whose value lives in Vault as a named, versioned object; its column holds the reference."""

import json
from typing import Any

from django import forms
from django.core.checks import CheckMessage
from django.core.exceptions import FieldError, ValidationError
from django.db.models import Field, Model
from django.utils.translation import gettext_lazy as _

from django_workos_vault.exceptions import VaultRequestError
from django_workos_vault.fields import object_adoption, object_state, object_writes
from django_workos_vault.fields.column import ReferenceCol
from django_workos_vault.fields.django_internals.forms import CleansBoundField
from django_workos_vault.fields.object_checks import ObjectFieldChecks
from django_workos_vault.fields.object_column import ObjectColumn
from django_workos_vault.fields.object_lookups import lookup_class
from django_workos_vault.fields.object_reference import ObjectReference
from django_workos_vault.fields.object_value import Assigned, StoredObject
from django_workos_vault.frame_locals import leaves_no_locals

_COLUMN_LENGTH = 255
_FIXTURE_PREFIX = "workos-vault-object:"


class ObjectFormField(CleansBoundField, forms.CharField):
    """Text; a value that is stored as JSON is edited as JSON."""

    widget = forms.Textarea

    def prepare_value(self, value: Any) -> Any:
        if value is None or isinstance(value, str | StoredObject):
            return super().prepare_value(value)
        return json.dumps(value, ensure_ascii=False)

    def has_changed(self, initial: Any, data: Any) -> bool:
        return super().has_changed(self.prepare_value(initial), data)

    def clean_bound(self, bound_field: Any) -> Any:
        initial = bound_field.initial
        cleaned = super().clean_bound(bound_field)
        structured = (
            initial.reference.structured
            if isinstance(initial, StoredObject)
            else not isinstance(initial, str | None)
        )
        if not structured or not isinstance(cleaned, str) or cleaned in self.empty_values:
            return cleaned
        try:
            return json.loads(cleaned)
        except ValueError:
            raise ValidationError(_("Enter valid JSON."), code="invalid") from None


class VaultObjectField(ObjectColumn):
    """Keeps each row's value in Vault; reading the attribute fetches it, once an instance.

    A str comes back as the str, anything else that JSON can hold (dict, list, number, bool) as JSON gives it
    back. Takes ``vault``, ``key_context`` (which chooses the key in Vault), ``mask`` and ``label`` as
    encrypted fields do. ``label`` begins the objects' names. See docs/objects.md for the order of writes.
    """

    description = _("A value in WorkOS Vault")
    empty_strings_allowed = False
    non_db_attrs = (*Field.non_db_attrs, "key_context", "label", "mask", "previous_labels", "vault")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["max_length"] = _COLUMN_LENGTH
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        del kwargs["max_length"]
        return name, path, args, kwargs

    # Reading and writing

    def pre_save(self, model_instance: Model, add: bool) -> Any:
        return object_writes.Write(self, model_instance).column(add)

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> ObjectReference | None:
        return None if value is None else ObjectReference.parse(value)

    @leaves_no_locals
    def get_prep_value(self, value: Any) -> Any:
        if value is None or isinstance(value, object_writes.KeepStored):
            return value
        if isinstance(value, StoredObject):
            value = value.reference
        if not isinstance(value, ObjectReference):
            raise FieldError(
                f"{self} lives in Vault: update(), bulk_update() and expressions cannot write it, and a "
                "query cannot compare it. Load the rows, assign values and save() each."
            )
        text = str(value)
        if len(text) > _COLUMN_LENGTH:
            raise VaultRequestError(f"Vault gave an object of {self} an id too long for its column.")
        return text

    @leaves_no_locals
    def get_db_prep_save(self, value: Any, connection: Any) -> Any:
        return self.get_prep_value(value)

    def get_placeholder(self, value: Any, compiler: Any, connection: Any) -> str:
        """Guard expressions on their way into the column, up to Django 6.0."""
        self._refuse_expression(value)
        return "%s"

    def get_placeholder_sql(self, value: Any, compiler: Any, connection: Any) -> tuple[str, Any]:
        """Guard expressions on their way into the column, from Django 6.1."""
        self._refuse_expression(value)
        if isinstance(value, object_writes.KeepStored):
            return value.as_sql(compiler, connection)
        return "%s", (value,)

    def _refuse_expression(self, value: Any) -> None:
        if hasattr(value, "as_sql") and not isinstance(value, object_writes.KeepStored):
            self.get_prep_value(value)

    def get_lookup(self, lookup_name: str) -> Any:
        return lookup_class(lookup_name)

    def get_col(self, alias: Any, output_field: Any = None) -> Any:
        if output_field is None or output_field is self:
            return ReferenceCol(alias, self)
        return super().get_col(alias, output_field)

    @property
    def cached_col(self) -> Any:
        return ReferenceCol(self.model._meta.db_table, self)

    def get_transform(self, lookup_name: str) -> Any:
        raise self.lookup_refusal()

    def lookup_refusal(self) -> FieldError:
        """Return the error for a lookup that asks for more than whether the column holds a reference."""
        return FieldError(
            f"{self} lives in Vault: the database holds a reference, which has no order and no parts. Its "
            "lookups are isnull, and exact and in with an ObjectReference."
        )

    def before_row_write(self, instance: Model, using: str) -> None:
        object_state.note_database(instance, using)

    def after_row_write(self, instance: Model, using: str) -> None:
        object_writes.Write(self, instance).after_row(using)

    # Validation, forms, fixtures

    @leaves_no_locals
    def clean(self, value: Any, model_instance: Model | None) -> Any:
        if isinstance(value, StoredObject):
            return value  # it was validated when it was stored
        cleaned = super().clean(value, model_instance)
        if cleaned is not None:
            self.encoded(cleaned)
        return cleaned

    def formfield(self, **kwargs: Any) -> Any:
        defaults = {"form_class": ObjectFormField, "empty_value": None if self.null else ""}
        return super().formfield(**{**defaults, **kwargs})

    def value_to_dump(self, obj: Model) -> Any:
        return self.value_to_string(obj) or None

    def save_form_data(self, instance: Model, data: Any) -> None:
        if not isinstance(data, StoredObject):
            super().save_form_data(instance, data)

    def value_to_string(self, obj: Model) -> str:
        """Return the reference as text for Django's serializers: fixtures hold no value."""
        stored = self.stored_in(obj)
        return "" if stored is None else f"{_FIXTURE_PREFIX}{stored.reference}"

    def load_serialized(self, instance: Model) -> None:
        held = instance.__dict__.get(self.attname)
        if not isinstance(held, Assigned):
            return
        value = held.value
        if isinstance(value, str) and value.startswith(_FIXTURE_PREFIX):
            reference = ObjectReference.parse(value.removeprefix(_FIXTURE_PREFIX))
            stored = StoredObject(reference, self, self.scheme.row_of(instance))
            instance.__dict__[self.attname] = object_adoption.bound_to(stored, instance)
        else:
            object_writes.Write(self, instance).column(add=True)

    def check(self, **kwargs: Any) -> list[CheckMessage]:
        return [*super().check(**kwargs), *ObjectFieldChecks(self).messages()]
