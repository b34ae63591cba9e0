"""``vault_check`` over objects: leftovers are found, and rows whose object is gone."""

from typing import Any

import pytest
from django.db import transaction

from tests.app.models import Credential
from tests.checked import checked
from tests.objects.rows import column
from tests.objects.test_references import UUIDS, put

# ruff: noqa: PT012 - a transaction is rolled back by what is raised in its block


@pytest.mark.django_db(transaction=True, databases=["default", "other"])
@pytest.mark.usefixtures("outside_of_checkouts")
class TestVaultCheck:
    def findings(self) -> list[tuple[str, str]]:
        report = checked(objects=True)
        assert "s3cr3t" not in str(report)
        mine = [f for f in report["findings"] if f["subject"] == "app.Credential.token"]
        return [(f["status"], f["message"]) for f in mine]

    def test_sound(self, vault: Any) -> None:
        """As many objects as rows; NULL needs none."""
        Credential.objects.create(token="s3cr3t")
        Credential.objects.create(token=None)
        assert self.findings() == [("ok", "1 objects, and a row for each.")]

    def test_orphans_and_rows_whose_object_is_gone(self, vault: Any) -> None:
        """A rollback's leftover is found by its name, and a row without its object by its primary key."""
        row = Credential.objects.create(token="s3cr3t")
        with pytest.raises(RuntimeError), transaction.atomic():
            Credential.objects.create(token="s3cr3t")
            raise RuntimeError
        vault.create_object("app.Credential.tokens", "s3cr3t", {"app": "tests"})
        vault.delete_object(column(row).split(":")[0])
        gone, orphan = self.findings()
        assert gone == (
            "problem",
            f"Row {row.pk}: its object {column(row).split(':')[0]} is gone from Vault.",
        )
        assert orphan[0] == "problem"
        assert "named app.Credential.token/" in orphan[1]

    def test_rolled_back_update(self, vault: Any) -> None:
        """What was kept for a row is no orphan while the row is read from it; later it is."""
        row = Credential.objects.create(token="s3cr3t")
        with pytest.raises(RuntimeError), transaction.atomic():
            row.token = "new"
            row.save()
            raise RuntimeError
        assert self.findings() == [
            ("ok", "2 objects, and a row for each. 1 rows are read from what was kept for a rollback.")
        ]
        Credential.objects.update(token=None)
        assert [status for status, _ in self.findings()] == ["problem", "problem"]

    @pytest.mark.parametrize("text", ["x", UUIDS, "copy"])
    def test_a_reference_that_is_not_the_rows(self, vault: Any, text: str) -> None:
        """It names each row whose reference is not its own, and looks at the others."""
        rows = [Credential.objects.create(token="s3cr3t") for _ in range(3)]
        gone = column(rows[1])
        put(rows[1], column(rows[2]) if text == "copy" else text)
        vault.delete_object(gone.split(":")[0])
        mine = self.findings()
        (status, first), *_ = mine
        assert status == "problem"
        assert first.startswith(f"Row {rows[1].pk}: ")
        assert all(f"Row {rows[1].pk}:" in told or "Another row" in told for _, told in mine)
