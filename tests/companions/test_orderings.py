"""What visitors of an API, a table or a filter may order by: encrypted columns are passed over, or found."""

import gc
from collections.abc import Iterator
from typing import Any

import django_filters
import django_tables2
import pytest
from django.apps import apps
from django.db.models import F
from django.urls import include, path
from rest_framework import filters, routers, serializers, viewsets
from rest_framework.generics import ListAPIView

from django_workos_vault.checks.orderings import check_orderings
from django_workos_vault.drf import OrderingFilter
from tests.app.models import Patient, Person

pytestmark = pytest.mark.django_db


class PersonSerializer(serializers.ModelSerializer):
    class Meta:
        model = Person
        fields = ("id", "name", "ssn")


class PatientSerializer(serializers.ModelSerializer):
    secret = serializers.CharField(source="ssn")
    of = serializers.CharField(source="organization.name")

    class Meta:
        model = Patient
        fields = ("id", "secret", "of")


class People(viewsets.ModelViewSet):
    queryset = Person.objects.order_by("name")
    serializer_class = PersonSerializer
    filter_backends = (OrderingFilter,)


class Theirs(People):
    filter_backends = (filters.OrderingFilter,)


class All(People):
    ordering_fields = "__all__"


class TheirsAll(Theirs):
    ordering_fields = "__all__"


class TheirsListed(Theirs):
    ordering_fields = ("name", ("id", "the number"))


class OrderedBySSN(People):
    ordering = "-ssn"


class Patients(ListAPIView):
    queryset = Patient.objects.all()
    serializer_class = PatientSerializer
    filter_backends = (filters.OrderingFilter,)


class ByRequest(ListAPIView):
    serializer_class = PersonSerializer
    filter_backends = (filters.OrderingFilter,)

    def get_serializer_class(self) -> Any:
        return self.serializer_class if self.request.user else None

    def get_queryset(self) -> Any:
        return Person.objects.filter(pk=self.request.user.pk)


router = routers.SimpleRouter()
for name, view in (
    ("people", People),
    ("all", All),
    ("theirs", Theirs),
    ("theirs-all", TheirsAll),
    ("listed", TheirsListed),
    ("ordered", OrderedBySSN),
):
    router.register(name, view, basename=name)
urlpatterns = [
    path("api/", include(router.urls)),
    path("patients/", Patients.as_view()),
    path("mine/", ByRequest.as_view()),
    path("plain/", lambda request: None),
]
here = pytest.mark.urls(__name__)


@pytest.mark.parametrize("view", ["people", "all"])
@pytest.mark.parametrize("ordering", ["ssn", "-ssn", "ssn,-name", "-name", "nothing"])
@here
def test_orderings_by_encrypted_columns_are_passed_over(client: Any, view: str, ordering: str) -> None:
    """A visitor who asks for one gets the page, ordered by what else was asked for."""
    for name, ssn in (("A", "2"), ("B", "1")):
        Person.objects.create(name=name, ssn=ssn)
    answer = client.get(f"/api/{view}/", {"ordering": ordering}, headers={"accept": "application/json"})
    assert answer.status_code == 200
    assert [row["name"] for row in answer.json()] == (["B", "A"] if "-name" in ordering else ["A", "B"])


@here
def test_the_browsable_api_offers_none(client: Any, settings: Any) -> None:
    """The page's list of orderings leaves the encrypted columns out."""
    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "rest_framework"]
    page = client.get("/api/people/", headers={"accept": "text/html"}).content.decode()
    assert "ordering=-name" in page
    assert "ordering=ssn" not in page


def messages() -> dict[str, str]:
    return {message.obj.__name__: f"{message.id} {message.msg}" for message in check_orderings(None)}


@here
def test_views_that_offer_them_are_found() -> None:
    """The check names each view and field; a view with our filter, or with a list of its own, is sound."""
    found = {name: text for name, text in messages().items() if ".W065 " in text}
    assert set(found) == {"Theirs", "TheirsAll", "OrderedBySSN", "Patients"}
    assert found["Theirs"].endswith(": ssn.")
    assert found["TheirsAll"].endswith(": ssn, notes, email.")
    assert found["Patients"].endswith(": ssn.")


def test_its_hint_is_what_helps(settings: Any) -> None:
    """A view changed as the hint says is found no more."""

    class Repaired(Theirs):
        filter_backends = (OrderingFilter,)

    patterns = (path("repaired/", Repaired.as_view({"get": "list"})),)
    settings.ROOT_URLCONF = patterns
    assert not [text for text in messages().values() if ".W065 " in text]


@pytest.fixture
def _forgotten() -> Iterator[None]:
    """Classes that a test declares are not there for the checks of another."""
    yield
    gc.collect()


@pytest.mark.usefixtures("_forgotten")
def test_tables_and_filter_sets_are_found() -> None:
    """A declared column that orders by an encrypted field, and an ordering of a filter set."""

    class Table(django_tables2.Table):
        number = django_tables2.Column(accessor="ssn")
        sorted = django_tables2.Column(accessor="name", order_by=("name", "-notes"))
        email = django_tables2.Column(orderable=False)
        organization = django_tables2.Column()

        class Meta:
            model = Person
            fields = ("name", "ssn")

    class Filters(django_filters.FilterSet):
        order = django_filters.OrderingFilter(fields=(("name", "n"), ("ssn", "s")))

        class Meta:
            model = Person
            fields = ("name",)

    found = messages()
    assert found["Table"].startswith("django_workos_vault.W066")
    assert found["Table"].endswith(": ssn, notes.")
    assert found["Filters"].startswith("django_workos_vault.W067")
    assert found["Filters"].endswith(": ssn.")
    assert "People" not in found


@here
def test_only_the_apps_that_are_checked() -> None:
    """With apps named, only what shows their models is looked at."""
    assert check_orderings([apps.get_app_config("app")])
    assert not check_orderings([apps.get_app_config("clinic")])


def test_fields_behind_relations() -> None:
    """An ordering through a relation is passed over as well, and an annotation of such a column."""
    view = Patients()
    view.ordering_fields = ("organization__name", "ssn", "copied", "id")
    rows = Patient.objects.annotate(copied=F("ssn"))
    offered = [name for name, _ in OrderingFilter().get_valid_fields(rows, view)]
    assert offered == ["organization__name", "id"]
