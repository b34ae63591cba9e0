"""Form fields of encrypted columns: a cell that is not shown stays as it is when nothing is entered.

A form is given the cell itself (``Withheld``) as a field's initial value where the plaintext must not be
shown (the admin) or cannot be (a cell that does not open). The input is then blank, with the mask as its
placeholder; blank keeps the cell, and a column that may be empty gets a checkbox to clear it. What the user
enters is always a value, never a cell.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import ValidationError
from django.forms.boundfield import BoundField
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext as _

from django_workos_vault.fields.masking import CANNOT_BE_OPENED, masked_or_marked
from django_workos_vault.fields.sealed import Withheld

if TYPE_CHECKING:
    from django_workos_vault.fields.vaulted import VaultFieldMixin

    _FormField = forms.Field
    _Widget = forms.Widget
else:
    _FormField = _Widget = object

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


class _Answer(Enum):
    """What a widget reports of its checkbox "clear"."""

    CLEAR = "clear"
    CONTRADICTION = "contradiction"


def _is_blank(data: Any) -> bool:
    if isinstance(data, list | tuple):
        return all(_is_blank(part) for part in data)
    return data is None or data == "" or data == {}


class _KeepingWidget(_Widget):
    """In front of a widget's class: the widget of a value that the page does not show."""

    keeps = False
    clear_offered = False
    clear_ticked = False
    entered = False
    returns_what_was_entered = True

    def use_required_attribute(self, initial: Any) -> bool:
        return super().use_required_attribute(initial) and not isinstance(initial, Withheld)

    def value_from_datadict(self, data: Any, files: Any, name: str) -> Any:
        value = super().value_from_datadict(data, files, name)
        self.entered = not _is_blank(value)
        self.clear_ticked = self.clear_offered and f"{name}-clear" in data
        if self.clear_ticked:
            return _Answer.CONTRADICTION if self.entered else _Answer.CLEAR
        return value

    def value_omitted_from_data(self, data: Any, files: Any, name: str) -> bool:
        return super().value_omitted_from_data(data, files, name) and f"{name}-clear" not in data

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> Any:
        hints = []
        if self.entered and not self.returns_what_was_entered:
            hints.append(_("Not saved, and not shown again: enter it once more."))
        elif self.keeps:
            hints.append(_("Leave blank to keep."))
        if self.clear_offered:
            hints.append(
                format_html(
                    '<input type="checkbox" name="{name}-clear" id="{name}-clear_id"{checked}> '
                    '<label for="{name}-clear_id">{clear}</label>',
                    name=name,
                    checked=" checked" if self.clear_ticked else "",
                    clear=_("Clear"),
                )
            )
        html = super().render(name, value, attrs, renderer)
        if not hints:
            return html
        # Spans, because a form may put a widget into a paragraph; the classes are those of Django's admin.
        return format_html(
            '<span>{}<br><span class="help clearable-file-input">{}</span></span>',
            html,
            format_html_join(" ", "{}", ((hint,) for hint in hints)),
        )


class KeepsCells(_FormField):
    """In front of a form field's class: knows what to do when the initial value is a cell."""

    widget: Any
    masks_values = False
    may_be_cleared = False

    def get_bound_field(self, form: Any, field_name: str) -> BoundField:
        initial = form.get_initial_for_field(self, field_name)
        if self.masks_values or isinstance(initial, Withheld):
            self._hide(initial)
        return super().get_bound_field(form, field_name)

    def bound_data(self, data: Any, initial: Any) -> Any:
        if self.masks_values or isinstance(data, _Answer):
            return None
        return super().bound_data(data, initial)

    def prepare_value(self, value: Any) -> Any:
        return None if isinstance(value, Withheld) or value is None else super().prepare_value(value)

    def has_changed(self, initial: Any, data: Any) -> bool:
        if isinstance(initial, Withheld):
            return not self.disabled and not _is_blank(data)
        return super().has_changed(initial, data)

    def _clean_bound_field(self, bound_field: Any) -> Any:
        initial, data = bound_field.initial, bound_field.data
        if not isinstance(initial, Withheld):
            return super()._clean_bound_field(bound_field)  # type: ignore[misc]
        if data is _Answer.CONTRADICTION:
            raise ValidationError(
                _("Either enter a new value or tick the clear checkbox, not both."), code="contradiction"
            )
        if data is _Answer.CLEAR:
            empty = getattr(self, "empty_value", None)
            # At once, because a blank that comes later does not replace a cell that cannot be opened.
            setattr(bound_field.form.instance, initial.field.attname, empty)
            return empty
        cleaned = initial
        if not self.disabled and not _is_blank(data):
            cleaned = super()._clean_bound_field(bound_field)  # type: ignore[misc]
        if cleaned is not initial and cleaned not in self.empty_values:
            if isinstance(cleaned, bool) and hasattr(bound_field.form, "instance"):
                # At once, because a bare checkbox, which cannot say "keep", replaces no cell later.
                setattr(bound_field.form.instance, initial.field.attname, cleaned)
            return cleaned
        if hasattr(bound_field.form, f"clean_{bound_field.name}"):
            # The form's own method looks at what was entered, and nothing was.
            setattr(bound_field.form, f"clean_{bound_field.name}", lambda: initial)
        return initial

    def _hide(self, initial: Any) -> None:
        mask = ""
        if isinstance(initial, Withheld):
            mask = masked_or_marked(initial.field, initial) if self.masks_values else str(CANNOT_BE_OPENED)
            self._offer_to_keep(mask)
        widget = self.widget
        widget.attrs.update({"autocomplete": "off", **({"placeholder": mask} if mask else {})})
        widget_class: Any = type(widget)
        widget.__class__ = _keeping(_KeepingWidget, widget_class)
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


def keep_cells(form_field: forms.Field, field: "VaultFieldMixin") -> "KeepsCells":
    """Make ``form_field``, of any class, keep ``field``'s cells. Returns the same object.

    A class is put in front of the object's own, because every form field class must do.
    """
    if not isinstance(form_field, KeepsCells):
        form_class: Any = type(form_field)
        form_field.__class__ = _keeping(KeepsCells, form_class)
    assert isinstance(form_field, KeepsCells)  # noqa: S101 - for the type checker
    # Where a default is a callable, Django keeps the initial value in a second, hidden input.
    form_field.show_hidden_initial = False
    form_field.may_be_cleared = field.blank and (field.null or field.empty_strings_allowed)
    return form_field
