"""Where Django cleans a form field, and a model form its instance: both see more there than in ``clean()``.

Each class has the private method, and a public one in front of it for the classes that extend it.
"""

from typing import Any

from django import forms
from django.forms.boundfield import BoundField


class CleansBoundField(forms.Field):
    """A form field that sees the form and the initial value, beside the data, when it is cleaned."""

    def clean_bound(self, bound_field: BoundField) -> Any:
        """Return the cleaned value, as Django does where this is not extended."""
        return super()._clean_bound_field(bound_field)  # type: ignore[misc]

    def _clean_bound_field(self, bound_field: BoundField) -> Any:
        return self.clean_bound(bound_field)


class CleansInstance(forms.ModelForm):
    """A model form that sees its instance made and validated, after its own ``clean()``."""

    def clean_instance(self) -> None:
        """Give the instance what was entered, and validate it, as Django does where this is not extended."""
        super()._post_clean()  # type: ignore[misc]

    def _post_clean(self) -> None:
        self.clean_instance()
