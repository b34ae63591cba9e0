"""Which values a blind index calls equal: those that the plain field does, however they are written."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import connection, models
from django.test.utils import isolate_apps

from django_workos_vault.fields import (
    EncryptedCharField,
    EncryptedDateField,
    EncryptedDecimalField,
    EncryptedFloatField,
    EncryptedIntegerField,
    EncryptedJSONField,
    encrypted,
)
from django_workos_vault.indexes import BlindIndex, Digits, Exact, FirstCharacters, LastCharacters
from tests.tables import tables

pytestmark = pytest.mark.django_db(transaction=True)


class ReversedField(models.CharField):
    """A third party's field that stores its text backwards: prepared twice it is not as prepared once."""

    def get_prep_value(self, value: Any) -> Any:
        return value if value is None else value[::-1]

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        return value if value is None else value[::-1]


@contextmanager
def model_with(**fields: Any) -> Iterator[Any]:
    constraints = fields.pop("constraints", [])
    meta = type("Meta", (), {"app_label": "app", "constraints": constraints})
    with isolate_apps("tests.app"):
        model: Any = type("Valued", (models.Model,), {**fields, "Meta": meta, "__module__": __name__})
    with tables(model):
        yield model


@pytest.mark.parametrize(
    ("field", "stored", "sought"),
    [
        (EncryptedFloatField(blind_indexes=[Exact()]), -0.0, 0.0),
        (
            EncryptedDecimalField(max_digits=6, decimal_places=2, blind_indexes=[Exact()]),
            Decimal("1.5"),
            "1.50",
        ),
        (EncryptedDecimalField(blind_indexes=[Exact()]), Decimal("1.50"), Decimal("1.5")),
        (EncryptedDecimalField(blind_indexes=[Exact()]), Decimal("100"), Decimal("1E+2")),
        (EncryptedDecimalField(blind_indexes=[Exact()]), Decimal("-0.0"), Decimal("0")),
        (EncryptedJSONField(blind_indexes=[Exact()]), {"a": 1, "b": [2]}, {"b": [2.0], "a": 1}),
        (encrypted(ReversedField(max_length=9), blind_indexes=[Exact()]), "abc", "abc"),
    ],
)
@pytest.mark.parametrize("lookup", ["exact", "in"])
def test_equal_values_are_found(field: Any, stored: Any, sought: Any, lookup: str) -> None:
    """However a value is written, it is found, and comes back as it was."""
    with model_with(value=field.clone()) as model:
        row = model.objects.create(value=stored)
        asked = [sought] if lookup == "in" else sought
        assert model.objects.get(**{f"value__{lookup}": asked}) == row
        assert str(model.objects.get().value) in {str(stored), "1.50"}


@pytest.mark.parametrize(
    ("field", "stored", "lookup", "found", "missed"),
    [
        (EncryptedIntegerField(blind_indexes=[LastCharacters()]), 120042, "last4", "0042", "42"),
        (EncryptedIntegerField(blind_indexes=[Digits()]), 555123, "digits", "555-123", "555-12"),
        (
            EncryptedDateField(blind_indexes=[FirstCharacters(name="year", count=4)]),
            date(2026, 1, 2),
            "year",
            "2026",
            "2025",
        ),
    ],
)
def test_parts_of_a_number_are_sought_as_text(
    field: Any, stored: Any, lookup: str, found: str, missed: str
) -> None:
    """The last four digits of a number may begin with zeros."""
    with model_with(value=field.clone()) as model:
        row = model.objects.create(value=stored)
        assert model.objects.get(**{f"value__{lookup}": found}) == row
        assert not model.objects.filter(**{f"value__{lookup}": missed}).exists()


@pytest.mark.skipif(connection.vendor == "mysql", reason="MariaDB has no expression indexes")
def test_a_value_changed_in_place_is_validated_as_it_is_now() -> None:
    """full_clean() does not compare the digest that a cell had before its list was appended to."""
    unique = models.UniqueConstraint(BlindIndex("value"), name="unique_value")
    with model_with(value=EncryptedJSONField(blind_indexes=[Exact()]), constraints=[unique]) as model:
        model.objects.create(value=[1, 2])
        row = model.objects.get(pk=model.objects.create(value=[1]).pk)
        row.full_clean()
        row.value.append(2)
        with pytest.raises(ValidationError):
            row.full_clean()


@pytest.mark.skipif(connection.vendor == "mysql", reason="MariaDB has no expression indexes")
def test_a_cell_from_another_column_is_validated_by_its_value() -> None:
    """Its digest is another index's; the value is what would be taken."""
    unique = models.UniqueConstraint(BlindIndex("value"), name="unique_value")
    columns = {
        name: EncryptedCharField(max_length=9, null=True, blind_indexes=[Exact()])
        for name in ("value", "other")
    }
    with model_with(**columns, constraints=[unique]) as model:
        model.objects.create(value="taken")
        carried = model.objects.create(other="taken").__dict__["other"]
        with pytest.raises(ValidationError):
            model(value=carried).validate_constraints()


def test_what_a_list_repeats_is_sought_once() -> None:
    """As with a plain column, however long the list: each value is digested, and each digest sent."""
    with model_with(value=EncryptedIntegerField(blind_indexes=[Exact()])) as model:
        row = model.objects.create(value=1)
        found = model.objects.filter(value__in=[1, 2, "1"] * 1000)
        [lookup] = found.query.where.children
        assert len(lookup.rhs) == 3
        assert [*found] == [row]
        assert model.objects.filter(value__in=[1, True, 1.0]).count() == 1
