"""Form fields of encrypted columns: a cell that is not shown stays as it is when nothing is entered.

A form is given the cell itself (``Withheld``) as a field's initial value where the plaintext must not be
shown (the admin) or cannot be (a cell that does not open). The input is then blank, with the mask as its
placeholder; blank keeps the cell, and a column that may be empty gets a checkbox to clear it. What the user
enters is always a value, never a cell.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import BinaryField, JSONField
from django.forms.boundfield import BoundField
from django.utils.translation import gettext as _

from django_workos_vault.fields.cell import Withheld
from django_workos_vault.fields.django_internals.forms import CleansBoundField
from django_workos_vault.fields.masking import UNREADABLE
from django_workos_vault.fields.widgets import KEPT_OUT, Answer, KeepingWidget, is_blank, take_text

_STAY_SEALED: ContextVar[bool] = ContextVar("cells_stay_sealed", default=False)


@contextmanager
def cells_stay_sealed() -> Iterator[None]:
    """Model forms made or validated in this block get cells instead of plaintext; nothing is opened."""
    token = _STAY_SEALED.set(True)
    try:
        yield
    finally:
        _STAY_SEALED.reset(token)


def cells_are_to_stay_sealed() -> bool:
    """Whether :func:`cells_stay_sealed` is in force."""
    return _STAY_SEALED.get()


class Given(Withheld):
    """A value that is no stored cell: what a form was given as initial, or an instance that is not saved.

    Masked forms treat it as a cell, so that it is not shown either.
    """

    __slots__ = ("value",)

    def __init__(self, value: Any, field: Any) -> None:
        self.value = value
        self.field = field
        self.row = None

    def open(self, instance: Any = None) -> Any:
        return self.value

    def __repr__(self) -> str:
        return f"<Given {self.field}>"


def withheld(value: Any, field: Any) -> Any:
    """Return an initial value of ``field`` as a masked form holds it. Blanks and callables stay."""
    if value is None or value == "" or isinstance(value, Withheld) or callable(value):
        return value
    return Given(value, field)


class KeepsCells(CleansBoundField):
    """In front of a form field's class: knows what to do when the initial value is a cell."""

    widget: Any
    vault_field: Any
    masks_values = False
    may_be_cleared = False

    def get_bound_field(self, form: Any, field_name: str) -> BoundField:
        bound = super().get_bound_field(form, field_name)
        if self.masks_values:
            bound.__dict__["initial"] = withheld(bound.initial, self.vault_field)
        if self.masks_values or isinstance(bound.initial, Withheld):
            self._hide(bound.initial)
            self.widget.label = bound.label
        return bound

    def bound_data(self, data: Any, initial: Any) -> Any:
        if self.masks_values or isinstance(data, Answer):
            return None
        return super().bound_data(data, initial)

    def prepare_value(self, value: Any) -> Any:
        return None if isinstance(value, Withheld) or value is None else super().prepare_value(value)

    def has_changed(self, initial: Any, data: Any) -> bool:
        if isinstance(initial, Withheld):
            return not self.disabled and not self._says_nothing(data)
        return super().has_changed(initial, data)

    def _says_nothing(self, data: Any) -> bool:
        """Whether nothing was entered: spaces are nothing where they are stripped off."""
        stripped = isinstance(data, str) and getattr(self, "strip", False)
        return is_blank(data.strip() if stripped else data)

    def clean_bound(self, bound_field: Any) -> Any:
        initial, data = bound_field.initial, bound_field.data
        if not isinstance(initial, Withheld):
            return super().clean_bound(bound_field)
        if data is Answer.CONTRADICTION:
            raise ValidationError(
                _("Either enter a new value or tick the clear checkbox, not both."), code="contradiction"
            )
        if data is Answer.CLEAR:
            return self._at_once(bound_field, self._cleared())
        if not self.disabled and not self._says_nothing(data):
            cleaned = super().clean_bound(bound_field)
            if cleaned is None and (not self.vault_field.null or isinstance(self, forms.NullBooleanField)):
                raise ValidationError(_("Enter a valid value."), code="invalid")
            if isinstance(cleaned, bool) or cleaned in self.empty_values:
                return self._at_once(bound_field, cleaned)
            return cleaned
        if hasattr(bound_field.form, f"clean_{bound_field.name}"):
            # The form's own method looks at what was entered, and nothing was.
            kept = self._kept(bound_field)
            setattr(bound_field.form, f"clean_{bound_field.name}", lambda: kept)
            return kept
        return self._kept(bound_field)

    def _cleared(self) -> Any:
        """Return what clearing leaves: NULL or the type's empty value, the default where there is neither."""
        field = self.vault_field
        if field.null:
            return None
        if field.empty_strings_allowed:
            return ""
        if isinstance(field, BinaryField):
            return b""
        return field.get_default() if field.has_default() else {}

    def _at_once(self, bound_field: Any, value: Any) -> Any:
        """Assign an answer that looks like none, which would replace no cell later that cannot be opened."""
        instance = getattr(bound_field.form, "instance", None)
        if instance is not None:
            setattr(instance, self.vault_field.attname, value)
        return value

    def _kept(self, bound_field: Any) -> Any:
        """Return what a blank keeps: the cell, or the value that the form was given; text is cleaned."""
        initial = bound_field.initial
        if not isinstance(initial, Given):
            return initial
        instance = getattr(bound_field.form, "instance", None)
        if instance is not None and self.vault_field.held_by(instance) is initial.value:
            return initial.value
        if not isinstance(initial.value, str):
            return initial.value
        if isinstance(self, forms.MultiValueField):
            return self.clean(self.widget.decompress(self.vault_field.to_python(initial.value)))
        return self.clean(super().prepare_value(initial.value))

    def _hide(self, initial: Any) -> None:
        mask = ""
        if isinstance(initial, Withheld):
            mask = initial.field.masked_or_marked(initial) if self.masks_values else str(UNREADABLE)
            self._offer_to_keep(mask)
        take_text(self)
        widget = self.widget
        widget.attrs.update(KEPT_OUT | ({"placeholder": mask} if mask else {}))
        if not isinstance(widget, KeepingWidget):
            widget_class: Any = type(widget)
            widget.__class__ = _keeping(KeepingWidget, widget_class)
        widget.keeps = isinstance(initial, Withheld) and not self.disabled
        widget.clear_offered = widget.keeps and self.may_be_cleared
        widget.returns_what_was_entered = not self.masks_values

    def _offer_to_keep(self, mask: str) -> None:
        """Give a widget that is never blank an answer that means "keep"."""
        mask = _("%(mask)s (keep)") % {"mask": mask}
        if isinstance(self.widget, forms.CheckboxInput | forms.NullBooleanSelect):
            self.widget = forms.Select(choices=[("", mask), ("True", _("Yes")), ("False", _("No"))])
        elif hasattr(self.widget, "choices"):
            offered = [choice for choice in self.widget.choices if choice[0] not in ("", None)]
            self.widget.choices = [("", mask), *offered]


@cache
def _keeping(mixin: Any, base: Any) -> Any:
    return type(base.__name__, (mixin, base), {"__module__": base.__module__})


def keep_cells(form_field: forms.Field, field: Any) -> "KeepsCells":
    """Make ``form_field``, of any class, keep ``field``'s cells. Returns the same object.

    A class is put in front of the object's own, because every form field class must do.
    """
    if not isinstance(form_field, KeepsCells):
        form_class: Any = type(form_field)
        form_field.__class__ = _keeping(KeepsCells, form_class)
    assert isinstance(form_field, KeepsCells)  # noqa: S101 - for the type checker
    form_field.vault_field = field
    # Where a default is a callable, Django keeps the initial value in a second, hidden input.
    form_field.show_hidden_initial = False
    form_field.may_be_cleared = field.blank and (
        field.null
        or field.empty_strings_allowed
        or field.has_default()
        or isinstance(field, BinaryField | JSONField)
    )
    return form_field
