"""The masked admin: no page carries the plaintext of an encrypted field.

Add :class:`MaskedAdminMixin` to a ``ModelAdmin`` and to its inlines; nothing is told field by field.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib.admin import helpers
from django.contrib.admin.utils import NotRelationField, get_fields_from_path
from django.core.exceptions import FieldDoesNotExist
from django.db.models import Model
from django.db.models.constants import LOOKUP_SEP
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html

from django_workos_vault import masks
from django_workos_vault.admin_lookups import encrypted_path
from django_workos_vault.exceptions import (
    DecryptionForbidden,
    EnvelopeError,
    VaultAuthenticationError,
    VaultError,
    VaultRateLimited,
    VaultUnavailable,
)
from django_workos_vault.fields.forms import cells_stay_sealed, keep_cells
from django_workos_vault.fields.masking import CANNOT_BE_OPENED, masked_value
from django_workos_vault.fields.vaulted import VaultFieldMixin

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin

    _Admin = ModelAdmin[Any]
    _ModelForm = forms.ModelForm[Any]
else:
    _Admin, _ModelForm = object, forms.ModelForm

_ASKING_AGAIN_IS_NO_USE = (VaultAuthenticationError, VaultRateLimited, VaultUnavailable)


class MaskedModelForm(_ModelForm):
    """A model form that shows masks, opens no cell, and takes a blank for "keep what is stored".

    ``MaskedAdminMixin`` puts it behind the admin's own form. What the user enters is not shown again, not
    even next to an error in another field.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        with cells_stay_sealed():
            super().__init__(*args, **kwargs)
        for name, form_field in self.fields.items():
            field = encrypted_field(self._meta.model, name)
            if field is not None:
                keep_cells(form_field, field).masks_values = True

    def add_error(self, field: str | None, error: Any) -> None:
        super().add_error(field, error)
        for name, found in self.errors.items():
            if encrypted_field(self._meta.model, name) is not None:
                for each in found.as_data():
                    if each.params and "value" in each.params:
                        each.params = {**each.params, "value": masks.FULL}  # Django quotes what is invalid

    def _post_clean(self) -> None:
        with cells_stay_sealed():
            super()._post_clean()  # type: ignore[misc]


class MaskedAdminMixin(_Admin):
    """Masks every encrypted field, for ``ModelAdmin`` and inlines: ``class X(MaskedAdminMixin, ModelAdmin)``.

    In lists and on read-only pages a field's mask stands for its value. In forms the input is blank with the
    mask as placeholder: blank keeps the cell. A cell that cannot be opened is marked, and kept.

    ``encrypted_lookups`` names encrypted fields, ``"ssn"`` or ``"patient__ssn"``, by which an address may
    filter the list. Whoever may view the list can then find values out by trying.
    """

    encrypted_lookups: tuple[str, ...] = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if not issubclass(self.form, MaskedModelForm):
            self.form = _masked_form(self.form)
        super().__init__(*args, **kwargs)

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        # Django allows every field of the model itself, and the answer would tell what the mask hides.
        rows = self.model._default_manager.all() if request is None else self.get_queryset(request)
        path = encrypted_path(rows, lookup)
        if path is not None and path not in self.encrypted_lookups:
            return False
        return super().lookup_allowed(lookup, value, request)  # type: ignore[arg-type]

    def get_list_display(self, request: HttpRequest) -> Any:
        return [
            name
            if (field := encrypted_field(self.model, name)) is None
            else MaskedColumn(field, str(name), self.get_empty_value_display())
            for name in super().get_list_display(request)
        ]

    def get_list_display_links(self, request: HttpRequest, list_display: Any) -> Any:
        links = super().get_list_display_links(request, list_display)
        masked: dict[Any, Any] = {
            column.__name__: column for column in list_display if isinstance(column, MaskedColumn)
        }
        return links and [masked.get(link, link) for link in links]

    def render_change_form(
        self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        context["adminform"] = _MaskedPart(context["adminform"])
        context["inline_admin_formsets"] = [_MaskedPart(one) for one in context["inline_admin_formsets"]]
        return super().render_change_form(request, context, *args, **kwargs)


class MaskedColumn:
    """What the change list and read-only pages show of one encrypted field: called with an instance.

    ``path`` is the field's name, or a ``relation__field`` path from the instance.
    """

    admin_order_field = None

    def __init__(self, field: VaultFieldMixin, path: str, empty: Any) -> None:
        self.__name__ = path
        self.short_description = field.verbose_name
        self._field = field
        self._path = path
        self._empty = empty
        self._no_use = False

    def __call__(self, instance: Model) -> Any:
        holder: Any = instance
        for step in self._path.split(LOOKUP_SEP)[:-1]:
            holder = getattr(holder, step, None)
        held = None if holder is None else self._field.held_by(holder)
        if held is None:
            return self._empty
        try:
            if self._no_use:
                return _marker()
            return masked_value(self._field, held)
        except _ASKING_AGAIN_IS_NO_USE:
            self._no_use = True  # or a page of rows would wait for Vault once a row
            return _marker()
        except (DecryptionForbidden, EnvelopeError, VaultError):
            return _marker()


def _masked_form(form_class: Any) -> Any:
    if form_class is forms.ModelForm:
        return MaskedModelForm
    # Behind the class given, so that what it reads from its instance is not hidden from it.
    make_class = type(form_class)
    return make_class(
        form_class.__name__, (form_class, MaskedModelForm), {"__module__": form_class.__module__}
    )


class _MaskedPart:
    """A part of an admin form (the form, a fieldset, a line, an inline), masked however deep it is nested.

    Django's helpers read the value of a read-only field from the instance and offer no hook.
    """

    def __init__(self, part: Any) -> None:
        self._part = part

    def __getattr__(self, name: str) -> Any:
        return getattr(self._part, name)

    def __iter__(self) -> Iterator[Any]:
        for part in self._part:
            if isinstance(part, helpers.AdminReadonlyField):
                yield _MaskedReadonlyField(part)
            elif isinstance(part, helpers.AdminField):
                yield part
            else:
                yield _MaskedPart(part)


class _MaskedReadonlyField(_MaskedPart):
    def contents(self) -> Any:
        name, instance = self._part.field["field"], self._part.form.instance
        field = encrypted_field(type(instance), name)
        if field is None:
            return self._part.contents()
        return MaskedColumn(field, name, self._part.empty_value_display)(instance)


def _marker() -> Any:
    return format_html("<em>{}</em>", CANNOT_BE_OPENED)


def encrypted_field(model: type[Model], path: Any) -> VaultFieldMixin | None:
    """Return the encrypted field named by ``path`` (a name, ``relation__field``, or a callable), or None."""
    if callable(path):
        return None
    try:
        field: Any = get_fields_from_path(model, path)[-1]
    except (FieldDoesNotExist, NotRelationField):
        return None
    return field if isinstance(field, VaultFieldMixin) else None
