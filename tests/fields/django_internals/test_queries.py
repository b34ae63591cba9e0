"""What queries are made of."""

from typing import Any

import pytest
from django.db import connection, models

from django_workos_vault.fields.django_internals import queries
from tests.app.models import Organization, Person

pytestmark = pytest.mark.django_db


def test_table_definitions() -> None:
    """A query that stands for an index or a constraint has no column aliases."""
    assert queries.is_schema(models.sql.Query(Person, alias_cols=False))
    assert not queries.is_schema(Person.objects.all().query)


def test_selected() -> None:
    """Annotations and columns of values() are found in their order."""
    query = Person.objects.values("name", n=models.F("pk")).query
    assert [getattr(what, "alias", None) for what in queries.selected(query)]
    assert len(queries.selected(query)) == 2
    assert len(queries.selected(Person.objects.only("notes").query)) == 2  # with the primary key


def test_branches() -> None:
    """A combined query keeps its parts, each of which selects the same."""
    combined = Person.objects.values("pk").union(Person.objects.values("pk")).query
    assert [len(queries.selected(branch)) for branch in queries.branches(combined)] == [1, 1]


def test_filtered_relations() -> None:
    """A query keeps the FilteredRelation of an annotation by its name."""
    relation = models.FilteredRelation("account", condition=models.Q(account__closed=False))
    query = Organization.objects.annotate(open=relation).query
    assert queries.filtered_relation(query, "open").relation_name == "account"
    assert queries.filtered_relation(query, "account") is None


def test_output_fields() -> None:
    """An expression has an output field, or none where nothing tells it."""
    field: Any = Person._meta.get_field("notes")
    assert queries.output_field(models.Value("a", output_field=field)) is field
    assert queries.output_field(models.Value(object())) is None


def test_compiled_on_this_database() -> None:
    """The shapes above are compiled by the connection's own compiler."""
    assert Person.objects.filter(ssn=None).query.get_compiler(connection=connection).as_sql()
