"""Where Django cleans, by methods that other code of ours extends under other names."""

from typing import Any

import pytest
from django import forms

from django_workos_vault.fields.django_internals.forms import CleansBoundField, CleansInstance
from tests.app.models import Organization

pytestmark = pytest.mark.django_db


def test_a_bound_field_is_cleaned() -> None:
    """BaseForm._clean_fields() gives each form field what it is bound to."""
    seen: list[Any] = []

    class Asking(CleansBoundField, forms.CharField):
        def clean_bound(self, bound_field: Any) -> Any:
            seen.append((bound_field.initial, bound_field.data))
            return super().clean_bound(bound_field)

    class Form(forms.Form):
        name = Asking(initial="before")

    form = Form({"name": " after "})
    assert form.is_valid()
    assert form.cleaned_data == {"name": "after"}
    assert seen == [("before", " after ")]


def test_an_instance_is_cleaned() -> None:
    """BaseForm.full_clean() calls a model form's _post_clean() last, which fills the instance."""
    seen: list[Any] = []

    class Form(CleansInstance):
        class Meta:
            model = Organization
            fields = ("name",)

        def clean_instance(self) -> None:
            seen.append(self.instance.name)
            super().clean_instance()
            seen.append(self.instance.name)

    assert Form({"name": "after"}, instance=Organization(name="before")).is_valid()
    assert seen == ["before", "after"]
