"""Tables of django-tables2 show encrypted fields as they show plain ones, and do not order by them."""

from typing import Any

import pytest

from tests.app.models import Employee, Person, Visit

tables = pytest.importorskip("django_tables2")
pytestmark = pytest.mark.django_db


class People(tables.Table):
    class Meta:
        model = Person
        fields = ("name", "ssn", "email")


class Visits(tables.Table):
    class Meta:
        model = Visit
        fields = ("room", "reason", "person__ssn", "began")


def test_columns_are_those_of_plain_fields() -> None:
    """Each column is of the class that the plain field's would be."""
    assert type(People.base_columns["email"]) is tables.EmailColumn
    assert type(People.base_columns["ssn"]) is tables.Column
    assert type(Visits.base_columns["began"]) is tables.DateTimeColumn


@pytest.mark.parametrize("ordering", ["ssn", "-ssn", "email", ["ssn", "-name"]])
def test_an_ordering_from_an_address_is_passed_over(ordering: Any, rf: Any) -> None:
    """What a visitor asks for in the address is no error; other columns still order."""
    for name, ssn in (("A", "2"), ("B", "1")):
        Person.objects.create(name=name, ssn=ssn, email=f"{name}@example.com")
    table = People(Person.objects.order_by("name"))
    tables.RequestConfig(rf.get("/", {"sort": ordering})).configure(table)
    page = table.as_html(rf.get("/"))
    names = [row.get_cell("name") for row in table.rows]
    assert names == (["B", "A"] if "-name" in ordering else ["A", "B"])
    assert "sort=ssn" not in page
    assert "sort=name" in page or "sort=-name" in page
    assert "A@example.com" in page


def test_columns_of_relations_and_of_whole_models() -> None:
    """Neither is ordered by: fields through a relation, fields that a table did not name."""

    class Employees(tables.Table):
        class Meta:
            model = Employee

    assert not Employees(Employee.objects.all()).columns["badge"].orderable
    table = Visits(Visit.objects.all())
    assert [name for name, column in table.columns.items() if column.orderable] == ["room"]
