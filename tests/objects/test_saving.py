"""Saving and deleting rows whose values are in Vault: nothing is lost between the two."""

from typing import Any

import pytest
from django.db import transaction

from django_workos_vault.exceptions import (
    VaultConflict,
)
from django_workos_vault.fields import object_history
from tests.app.models import Contract, Credential, Organization
from tests.objects.rows import column, loaded, names

# ruff: noqa: PT012 - a transaction is rolled back by what is raised in its block


@pytest.mark.django_db(transaction=True)
class TestSaving:
    def test_each_save_makes_a_version(self, vault: Any) -> None:
        """Assigning and saving updates the same object; its versions are listed, newest first."""
        row = Credential.objects.create(token="one")
        for value in ("two", "three"):
            row.token = value
            row.save()
        assert loaded(row).token == "three"
        assert len(names()) == 1
        history = loaded(row).history("token")
        assert [version.current_version for version in history] == [True, False, False]
        assert [version.size for version in history] == [5, 3, 3]
        assert object_history(row, "token") == history

    def test_the_same_value_makes_no_version(self, vault: Any) -> None:
        """Assigning what is there already writes nothing."""
        row = loaded(Credential.objects.create(token={"a": 1}))
        assert row.token == {"a": 1}
        row.token = {"a": 1}
        row.save()
        assert len(row.history("token")) == 1

    def test_changed_in_place(self, vault: Any) -> None:
        """A list that was appended to is saved."""
        row = loaded(Credential.objects.create(token=[1]))
        row.token.append(2)
        row.save()
        assert loaded(row).token == [1, 2]
        assert len(names()) == 1

    def test_type_changes(self, vault: Any) -> None:
        """A str in the place of a dict gets an object of its own, and the old one goes."""
        row = Credential.objects.create(token={"a": 1})
        row.token = '{"a": 1}'
        row.save()
        assert loaded(row).token == '{"a": 1}'
        assert len(names()) == 1

    @pytest.mark.parametrize("atomic", [False, True])
    def test_two_writers(self, vault: Any, atomic: bool) -> None:
        """Of two instances loaded with one version, the second to save gets a conflict; nothing is lost."""
        row = Credential.objects.create(token="one")
        first, second = loaded(row), loaded(row)
        first.token = "first"
        first.save()
        second.token = "second"
        with pytest.raises(VaultConflict, match="refresh_from_db"), transaction.atomic():
            second.save() if atomic else transaction.on_commit(second.save)
        assert loaded(row).token == "first"
        second.refresh_from_db()
        assert second.token == "first"
        second.token = "second"
        second.save()
        assert loaded(row).token == "second"
        assert len(names()) == 1

    def test_a_writer_that_went_past_the_row(self, vault: Any) -> None:
        """A version that something else made in Vault is not overwritten either, until it has been read."""
        row = Credential.objects.create(token="one")
        vault.update_object(column(row).split(":")[0], "elsewhere")
        row = loaded(row)
        row.token = "mine"
        with pytest.raises(VaultConflict):
            row.save()
        row = loaded(row)
        assert row.token == "elsewhere"
        row.token = "mine"
        row.save()
        assert loaded(row).token == "mine"

    def test_an_untouched_value_never_overwrites(self, vault: Any) -> None:
        """Saving another column leaves the reference that another writer has put there meanwhile."""
        row = Credential.objects.create(token="one")
        stale = loaded(row)
        row.token = "two"
        row.save()
        written, stale.name = column(row), "renamed"
        stale.save()
        assert column(row) == written
        assert loaded(row).name == "renamed"
        assert loaded(row).token == "two"

    @pytest.mark.parametrize("value", [None, "other"])
    def test_conflict_with_null(self, vault: Any, value: Any) -> None:
        """Setting to NULL, and over NULL, conflict like any other write."""
        row = Credential.objects.create(token=None if value else "one")
        first, second = loaded(row), loaded(row)
        first.token = "first"
        first.save()
        second.token = value
        with pytest.raises(VaultConflict):
            second.save()
        assert loaded(row).token == "first"

    def test_copy_of_a_row_gets_an_object_of_its_own(self, vault: Any) -> None:
        """Two rows never share an object."""
        row = loaded(Credential.objects.create(token="s3cr3t"))
        original = row.pk
        row.pk, row._state.adding = None, True
        row.save()
        assert len(names()) == 2
        Credential.objects.get(pk=original).delete()
        assert loaded(row).token == "s3cr3t"

    def test_explicit_primary_key(self, vault: Any) -> None:
        """Where Django tries an UPDATE before the INSERT, one object is made, not two."""
        Credential(pk=77, token="s3cr3t").save()
        assert Credential.objects.get(pk=77).token == "s3cr3t"
        assert len(names()) == 1

    def test_bulk_create_and_get_or_create(self, vault: Any) -> None:
        """Each row gets its object."""
        Credential.objects.bulk_create(Credential(token=str(n)) for n in range(3))
        assert sorted(row.token for row in Credential.objects.all()) == ["0", "1", "2"]
        row, _ = Credential.objects.update_or_create(name="x", defaults={"token": "new"})
        row, _ = Credential.objects.update_or_create(name="x", defaults={"token": "newer"})
        assert loaded(row).token == "newer"
        assert len(names()) == 4

    def test_update_fields(self, vault: Any) -> None:
        """What is not named is not written."""
        row = Credential.objects.create(token="one")
        row.token = "two"
        row.save(update_fields=["name"])
        assert loaded(row).token == "one"
        row.save(update_fields=["token"])
        assert loaded(row).token == "two"


@pytest.mark.django_db(transaction=True)
class TestDeleting:
    def test_after_commit(self, vault: Any) -> None:
        """The object goes with the row, and not before the transaction has committed."""
        row = Credential.objects.create(token="s3cr3t")
        with transaction.atomic():
            row.delete()
            assert len(names()) == 1
        assert names() == []

    def test_rolled_back(self, vault: Any) -> None:
        """A deletion that is rolled back deletes nothing."""
        row = Credential.objects.create(token="s3cr3t")
        with pytest.raises(RuntimeError), transaction.atomic():
            Credential.objects.all().delete()
            raise RuntimeError
        assert loaded(row).token == "s3cr3t"

    def test_querysets_and_cascades(self, vault: Any) -> None:
        """So does what a queryset or a cascade deletes."""
        Credential.objects.bulk_create(Credential(token=str(n)) for n in range(3))
        Credential.objects.all().delete()
        acme = Organization.objects.create(name="Acme", workos_id="org_acme")
        Contract.objects.create(organization=acme, terms="x")
        acme.delete()
        assert names() == []

    def test_deferred_and_unsaved(self, vault: Any) -> None:
        """Neither a deferred value nor an unsaved one keeps the object alive."""
        Credential.objects.create(token="a")
        Credential.objects.defer("token").get().delete()
        row = Credential.objects.create(token="b")
        row.token = None
        row.delete()
        assert names() == []

    def test_null(self, vault: Any) -> None:
        """Setting the value to NULL deletes the object after the commit."""
        row = Credential.objects.create(token="s3cr3t")
        row.token = None
        with transaction.atomic():
            row.save()
            assert len(names()) == 1
        assert names() == []
        assert column(row) is None
