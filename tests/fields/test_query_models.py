"""Queries across models, parents, proxies and a table's definition use ciphertext no more than others do."""

from typing import Any

import pytest
from django.core.exceptions import FieldError
from django.db import connection, models
from django.db.models import Count, Exists, F, OuterRef, Prefetch, Q, Value, When, Window
from django.db.models.expressions import Case
from django.db.models.functions import Coalesce, Lower, RowNumber, Upper
from django.test.utils import CaptureQueriesContext, isolate_apps

from django_workos_vault.fields import EncryptedCharField
from django_workos_vault.indexes import BlindIndex, Exact
from tests.app.models import Account, Device, Employee, Manager, Organization, Robot, Session, Unit, UnitProxy
from tests.app.shapes import Shape, make_rows

pytestmark = pytest.mark.django_db


def refused(query: Any) -> bool:
    """Whether the query is refused, before the database is asked."""
    with CaptureQueriesContext(connection) as sent:
        try:
            list(query)
        except FieldError:
            return not sent
    return False


@pytest.fixture
def _badges() -> None:
    Employee.objects.create(badge="e")
    Robot.objects.create(badge="r")
    Manager.objects.create(badge="m", bonus="much")


@pytest.mark.usefixtures("_badges")
@pytest.mark.parametrize("together", [{}, {"all": True}])
def test_other_models_are_not_combined(together: dict[str, bool]) -> None:
    """Cells of another label would not open as the first query's column."""
    employees, robots = Employee.objects.all(), Robot.objects.all()
    assert refused(employees.union(robots, **together))
    assert refused(employees.values_list("badge").union(robots.values_list("badge"), **together))
    assert refused(employees.values("pk", "badge").union(robots.values("pk", "badge"), **together))
    assert refused(employees.union(robots, **together).values("badge"))
    keys = [row.pk for row in (*employees, *robots)]
    assert len(employees.union(robots, **together).values("pk")) == len(keys if together else {*keys})


@pytest.mark.usefixtures("_badges")
def test_parents_and_children() -> None:
    """A child's row has its parent's cells, and its own key tells the rows apart."""
    rows = Manager.objects.values("pk", "badge", "bonus")
    expected = {"badge": "m", "bonus": "much", "pk": Manager.objects.get().pk}
    assert list(rows.distinct()) == [expected]
    assert rows.annotate(n=Count("pk")).get() == {**expected, "n": 1}
    assert [row.badge for row in Manager.objects.distinct()] == ["m"]
    assert [row.badge for row in Manager.objects.annotate(n=Count("pk"))] == ["m"]
    assert Employee.objects.values("pk", "manager__bonus").distinct().count() == 2
    assert refused(Manager.objects.order_by("badge"))
    assert refused(Manager.objects.values("badge").distinct())
    assert refused(Employee.objects.order_by("manager__bonus"))
    assert len(Employee.objects.filter(pk=1).union(Employee.objects.all())) == 2


def test_proxies_are_the_same_model() -> None:
    """A proxy's columns are its model's: combined they open, bound or not."""
    organization = Organization.objects.create(name="A", workos_id="org_1")
    Unit.objects.create(code="a", organization=organization, secret="s")
    assert [row.secret for row in Unit.objects.union(UnitProxy.objects.all())] == ["s"]
    assert refused(UnitProxy.objects.order_by("secret"))


def test_bound_cells_are_not_read_without_their_row() -> None:
    """An expression of a bound column is refused or says that there is no row; it never gives bytes."""
    organization = Organization.objects.create(name="A", workos_id="org_1")
    Device.objects.create(organization=organization, pin="1234")
    for query in (
        Device.objects.values("pin"),
        Device.objects.annotate(x=Coalesce("pin", "pin")),
        Device.objects.values("pk", "pin").union(Device.objects.values("pk", "pin")),
    ):
        with pytest.raises(FieldError):
            list(query)


def test_sliced_prefetches() -> None:
    """A sliced prefetch numbers its rows in a window, by its ordering."""
    make_rows(Shape)
    first = Prefetch("children", Shape.objects.order_by("pk")[:1], to_attr="first")
    assert [
        [child.text for child in row.first] for row in Shape.objects.filter(pk=1).prefetch_related(first)
    ] == [["b"]]
    by_text = Prefetch("children", Shape.objects.order_by("text")[:1], to_attr="first")
    with pytest.raises(FieldError, match="order by"):
        list(Shape.objects.prefetch_related(by_text))


def test_searching_beside_aggregates_and_windows() -> None:
    """A search by a blind index works in every clause, and groups by nothing it should not."""
    for login in ("a", "a", "b"):
        account = Account.objects.create(login=login)
        Session.objects.create(account=account)
    rows = Account.objects.all()
    assert rows.aggregate(n=Count("pk", filter=Q(login="a"))) == {"n": 2}
    assert rows.annotate(n=Count("sessions")).filter(Q(n__gt=5) | Q(login="b")).count() == 1
    assert rows.annotate(x=Case(When(login="a", then=Value(1)), default=Value(0))).filter(x=1).count() == 2
    assert refused(rows.values("closed").annotate(n=Count("pk")).filter(Q(n__gt=5) | Q(login="b")))
    numbered = rows.annotate(n=Window(RowNumber(), order_by="pk"))
    assert numbered.filter(n=2, login="a").count() == 1
    same = Account.objects.filter(login=OuterRef("login")).exclude(pk=OuterRef("pk"))
    assert rows.filter(Exists(same)).count() == 2
    assert refused(rows.filter(closed=False).order_by("login"))
    assert refused(Session.objects.order_by(F("account__login").desc(nulls_last=True)))


@isolate_apps("tests.app")
def test_orderings_of_models() -> None:
    """Meta.ordering by an encrypted column is refused when used: by a name, a function, through relations."""

    class Ward(models.Model):
        name = EncryptedCharField(max_length=10)

        class Meta:
            app_label = "app"
            ordering = ["-name"]

    class Bed(models.Model):
        ward = models.ForeignKey(Ward, models.CASCADE)

        class Meta:
            app_label = "app"
            ordering = ["ward"]

    class Chart(models.Model):
        bed = models.ForeignKey(Bed, models.CASCADE)
        text = EncryptedCharField(max_length=10)

        class Meta:
            app_label = "app"
            ordering = [Lower("text"), "bed"]

    class Page(models.Model):
        chart = models.ForeignKey(Chart, models.CASCADE)

        class Meta:
            app_label = "app"
            ordering = [F("chart__bed").asc(), "chart"]

    for query in (
        Ward.objects.all(),
        Ward.objects.values("pk", "name"),
        Bed.objects.select_related("ward"),
        Bed.objects.values("pk", "ward__name"),
        Chart.objects.all(),
        Chart.objects.values("text", "bed__ward__name"),
        Page.objects.all(),
        Page.objects.values("chart__text"),
    ):
        assert refused(query)
    assert "ORDER BY" not in str(Ward.objects.order_by().values("name").query)
    assert "ORDER BY" in str(Bed.objects.order_by("ward_id").values("pk", "ward__name").query)


@isolate_apps("tests.app")
def test_definitions_of_tables() -> None:
    """An index or a constraint over ciphertext is not created; one that asks for NULL, or a digest, is."""

    class Ward(models.Model):
        name = EncryptedCharField(max_length=10, null=True, blind_indexes=[Exact()])
        number = models.IntegerField(default=0)

        class Meta:
            app_label = "app"

    editor = connection.schema_editor()
    sound = [
        models.CheckConstraint(condition=Q(name__isnull=False) | Q(number=0), name="ward_named"),
        models.UniqueConstraint(fields=["number"], condition=Q(name__isnull=True), name="ward_number"),
        models.Index(BlindIndex("name"), name="ward_name"),
    ]
    unsound = [
        models.Index(Upper("name"), name="ward_upper"),
        models.CheckConstraint(condition=Q(number=F("name")), name="ward_equal"),
        models.UniqueConstraint(F("name"), name="ward_unique"),
    ]
    editor.deferred_sql = []
    for item in sound:
        str(item.create_sql(Ward, editor))
    for item in unsound:
        if connection.features.supports_expression_indexes or isinstance(item, models.CheckConstraint):
            with pytest.raises(FieldError):
                str(item.create_sql(Ward, editor))
