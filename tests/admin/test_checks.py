"""System checks over ModelAdmins."""

from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin

from django_workos_vault.admin import MaskedAdminMixin
from django_workos_vault.checks.admin import check_admin, check_options
from tests.app.admin import PersonAdmin
from tests.app.models import Account, Organization, Patient, Person, Session


def ids(model: Any, base: type = MaskedAdminMixin, **options: Any) -> list[str]:
    """The ids of what the checks say of an admin with these options."""
    bases = (admin.ModelAdmin,) if base is object else (base, admin.ModelAdmin)
    checked = type("CheckedAdmin", bases, options)(model, admin.site)
    return [str(message.id).removeprefix("django_workos_vault.") for message in check_options(checked)]


@pytest.mark.parametrize(("base", "found"), [(object, ["W020"]), (MaskedAdminMixin, [])])
def test_a_column_over_a_relation_needs_masks_too(base: type, found: list[str]) -> None:
    """A list may show another model's encrypted field, though its own model has none."""
    for columns in (("pk", "account__ssn"), ("account__organization__patient__ssn",), ("account__login",)):
        assert ids(Session, base, list_display=columns) == found
    assert ids(Session, base, list_display=("__str__", "account", "account__closed")) == []


def test_every_registered_admin_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """`manage.py check` looks at what is registered, and finds nothing wrong with the tests' own admins."""
    assert check_admin(None) == []
    monkeypatch.setattr(PersonAdmin, "list_filter", ("ssn",))
    assert [message.id for message in check_admin(None)] == ["django_workos_vault.E022"]
    assert check_admin([apps.get_app_config("auth")]) == []


@pytest.mark.parametrize(
    ("option", "value", "found"),
    [
        ("ordering", ("-ssn",), ["E021"]),
        ("ordering", ("name",), []),
        ("list_filter", ("ssn",), ["E022"]),
        ("list_filter", (("ssn", admin.EmptyFieldListFilter),), ["E022"]),
        ("date_hierarchy", "ssn", ["E023"]),
        ("search_fields", ("ssn",), ["E024"]),
        ("search_fields", ("^ssn", "=ssn", "ssn__icontains"), ["E024"] * 3),
        ("search_fields", ("name", "name__startswith"), []),
        ("list_editable", ("ssn",), ["E025"]),
        ("save_as", True, ["E026"]),
        ("base", object, ["W020"]),
    ],
)
def test_what_cannot_work_on_an_encrypted_field_is_refused(option: str, value: Any, found: list[str]) -> None:
    """Each option that needs plaintext in the database is an error; an admin without masks is a warning."""
    assert ids(Person, **{option: value}) == found


def test_paths_over_relations_are_seen() -> None:
    """An encrypted field of a related model is no better."""
    assert ids(Organization, search_fields=("patient__ssn",)) == ["E024"]


def test_searching_a_blind_index_is_allowed() -> None:
    """What a blind index answers can be searched for; parts cannot."""
    assert ids(Account, search_fields=("login__exact", "=login", "organization__name")) == []
    assert ids(Account, search_fields=("login__contains", "login", "=phone")) == ["E024"] * 3


def test_an_inline_needs_the_mixin_and_so_does_its_admin() -> None:
    """Read-only values of an inline are rendered by the ModelAdmin that it stands in."""

    class Inline(admin.TabularInline):
        model = Patient

    class MaskedInline(MaskedAdminMixin, admin.TabularInline):
        model = Patient

    assert ids(Organization, inlines=(Inline,), base=object) == ["W020", "W020"]
    assert ids(Organization, inlines=(MaskedInline,), base=object) == ["W020"]
    assert ids(Organization, inlines=(MaskedInline,)) == []
