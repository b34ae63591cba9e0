"""What error reports show of a search that was refused: every local of every frame, and never the value."""

import traceback
from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import FieldError, ValidationError
from django.db import models
from django.db.models import F, Q
from django.test.utils import isolate_apps

from django_workos_vault.fields import EncryptedDateField
from django_workos_vault.indexes import Exact
from tests.app.everything import Everything
from tests.app.models import Account, Person, Resident
from tests.search.declared import make_model
from tests.security.test_attacks import our_locals

pytestmark = pytest.mark.django_db

SECRET = "123-45-6789"
with isolate_apps("tests.app"):

    class Dated(models.Model):
        day = EncryptedDateField(blind_indexes=[Exact()])

        class Meta:
            app_label = "app"


with isolate_apps("tests.app"):
    binary: Any = make_model("binary")

REFUSED: dict[str, Callable[[], Any]] = {
    "no such lookup": lambda: Person.objects.filter(ssn__contains=SECRET),
    "no index": lambda: Person.objects.filter(ssn=SECRET),
    "no index, in": lambda: Person.objects.filter(ssn__in=[SECRET]),
    "no index, in Q": lambda: Person.objects.filter(~Q(ssn__gt=SECRET) | Q(name="x")),
    "no index, get": lambda: Person.objects.get(ssn__iexact=SECRET),
    "no index, across": lambda: Everything.objects.filter(integer=SECRET),
    "another lookup": lambda: Account.objects.filter(login__startswith=SECRET),
    "a transform": lambda: Account.objects.filter(login__lower=SECRET),
    "mixed list": lambda: Account.objects.filter(login__in=[SECRET, F("login")]),
    "no list": lambda: Account.objects.filter(login__in=Unlistable()),
    "no date": lambda: Dated.objects.filter(day=SECRET),
    "no date in list": lambda: Dated.objects.filter(day__in=["2026-01-01", SECRET]),
    "no bytes": lambda: list(binary.objects.filter(exact=SECRET)),
    "no pair": lambda: Resident.objects.filter(street__address=[SECRET]),
    "no pair, a text": lambda: Resident.objects.filter(street__address=SECRET),
    "few bits of an expression": lambda: list(Resident.objects.filter(town=F("street"))),
}

#: Python shows querysets by running them. These have no table, or are refused when they run.
NOT_TO_BE_SHOWN = {"no date", "no date in list", "no bytes", "few bits of an expression"}


class Unlistable:
    def __repr__(self) -> str:
        return SECRET


@pytest.mark.parametrize("search", REFUSED)
def test_a_refused_search_leaves_no_value(search: str) -> None:
    """No frame of ours holds the value, and a report can show the locals of all frames, Django's too."""
    with pytest.raises((FieldError, ValueError, TypeError, ValidationError)) as caught:
        REFUSED[search]()
    assert SECRET not in str(caught.value)
    assert SECRET not in our_locals(caught.value)
    assert caught.value.__context__ is None or SECRET not in str(caught.value.__context__)
    if search not in NOT_TO_BE_SHOWN:
        report = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
        assert "failed" not in "".join(report.format())


def test_a_lookup_shows_no_value() -> None:
    """Nor does a lookup that is fine, wherever it is shown."""
    queryset = Account.objects.filter(login=SECRET, ssn__last4=SECRET, email__in=[SECRET])
    assert SECRET not in repr(queryset.query.where)
    assert SECRET not in repr([child.__dict__ for child in queryset.query.where.children])
