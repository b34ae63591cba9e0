"""A row and its object when a transaction is rolled back, or Vault fails between the two."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.core.exceptions import FieldError, ValidationError
from django.db import DatabaseError, connection, transaction
from django.db.models.signals import post_save

from django_workos_vault import vaults
from django_workos_vault.exceptions import (
    VaultConflict,
    VaultNotFound,
    VaultRateLimited,
    VaultUnavailable,
)
from django_workos_vault.testing import RunningEmulator
from tests.app.models import Credential
from tests.objects.rows import column, loaded, names
from tests.security.test_attacks import our_locals

# ruff: noqa: PT012 - a transaction is rolled back by what is raised in its block


@contextmanager
def only(emulator: RunningEmulator, requests: int) -> Iterator[None]:
    """Let so many requests through, and refuse what comes then."""
    emulator.faults._windows.clear()
    emulator.faults.rate_limit = requests
    try:
        yield
    finally:
        emulator.faults.rate_limit = None


@pytest.mark.django_db(transaction=True)
class TestFaults:
    def test_create_rolled_back(self, vault: Any) -> None:
        """The object is there, no row is, and its name tells where it belongs."""
        with pytest.raises(RuntimeError), transaction.atomic():
            Credential.objects.create(token="s3cr3t")
            raise RuntimeError
        assert not Credential.objects.exists()
        assert [name.partition("/")[0] for name in names()] == ["app.Credential.token"]

    def test_update_rolled_back(self, vault: Any) -> None:
        """The row still reads as before, also for others, and the next writer goes on from there."""
        row = Credential.objects.create(token="old")
        with pytest.raises(RuntimeError), transaction.atomic():
            row.token = "new"
            row.save()
            assert loaded(row).token == "new"
            raise RuntimeError
        assert loaded(row).token == "old"
        again = loaded(row)
        with transaction.atomic():
            again.token = "newest"
            again.save()
        assert loaded(row).token == "newest"
        assert len(names()) == 1

    def test_rolled_back_twice_and_tried_again_with_the_same_instance(self, vault: Any) -> None:
        """An instance whose transaction was rolled back can be saved again, as with any other field."""
        row = Credential.objects.create(token="old")
        row.token = "new"
        for _ in range(2):
            with pytest.raises(RuntimeError), transaction.atomic():
                row.save()
                raise RuntimeError
            assert loaded(row).token == "old"
        with transaction.atomic():
            row.save()
        assert loaded(row).token == "new"
        assert len(names()) == 1

    def test_savepoint_rolled_back(self, vault: Any) -> None:
        """A savepoint that is rolled back takes its value with it, and not the one before."""
        row = Credential.objects.create(token="one")
        with transaction.atomic():
            row.token = "two"
            row.save()
            inner = loaded(row)
            with pytest.raises(RuntimeError), transaction.atomic():
                inner.token = "three"
                inner.save()
                raise RuntimeError
            assert loaded(row).token == "two"
        assert loaded(row).token == "two"

    def test_without_a_transaction_a_version_taken_stands(self, vault: Any) -> None:
        """When the row cannot be written after Vault took the value, the value stands and can be replaced."""
        row = Credential.objects.create(token="old")
        row.token, row.name = "new", "x" * 51 if connection.vendor != "sqlite" else None
        with pytest.raises(DatabaseError):
            row.save()
        assert loaded(row).token == "new"
        row.name = "y"
        row.save()
        assert loaded(row).token == "new"
        again = loaded(row)
        again.token = "newest"
        again.save()
        assert loaded(row).token == "newest"

    def test_fault_after_the_row_was_written(self, vault: Any) -> None:
        """An exception from a post_save receiver inside a transaction undoes the save in both places."""
        row = Credential.objects.create(token="old")

        def fail(**kwargs: Any) -> None:
            raise RuntimeError

        post_save.connect(fail, sender=Credential)
        try:
            with pytest.raises(RuntimeError), transaction.atomic():
                row.token = "new"
                row.save()
        finally:
            post_save.disconnect(fail, sender=Credential)
        assert loaded(row).token == "old"

    def test_vault_fails_at_each_step(self, remote: RunningEmulator) -> None:
        """Whichever request of an update fails, the row reads as before and the save can be tried again."""
        for healthy in range(3):  # read, keep, update
            row = Credential.objects.create(token="old")
            row = loaded(row)
            row.token = "new"
            with pytest.raises(VaultRateLimited), transaction.atomic(), only(remote, healthy):
                row.save()
            vaults["default"].backend.forget_outage()
            assert loaded(row).token == "old"
            with transaction.atomic():
                row.save()
            assert loaded(row).token == "new"
        assert len(names()) == 3

    def test_vault_fails_while_tidying_up(self, remote: RunningEmulator, caplog: Any) -> None:
        """What cannot be deleted after the commit is told to the log, and the save stands."""
        row = Credential.objects.create(token="old")
        row.token = "new"
        with transaction.atomic():
            row.save()
            remote.faults.fail = 1
        remote.faults.fail = 0
        vaults["default"].backend.forget_outage()
        assert "could not be deleted (VaultUnavailable)" in caplog.text
        assert loaded(row).token == "new"
        assert len(names()) == 2

    def test_object_gone(self, vault: Any) -> None:
        """Reading says so; assigning a value gives the row a new object."""
        row = Credential.objects.create(token="old")
        vault.delete_object(column(row).split(":")[0])
        row = loaded(row)
        with pytest.raises(VaultNotFound, match="vault_check"):
            _ = row.token
        row.token = "new"
        row.save()
        assert loaded(row).token == "new"

    @pytest.mark.parametrize("value", ["s3cr3t", {"s3cr3t": 1}])
    def test_error_reports_hold_no_value(self, vault: Any, value: Any) -> None:
        """The locals of our frames, which error reports show, do not hold what could not be stored."""
        row = Credential.objects.create(token="one")
        first, second = loaded(row), loaded(row)
        first.token = value
        first.save()
        second.token = value
        for failing in (
            second.save,
            Credential(token=[value, object()]).save,
            Credential(token="s3cr3t" * 20 * 1024 * 1024).full_clean,
            lambda: Credential.objects.update(token="s3cr3t"),
        ):
            with pytest.raises((VaultConflict, ValidationError, FieldError)) as caught:
                failing()
            assert "s3cr3t" not in our_locals(caught.value)

    def test_outage(self, remote: RunningEmulator) -> None:
        """An outage while a value is stored leaves none of it in our frames either."""
        remote.faults.fail = 1
        with pytest.raises(VaultUnavailable) as caught:
            Credential(token="s3cr3t").save()
        assert "s3cr3t" not in our_locals(caught.value)
