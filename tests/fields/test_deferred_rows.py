"""Rows that were loaded in part, and moved: their cells and objects move with them."""

from typing import Any

import pytest
from django.core import serializers
from django.db import models
from django.test.utils import isolate_apps

from django_workos_vault import envelope
from django_workos_vault.fields import EncryptedCharField, stored_cell
from tests.app.models import Contract, Device, Organization, Patient
from tests.tables import tables

pytestmark = pytest.mark.django_db

#: how a row was loaded, from those of its columns that matter here
LOADED: dict[str, Any] = {
    "without both": lambda rows, name: rows.defer("organization", name),
    "without the value": lambda rows, name: rows.defer(name),
    "without the column": lambda rows, name: rows.defer("organization"),
    "the value alone": lambda rows, name: rows.only(name),
    "whole": lambda rows, name: rows.all(),
}
VALUES = {Device: ("pin", "1234"), Contract: ("terms", "net 30"), Patient: ("ssn", "123-45-6789")}


@pytest.fixture
def organizations() -> list[Organization]:
    return [Organization.objects.create(name=name, workos_id=f"org_{name}") for name in ("one", "two")]


@pytest.mark.parametrize("read_first", [False, True])
@pytest.mark.parametrize("loaded", LOADED)
@pytest.mark.parametrize("model", VALUES)
def test_a_row_loaded_in_part_moves_with_its_values(
    organizations: list[Organization], model: Any, loaded: str, read_first: bool
) -> None:
    """Whatever was deferred, a saved move leaves nothing behind that cannot be opened."""
    name, value = VALUES[model]
    model.objects.create(organization=organizations[0], **{name: value})
    row = LOADED[loaded](model.objects, name).get()
    row.organization = organizations[1]
    if read_first:
        assert getattr(row, name) == value
    row.save()
    for each in (row, model.objects.get()):
        assert each.organization == organizations[1]
        assert getattr(each, name) == value


@pytest.mark.parametrize("model", [Device, Patient])
def test_the_new_key_seals_what_was_deferred(organizations: list[Organization], model: Any) -> None:
    """A row that moves to another organization leaves nothing under the key of the first."""
    name, value = VALUES[model]
    model.objects.create(organization=organizations[0], **{name: value})
    row = model.objects.defer(name).get()
    row.organization = organizations[1]
    row.save()
    beside = model.objects.create(organization=organizations[1], **{name: value})
    commitments = {
        envelope.parse(stored_cell(each, name)).commitment for each in (model.objects.get(pk=row.pk), beside)
    }
    assert len(commitments) == 1


@pytest.mark.parametrize("model", VALUES)
def test_a_refreshed_value_belongs_to_the_row_as_stored(
    organizations: list[Organization], model: Any
) -> None:
    """``refresh_from_db(fields=...)`` of the value alone reads it, though the row was moved meanwhile."""
    name, value = VALUES[model]
    row = model.objects.create(organization=organizations[0], **{name: value})
    moved = model.objects.get()
    moved.organization = organizations[1]
    moved.save()
    row.refresh_from_db(fields=[name])
    assert getattr(row, name) == value
    row.save()
    assert getattr(model.objects.get(), name) == value


@pytest.mark.parametrize("model", VALUES)
def test_a_row_that_stays_is_written_as_it_was(organizations: list[Organization], model: Any) -> None:
    """Saving a row that was loaded in part, and did not move, seals nothing."""
    name, value = VALUES[model]
    model.objects.create(organization=organizations[0], **{name: value})
    before = serializers.serialize("json", model.objects.all())
    for load in LOADED.values():
        row = load(model.objects, name).get()
        row.organization = organizations[0]
        row.save()
    assert serializers.serialize("json", model.objects.all()) == before
    assert getattr(model.objects.get(), name) == value


@pytest.mark.django_db(transaction=True)
@isolate_apps("tests.app")
def test_a_parents_column_moves_a_childs_cell() -> None:
    """A child's cell that was deferred follows the column of its parent that it is bound to."""

    class Base(models.Model):
        code = models.CharField(max_length=10)

        class Meta:
            app_label = "app"

    class Child(Base):
        secret = EncryptedCharField(max_length=10, bind_to=("code",))

        class Meta:
            app_label = "app"

    with tables(Base, Child):
        Child.objects.create(code="a", secret="s")
        row = Child.objects.defer("secret").get()
        row.code = "b"
        row.save()
        assert row.secret == Child.objects.get().secret == "s"
        row = Child.objects.only("secret").get()
        row.code = "c"
        row.save()
        assert row.secret == Child.objects.get().secret == "s"
