"""Pages of packages that keep histories show masks, under the masked admin."""

from datetime import date
from typing import Any

import pytest
from django.contrib import admin
from django.db import connection
from django.test import Client
from reversion.models import Version

from django_workos_vault.fields import stored_cell
from django_workos_vault.masks import FULL
from tests.companions.models import Letter, Memo

pytestmark = [
    pytest.mark.django_db,
    # What Django 6.1 says of django-simple-history 3.13.
    pytest.mark.filterwarnings(r"ignore:Calling select_related\(\) with no arguments"),
]
OLD = {"ssn": "123-45-6789", "number": 1700000017, "written": date(1971, 7, 17)}
NEW = {"ssn": "987-65-4321", "number": 1600000016, "written": date(1966, 6, 16)}
SECRETS = [str(value) for values in (OLD, NEW) for value in values.values()]


def page(client: Client, url: str, **posted: Any) -> str:
    """A page without any plaintext in it, however Django writes dates."""
    response = client.post(url, posted, follow=True) if posted else client.get(url, follow=True)
    assert response.status_code == 200
    html = response.content.decode()
    assert not [secret for secret in (*SECRETS, "July 17", "June 16", "1971", "1966") if secret in html]
    return html


@pytest.fixture
def letter() -> Letter:
    letter = Letter.objects.create(title="Dear", **OLD)
    for name, value in NEW.items():
        setattr(letter, name, value)
    letter.save()
    return letter


def test_simple_history_shows_masks(admin_client: Client, letter: Letter) -> None:
    """Its list of changes, with columns of encrypted fields, and its form of an old version."""
    html = page(admin_client, f"/admin/companions/letter/{letter.pk}/history/")
    assert "•••• 6789" in html
    assert "•••• 4321" in html
    assert html.count(FULL) >= 6
    for version in letter.history.all():
        html = page(admin_client, f"/admin/companions/letter/{letter.pk}/history/{version.pk}/")
        assert 'placeholder="•••• ' in html
        assert FULL in html


@pytest.mark.parametrize("readonly", [("ssn", "number", "written"), ("number",)])
def test_read_only_fields_of_an_old_version_are_masked(
    admin_client: Client, letter: Letter, readonly: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That page is not rendered by the view that Django's admin renders its own with."""
    monkeypatch.setattr(admin.site._registry[Letter], "readonly_fields", readonly)
    for version in letter.history.all():
        html = page(admin_client, f"/admin/companions/letter/{letter.pk}/history/{version.pk}/")
        assert FULL in html


def test_simple_history_reverts_to_what_it_masked(admin_client: Client, letter: Letter) -> None:
    """Blank inputs on the page of an old version keep that version's values."""
    old = letter.history.last()
    url = f"/admin/companions/letter/{letter.pk}/history/{old.pk}/"
    page(admin_client, url, title="Dear", ssn="", number="", written="")
    letter = Letter.objects.get()
    assert {name: getattr(letter, name) for name in OLD} == OLD


def test_a_history_with_a_broken_cell_is_shown(admin_client: Client, letter: Letter) -> None:
    """A cell that cannot be opened is marked in the list; its version has no page of its own then."""
    old = letter.history.last()
    cell = stored_cell(old, "ssn")
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE companions_historicalletter SET ssn = %s WHERE history_id = %s",
            [cell[:-1] + bytes([cell[-1] ^ 1]), old.pk],
        )
    html = page(admin_client, f"/admin/companions/letter/{letter.pk}/history/")
    assert "cannot be opened" in html
    assert "•••• 4321" in html
    html = page(admin_client, f"/admin/companions/letter/{letter.pk}/history/{old.pk}/")
    assert "A stored value of this row cannot be opened" in html


def memo(client: Client) -> Memo:
    """A memo with two versions, written through the admin."""
    posted = {name: str(value) for name, value in OLD.items()}
    page(client, "/admin/companions/memo/add/", title="Hi", **posted)
    made = Memo.objects.get()
    posted = {name: str(value) for name, value in NEW.items()}
    page(client, f"/admin/companions/memo/{made.pk}/change/", title="Hi", **posted)
    return made


def test_reversion_shows_masks(admin_client: Client) -> None:
    """Its history and its form of an old version."""
    made = memo(admin_client)
    page(admin_client, f"/admin/companions/memo/{made.pk}/history/")
    versions = Version.objects.get_for_object(made)
    assert len(versions) == 2
    for version in versions:
        assert not [secret for secret in SECRETS if secret in version.serialized_data]
        html = page(admin_client, f"/admin/companions/memo/{made.pk}/history/{version.pk}/")
        assert 'placeholder="•••• ' in html
        assert FULL in html


def test_reversion_reverts_to_what_it_masked(admin_client: Client) -> None:
    """Blank inputs on the page of an old version keep that version's values."""
    made = memo(admin_client)
    version = Version.objects.get_for_object(made).last()
    url = f"/admin/companions/memo/{made.pk}/history/{version.pk}/"
    page(admin_client, url, title="Hi", ssn="", number="", written="")
    row = Memo.objects.get()
    assert {name: getattr(row, name) for name in OLD} == OLD


def test_reversion_recovers_what_was_deleted(admin_client: Client) -> None:
    """The list of deleted rows and the form that recovers one are masked, and recover the values."""
    made = memo(admin_client)
    page(admin_client, f"/admin/companions/memo/{made.pk}/delete/", post="yes")
    assert not Memo.objects.exists()
    page(admin_client, "/admin/companions/memo/recover/")
    version = Version.objects.get_deleted(Memo).get()
    url = f"/admin/companions/memo/recover/{version.pk}/"
    assert FULL in page(admin_client, url)
    page(admin_client, url, title="Hi", ssn="", number="", written="")
    row = Memo.objects.get()
    assert {name: getattr(row, name) for name in NEW} == NEW
