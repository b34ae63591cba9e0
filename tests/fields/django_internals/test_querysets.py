"""What a queryset, and the options of a model, can do."""

from typing import Any

import pytest
from django.db import models
from django.db.utils import NotSupportedError
from django.test.utils import isolate_apps

from django_workos_vault.fields.django_internals import querysets
from django_workos_vault.querysets import EncryptedQuerySet
from tests.app.models import Person

pytestmark = pytest.mark.django_db


def test_combined_queries() -> None:
    """QuerySet._not_support_combined_queries() refuses a union, and nothing else."""
    rows = Person.objects.all()
    querysets.refuse_combined(rows, "update")
    with pytest.raises(NotSupportedError, match="update"):
        querysets.refuse_combined(rows.union(rows), "update")


def test_plain_twin() -> None:
    """A queryset is made of a model, a query, a database's alias and hints."""
    rows: Any = EncryptedQuerySet(Person, using="other", hints={"instance": 1}).filter(pk=5)
    twin: Any = querysets.plain_twin(rows)
    assert type(twin) is models.QuerySet
    assert (twin.model, twin.db, twin._hints) == (Person, "other", {"instance": 1})
    assert str(twin.query) == str(rows.query)
    assert twin.query is not rows.query


def test_chosen_database() -> None:
    """A queryset knows what using() was given, and nothing where a router is to choose."""
    assert querysets.chosen_database(Person.objects.all()) is None
    assert querysets.chosen_database(Person.objects.using("other")) == "other"


@isolate_apps("tests.app")
def test_base_manager() -> None:
    """Options keep the base manager that was asked for, until they are told to forget it."""

    class Ward(models.Model):
        everything = models.Manager()

        class Meta:
            app_label = "app"

    assert Ward._base_manager.name == "_base_manager"
    querysets.set_base_manager(Ward, "everything")
    assert Ward._base_manager.name == "everything"
