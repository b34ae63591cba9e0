"""Compound blind indexes: two encrypted columns searched together."""

import pytest
from django.core.exceptions import FieldError, ValidationError
from django.db import IntegrityError, connection, transaction
from django.db.models import QuerySet

from django_workos_vault import envelope, vaults
from django_workos_vault.fields import stored_cell
from tests.app.models import Voter

pytestmark = pytest.mark.django_db


def found(surname: str, town: str) -> list[Voter]:
    return list(Voter.objects.filter(surname__surname_and_town=[surname, town]))


@pytest.fixture
def voter() -> Voter:
    Voter.objects.create(surname="Lovelace", town="Paris")
    return Voter.objects.create(surname="Lovelace", town="London")


def test_both_have_to_be_right(voter: Voter) -> None:
    """Only the combination is found; lengths keep apart what would read the same in one string."""
    assert found("Lovelace", "London") == [voter]
    assert found("LovelaceL", "ondon") == found("London", "Lovelace") == []
    with pytest.raises(FieldError, match="surname_and_town"):
        Voter.objects.filter(surname="Lovelace")
    with pytest.raises(ValueError, match="does not take"):
        list(Voter.objects.filter(surname__surname_and_town=["Lovelace"]))


def test_either_column_renews_the_index(voter: Voter) -> None:
    """Saving one of the columns moves the row in the index, whichever it is."""
    loaded = Voter.objects.get(pk=voter.pk)
    loaded.town = "Marylebone"
    loaded.save()
    assert found("Lovelace", "Marylebone") == [voter]
    assert found("Lovelace", "London") == []
    loaded.surname = "Byron"
    loaded.save(update_fields=["surname"])
    assert found("Byron", "Marylebone") == [voter]


def test_untouched_row_is_saved_without_opening(voter: Voter) -> None:
    """Saving what was not assigned opens nothing."""
    loaded = Voter.objects.get(pk=voter.pk)
    with vaults["default"].decryption_forbidden():
        loaded.save()


def test_writes_that_would_leave_the_index_behind_are_refused(voter: Voter) -> None:
    """Where one column is written without the other, the index could not follow."""
    loaded = Voter.objects.get(pk=voter.pk)
    loaded.town = "Marylebone"
    with pytest.raises(FieldError, match="write it too"), transaction.atomic():
        loaded.save(update_fields=["town"])
    with pytest.raises(FieldError, match="write it too"):
        Voter.objects.bulk_update([loaded], ["town"])
    partly = Voter.objects.only("town").get(pk=voter.pk)
    partly.town = "Marylebone"
    with pytest.raises(FieldError, match="write it too"), transaction.atomic():
        partly.save()
    with pytest.raises(FieldError, match="whole row"), transaction.atomic():
        QuerySet(Voter).filter(pk=voter.pk).update(town="Marylebone")
    upsert = Voter(pk=voter.pk, surname="Byron", town="Marylebone")
    unique = None if connection.vendor == "mysql" else ["id"]
    with pytest.raises(FieldError, match="town"), transaction.atomic():
        Voter.objects.bulk_create(
            [upsert], update_conflicts=True, update_fields=["town"], unique_fields=unique
        )
    assert found("Lovelace", "London") == [voter]


def test_bulk_writes_with_the_row_at_hand(voter: Voter) -> None:
    """EncryptedManager's update() and bulk_update() renew the index."""
    Voter.objects.filter(pk=voter.pk).update(town="Marylebone")
    assert found("Lovelace", "Marylebone") == [voter]
    loaded = Voter.objects.get(pk=voter.pk)
    loaded.town = "London"
    Voter.objects.bulk_update([loaded], ["surname", "town"])
    assert found("Lovelace", "London") == [voter]


def test_combination_is_unique(voter: Voter) -> None:
    """A UniqueConstraint holds the combination; a NULL in it equals nothing."""
    with pytest.raises(ValidationError):
        Voter(surname="Lovelace", town="London").full_clean()
    Voter(surname="Lovelace", town="Ockham").full_clean()
    for _ in range(2):
        Voter.objects.create(surname="Lovelace", town=None)
    if connection.vendor != "mysql":
        with pytest.raises(IntegrityError), transaction.atomic():
            Voter.objects.create(surname="Lovelace", town="London")


def test_neither_column_shows_alone(voter: Voter) -> None:
    """Rows with the same surname have unrelated digests."""
    cells = [stored_cell(v, "surname") for v in Voter._base_manager.all()]
    assert len({envelope.parse(cell).digests for cell in cells}) == 2


def test_a_column_that_is_null_is_not_taken_for_assigned() -> None:
    """A row with NULL in one column of the index is saved without opening the other."""
    voter = Voter.objects.create(surname="Lovelace", town=None)
    loaded = Voter.objects.get(pk=voter.pk)
    with vaults["default"].decryption_forbidden():
        loaded.save()
        loaded.save(update_fields=["town"])
    loaded.town = "London"
    loaded.save()
    assert found("Lovelace", "London") == [voter]
    for row in (loaded, Voter.objects.get(pk=voter.pk), Voter.objects.defer("town").get(pk=voter.pk)):
        row.town = None
        with pytest.raises(FieldError, match="write it too"), transaction.atomic():
            row.save(update_fields=["town"])
        row.save()
        assert found("Lovelace", "London") == []
        row.town = "London"
        row.save()
        assert found("Lovelace", "London") == [voter]
