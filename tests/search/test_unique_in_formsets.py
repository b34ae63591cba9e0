"""Two rows of one formset that want the same value: told before the database says so."""

from collections.abc import Iterator
from typing import Any

import pytest
from django import forms
from django.contrib import admin
from django.contrib.auth.models import User
from django.test import RequestFactory
from django.test.utils import isolate_apps

from django_workos_vault.admin import MaskedAdminMixin
from tests.app.models import Organization
from tests.search.test_unique_in_serializers import make_model
from tests.tables import tables

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def member() -> Iterator[Any]:
    """A number that is unique in its organization."""
    with isolate_apps("tests.app"):
        model = make_model("plain", "one key")
    with tables(model):
        yield model


def posted(prefix: str, rows: list[dict[str, Any]], initial: int = 0) -> dict[str, Any]:
    data: dict[str, Any] = {f"{prefix}-TOTAL_FORMS": len(rows), f"{prefix}-INITIAL_FORMS": initial}
    for at, row in enumerate(rows):
        data |= {f"{prefix}-{at}-{name}": value for name, value in row.items()}
    return data


def test_a_formset(member: Any) -> None:
    """As for plain columns: told for the set, without the value; other organizations are free."""
    one, two = (Organization.objects.create(name=n, workos_id=f"org_{n}") for n in "ab")
    formset_class = forms.modelformset_factory(member, fields=["organization", "number"])

    def formset(*rows: tuple[Organization, str]) -> Any:
        sent = [{"organization": organization.pk, "number": number} for organization, number in rows]
        return formset_class(posted("form", sent), queryset=member.objects.none())

    taken = formset((one, "1-2-3"), (one, "1-2-3"))
    assert not taken.is_valid()
    assert taken.non_form_errors() == [
        "Please correct the duplicate data for organization and number, which must be unique."
    ]
    assert formset((one, "1-2-3"), (two, "1-2-3")).is_valid()
    assert formset((one, "1"), (one, "2")).is_valid()


@pytest.mark.parametrize("masked", [False, True])
def test_an_inline_of_the_admin(member: Any, rf: RequestFactory, masked: bool) -> None:
    """Two new rows of one organization with the same number, and rows whose number is kept."""
    one = Organization.objects.create(name="a", workos_id="org_a")
    rows = [member.objects.create(organization=one, number=number) for number in ("7", "8")]
    base = (MaskedAdminMixin, admin.TabularInline) if masked else (admin.TabularInline,)
    inline = type("MemberInline", base, {"model": member, "fields": ["number"]})(
        Organization, admin.AdminSite()
    )
    request = rf.post("/")
    request.user = User.objects.create_superuser("root")
    formset_class = inline.get_formset(request, one)
    prefix = formset_class.get_default_prefix()
    held = [{"id": row.pk, "number": "" if masked else row.number, "organization": one.pk} for row in rows]
    for new, valid in ((["1", "1"], False), (["1", "2"], True)):
        data = posted(prefix, [*held, *({"number": number, "organization": one.pk} for number in new)], 2)
        assert formset_class(data, instance=one).is_valid() == valid
