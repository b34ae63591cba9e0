"""The inputs of values that a page does not show: blank means "keep", and a browser may not blank them.

A browser posts nothing for what it cannot read in a number or date input, and a colour or a range is never
blank. So inputs of those types become text inputs, and what was entered arrives to be accepted or refused.
"""

from collections.abc import Iterator
from enum import Enum
from typing import Any

from django import forms
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext as _

from django_workos_vault.fields.cell import Withheld

_INTERPRETED = frozenset(
    ("color", "date", "datetime", "datetime-local", "month", "number", "range", "time", "week")
)
_NUMBERS = frozenset(("number", "range"))
_MEANINGLESS_IN_TEXT = ("type", "min", "max", "step", "list")

#: Asks browsers, password managers (1Password, Bitwarden, LastPass, Dashlane) and spelling services, some of
#: which send what is typed elsewhere, to leave an input alone.
KEPT_OUT = {
    "autocomplete": "off",
    "autocapitalize": "off",
    "spellcheck": "false",
    "data-1p-ignore": "true",
    "data-bwignore": "true",
    "data-lpignore": "true",
    "data-form-type": "other",
    "data-gramm": "false",
}


class Answer(Enum):
    """What a widget reports of its checkbox "clear"."""

    CLEAR = "clear"
    CONTRADICTION = "contradiction"


def is_blank(data: Any) -> bool:
    if isinstance(data, list | tuple):
        return all(is_blank(part) for part in data)
    return data is None or data == "" or data == {}


class KeepingWidget(forms.Widget):
    """In front of a widget's class: the widget of a value that the page does not show."""

    keeps = False
    clear_offered = False
    clear_ticked = False
    entered = False
    returns_what_was_entered = True
    label: Any = ""
    hint_id = ""
    #: what stands behind the hints: a link to where the value is revealed, say
    beside: Any = ""

    def use_required_attribute(self, initial: Any) -> bool:
        return super().use_required_attribute(initial) and not isinstance(initial, Withheld)

    def value_from_datadict(self, data: Any, files: Any, name: str) -> Any:
        value = super().value_from_datadict(data, files, name)
        self.entered = not is_blank(value)
        self.clear_ticked = self.clear_offered and f"{name}-clear" in data
        if self.clear_ticked:
            return Answer.CONTRADICTION if self.entered else Answer.CLEAR
        return value

    def value_omitted_from_data(self, data: Any, files: Any, name: str) -> bool:
        return super().value_omitted_from_data(data, files, name) and f"{name}-clear" not in data

    def get_context(self, name: str, value: Any, attrs: Any) -> Any:
        context = super().get_context(name, value, attrs)
        if self.hint_id:  # once more: from Django 6.1 the admin's inputs of dates are described anew here
            for part in (context["widget"], *context["widget"].get("subwidgets", ())):
                _describe(part["attrs"], self.hint_id)
        return context

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> Any:
        hints = []
        if self.entered and not self.returns_what_was_entered:
            hints.append(_("Not saved, and not shown again: enter it once more."))
        elif self.keeps:
            hints.append(_("Leave blank to keep."))
        if self.clear_offered:
            hints.append(
                format_html(
                    '<input type="checkbox" name="{name}-clear" id="{name}-clear_id" aria-label="{label}"'
                    '{checked}> <label for="{name}-clear_id">{clear}</label>',
                    name=name,
                    label=f"{_('Clear')}: {self.label}",
                    checked=" checked" if self.clear_ticked else "",
                    clear=_("Clear"),
                )
            )
        if self.beside:
            hints.append(self.beside)
        self.hint_id = f"{name}-hint_id" if hints else ""
        if not hints:
            return super().render(name, value, attrs, renderer)
        attrs = dict(attrs or {})
        _describe(attrs, self.hint_id)
        html = super().render(name, value, attrs, renderer)
        # Spans, because a form may put a widget into a paragraph; the classes are those of Django's admin.
        return format_html(
            '<span>{}<br><span class="help clearable-file-input" id="{}">{}</span></span>',
            html,
            self.hint_id,
            format_html_join(" ", "{}", ((hint,) for hint in hints)),
        )


def _describe(attrs: dict[str, Any], hint_id: str) -> None:
    named = str(attrs.get("aria-describedby", "")).split()
    attrs["aria-describedby"] = " ".join([*(each for each in named if each != hint_id), hint_id])


def take_text(form_field: forms.Field) -> None:
    """Make every input of ``form_field`` whose text a browser interprets a text input.

    Numbers that cannot be negative get a keypad; those of telephones may lack the minus sign.
    """
    for widget in _inputs(form_field.widget):
        input_type = widget.attrs.get("type", getattr(widget, "input_type", None))
        if input_type not in _INTERPRETED:
            continue
        widget.input_type = "text"
        for name in _MEANINGLESS_IN_TEXT:
            widget.attrs.pop(name, None)
        lowest = getattr(form_field, "min_value", None)
        if input_type in _NUMBERS and not callable(lowest) and lowest is not None and lowest >= 0:
            whole = type(form_field).to_python is forms.IntegerField.to_python
            widget.attrs["inputmode"] = "numeric" if whole else "decimal"
        else:
            widget.attrs["inputmode"] = "text"


def _inputs(widget: Any) -> Iterator[Any]:
    yield widget
    for part in getattr(widget, "widgets", ()):
        yield from _inputs(part)
