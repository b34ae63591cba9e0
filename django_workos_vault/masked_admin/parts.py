"""The parts of an admin form, masked: Django's helpers read a read-only value and offer no hook."""

from collections.abc import Iterator
from typing import Any

from django import forms
from django.contrib.admin import helpers
from django.utils.html import format_html

from django_workos_vault.admin_lookups import encrypted_field
from django_workos_vault.masked_admin.column import MaskedColumn
from django_workos_vault.reveal.admin import Button, no_buttons
from django_workos_vault.reveal.file_facts import file_facts


class MaskedPart:
    """A form, a fieldset, a line or an inline: masked however deep it is nested."""

    def __init__(self, part: Any, button: Button = no_buttons) -> None:
        self._part = part
        self._button = button

    def __getattr__(self, name: str) -> Any:
        return getattr(self._part, name)

    def __iter__(self) -> Iterator[Any]:
        for part in self._part:
            if isinstance(part, helpers.AdminReadonlyField):
                yield _MaskedReadonlyField(part, self._button)
            elif isinstance(part, helpers.AdminField):
                form: Any = part.field.form
                form_field = part.field.field
                if hasattr(form_field.widget, "beside"):
                    form_field.widget.beside = self._button(form.instance, part.field.name)
                elif isinstance(form_field, forms.FileField):
                    row, name = form.instance, part.field.name
                    part.field.help_text = format_html(
                        "{} {} {}", part.field.help_text, file_facts(row, name), self._button(row, name)
                    )
                yield part
            else:
                yield MaskedPart(part, self._button)


class _MaskedReadonlyField(MaskedPart):
    def contents(self) -> Any:
        name, instance = self._part.field["field"], self._part.form.instance
        field = encrypted_field(type(instance), name)
        if field is None:
            shown = self._part.contents()
        else:
            shown = MaskedColumn(field, name, self._part.empty_value_display)(instance)
        if not isinstance(name, str):
            return shown
        facts, button = file_facts(instance, name), self._button(instance, name)
        return format_html("{} {}{}", shown, facts, button) if facts or button else shown
