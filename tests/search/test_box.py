"""Whatever is typed into a search box: rows or none, for every type, and never an error."""

from collections.abc import Iterator
from typing import Any

import django
import pytest
from django.contrib import admin
from django.test import RequestFactory
from rest_framework.filters import SearchFilter
from rest_framework.request import Request

from django_workos_vault.admin import MaskedAdminMixin
from django_workos_vault.checks.admin import check_options
from django_workos_vault.indexes import CaseFolded, Exact
from tests.app.everything import TYPES
from tests.search.declared import MADE_BY, all_models, text_of

pytestmark = [pytest.mark.django_db, pytest.mark.filterwarnings("ignore:DateTimeField")]

TYPED = [
    "x",
    "12e",
    "0",
    "-1",
    "9" * 25,
    "1e400",
    "nan",
    "2026-02-30",
    "25:00",
    "{",
    "300.1.1.1",
    "Grüße",
    "☃",
    "1-2",
]


@pytest.fixture(scope="module")
def indexed(django_db_setup: None, django_db_blocker: Any) -> Iterator[dict[str, Any]]:
    """The models, with their tables outside of any test's transaction."""
    with django_db_blocker.unblock(), all_models({"value": [Exact(), CaseFolded()]}) as models:
        yield models


def model_admin(model: Any, base: type, field: str) -> Any:
    bases = (admin.ModelAdmin,) if base is object else (base, admin.ModelAdmin)
    return type("SearchAdmin", bases, {"search_fields": [field]})(model, admin.AdminSite())


def in_masked_admin(model: Any, typed: str) -> list[Any]:
    request = RequestFactory().get("/")
    found, _ = model_admin(model, MaskedAdminMixin, "value__exact").get_search_results(
        request, model.objects.all(), typed
    )
    return list(found)


def in_plain_admin(model: Any, typed: str) -> list[Any]:
    field = "=value" if model._meta.get_field("value").digests.slots_for("iexact") else "value__exact"
    request = RequestFactory().get("/")
    found, _ = model_admin(model, object, field).get_search_results(request, model.objects.all(), typed)
    return list(found)


def in_drf(model: Any, typed: str) -> list[Any]:
    request: Any = Request(RequestFactory().get("/", {"search": typed}))
    view = type("View", (), {"search_fields": ["=value"]})()
    return list(SearchFilter().filter_queryset(request, model.objects.all(), view))


SEARCHES = [in_masked_admin, in_plain_admin, in_drf]


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("made_by", MADE_BY)
def test_a_search_box_takes_anything(indexed: dict[str, Any], made_by: str, search: Any) -> None:
    """Text that is no value of the type finds nothing, and the text of a value its row."""
    model, name = indexed[made_by], MADE_BY[made_by][0]
    value = TYPES[name].values[-1]
    row = model.objects.create(value=value)
    model.objects.create(value=TYPES[name].values[0])
    for typed in TYPED:
        assert row not in search(model, typed), typed
    if name not in {"json", "binary"}:  # of which one cannot type a value
        typed = text_of(name, value)
        assert search(model, f'"{typed}"' if " " in typed else typed) == [row]


@pytest.mark.parametrize("made_by", MADE_BY)
def test_a_check_says_where_the_admin_would_fail(indexed: dict[str, Any], made_by: str) -> None:
    """Before Django 6.1 a plain admin casts a number's column; a masked one asks in another way."""
    model = indexed[made_by]

    def ids(base: type, field: str) -> set[Any]:
        messages = check_options(model_admin(model, base, field))
        return {m.id for m in messages} - {"django_workos_vault.W020"}

    fails = django.VERSION < (6, 1) and not model._meta.get_field("value").digests.holds_text
    assert ids(object, "value__exact") == ({"django_workos_vault.E061"} if fails else set())
    assert ids(MaskedAdminMixin, "value__exact") == set()
    if fails:
        assert ids(object, "=value") == set()
