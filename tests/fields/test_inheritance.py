"""Abstract bases, multi-table inheritance, proxies, and models as migrations see them."""

import pytest
from django.db import connection
from django.db.migrations.state import ProjectState

from django_workos_vault import vaults
from django_workos_vault.fields import stored_cell
from tests.app.models import Employee, Manager, Organization, Patient, Person, Robot, Unit, UnitProxy

pytestmark = pytest.mark.django_db


def test_abstract_base_gives_each_model_a_label_of_its_own() -> None:
    """A cell of one concrete model does not open in its sibling."""
    assert Employee._meta.get_field("badge").label == "app.Employee.badge"
    assert Robot._meta.get_field("badge").label == "app.Robot.badge"
    Employee.objects.create(badge="e1")
    assert Employee.objects.get().badge == "e1"


def test_child_table_inherits_the_parents_cells() -> None:
    """A value saved through the child opens through the parent, and the other way round."""
    Manager.objects.create(badge="m1", bonus="1000")
    assert Employee.objects.get().badge == "m1"
    manager = Manager.objects.get()
    assert (manager.badge, manager.bonus) == ("m1", "1000")
    manager.badge = "m2"
    manager.save()
    assert Employee.objects.get().manager.badge == "m2"
    with vaults["default"].decryption_forbidden():
        Manager.objects.get().save()


def test_a_childs_parent_is_made_and_deleted_without_opening_a_cell() -> None:
    """The parent's instance is made of the child's cells, even one that cannot be opened."""
    manager = Manager.objects.create(badge="m1", bonus="1000")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE app_employee SET badge = %s", [b"no cell"])
    manager = Manager.objects.get()
    with vaults["default"].decryption_forbidden():
        assert manager.employee_ptr.pk == manager.pk
        manager.delete()
    assert not Employee.objects.exists()


def test_child_of_a_bound_parent_opens_and_is_sealed_anew() -> None:
    """A row binding declared on the parent holds for instances of a proxy, too."""
    organizations = [Organization.objects.create(name=n, workos_id=n) for n in ("org_1", "org_2")]
    UnitProxy.objects.create(code="u", organization=organizations[0], secret="s")
    proxy = UnitProxy.objects.get()
    proxy.organization = organizations[1]
    proxy.save()
    assert Unit.objects.get().secret == "s"
    assert Unit._meta.get_field("secret") is UnitProxy._meta.get_field("secret")


def test_historical_models_seal_and_open_like_the_real_ones() -> None:
    """A data migration reads and writes cells, those that depend on their row included."""
    state = ProjectState.from_apps(Patient._meta.apps)
    historical = state.apps
    organization = Organization.objects.create(name="one", workos_id="org_1")
    patient = Patient.objects.create(organization=organization, ssn="123")
    old = historical.get_model("app", "Patient").objects.get()
    assert old.ssn == "123"
    old.ssn = "456"
    old.save()
    assert Patient.objects.get().ssn == "456"
    unit = historical.get_model("app", "Unit").objects.create(
        code="u", organization_id=organization.pk, secret="s"
    )
    assert Unit.objects.get().secret == "s"
    moved = Organization.objects.create(name="two", workos_id="org_2")
    unit.organization_id = moved.pk
    unit.save()
    assert Unit.objects.get().secret == "s"
    assert stored_cell(patient, "ssn") != stored_cell(Patient.objects.get(), "ssn")


def test_column_added_with_a_default_holds_cells() -> None:
    """Adding a field with a default to a table with rows seals the default; it is never stored in clear."""
    Person.objects.create()
    notes = Person._meta.get_field("notes")
    added = notes.clone()
    added.set_attributes_from_name("added")
    added.model = Person
    default = connection.schema_editor().effective_default(added)
    cell = bytes(getattr(default, "obj", default))  # psycopg wraps its parameters
    assert notes.get_default().encode() not in cell
    assert added.open_cell(cell) == notes.get_default()
