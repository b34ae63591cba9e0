"""What Django calls to write a row."""

import inspect

import pytest
from django.db import models
from django.forms import BaseModelFormSet

from tests.app.models import Account, Person

pytestmark = pytest.mark.django_db


def test_save_table() -> None:
    """Its arguments are those of Django, in Django's order."""
    django = inspect.signature(models.Model._save_table)  # type: ignore[attr-defined]
    ours = inspect.signature(Person._save_table, follow_wrapped=False)  # type: ignore[attr-defined]
    assert list(ours.parameters) == list(django.parameters)


def test_constraints_are_asked_for_in_one_place() -> None:
    """validate_constraints() checks what get_constraints() returns, where ours are put in place."""
    assert "get_constraints" in models.Model.validate_constraints.__code__.co_names
    for row in (Person(), Account()):
        [(model, constraints)] = row.get_constraints()
        assert (model, len(constraints)) == (type(row), len(row._meta.constraints))


def test_bulk_update_names_each_row_and_its_fields() -> None:
    """QuerySet.bulk_update() asks each row to prepare, by the method that is watched."""
    assert "_prepare_related_fields_for_save" in models.QuerySet.bulk_update.__code__.co_names
    signature = inspect.signature(models.Model._prepare_related_fields_for_save)  # type: ignore[attr-defined]
    assert list(signature.parameters) == ["self", "operation_name", "fields"]


def test_formsets_ask_for_constraints_too() -> None:
    """BaseModelFormSet.validate_unique() alone does, by a name of its own."""
    assert "_get_unique_checks" in BaseModelFormSet.validate_unique.__code__.co_names
    checks, _ = Account()._get_unique_checks(include_meta_constraints=True)  # type: ignore[attr-defined]
    assert (Account, ("email",)) in checks
    assert (Account, ("email",)) not in Account()._get_unique_checks()[0]  # type: ignore[attr-defined]
