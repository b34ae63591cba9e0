"""A value in parts when Vault fails at any request: the old or the new one is read, and nothing is lost."""

import json
from typing import Any

import pytest
from django.db import transaction

from django_workos_vault import vaults
from django_workos_vault.exceptions import VaultError
from django_workos_vault.testing import RunningEmulator
from tests.app.models import Credential
from tests.checked import checked
from tests.objects.rows import column, loaded, names
from tests.objects.test_failures import only
from tests.objects.test_parts import LARGE, LARGER, LOCAL, SMALL, save
from tests.security.test_attacks import our_locals

# ruff: noqa: PT012 - a transaction is rolled back by what is raised in its block

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "other"]),
    pytest.mark.usefixtures("outside_of_checkouts"),
]


def findings() -> list[tuple[str, str]]:
    """Return status and message of what ``vault_check`` says of the field's objects."""
    found = checked(objects=True)["findings"]
    return [(f["status"], f["message"]) for f in found if f["subject"] == "app.Credential.token"]


def delete_orphans() -> None:
    """Do what ``vault_check`` advises."""
    for status, message in findings():
        if message.startswith("No row refers to object"):
            vaults["default"].backend.delete_object(message.split()[5].rstrip(","))
        else:
            assert status == "ok", message


@pytest.mark.slow
@pytest.mark.parametrize("atomic", [False, True])
@pytest.mark.parametrize(
    ("before", "after"), [(None, LARGE), (LARGE, LARGER), (SMALL, LARGE), (LARGE, SMALL), (LARGE, None)]
)
def test_vault_fails_at_each_request(remote: RunningEmulator, before: Any, after: Any, atomic: bool) -> None:
    """Whichever request of a save is the first to fail, the row reads old or new; all orphans are found."""
    row = Credential.objects.create(token=before)
    healthy, error = 0, None
    while healthy == 0 or error is not None:
        again = loaded(row)
        again.token = after
        error = None
        with only(remote, healthy):
            try:
                save(again, atomic)
            except VaultError as exc:
                error = exc
        assert error is None or "aaaa" not in our_locals(error)
        vaults["default"].backend.forget_outage()
        assert loaded(row).token in ((before,) if atomic and error is not None else (before, after))
        delete_orphans()
        assert loaded(row).token in (before, after)
        if loaded(row).token == after:
            with transaction.atomic():  # back, for the next request
                back = loaded(row)
                _ = back.token
                back.token = before
                back.save()
        healthy += 1
    assert healthy > 1 or after is None
    delete_orphans()
    loaded(row).delete()
    assert names() == []


def test_a_deletion_that_fails_leaves_orphans_alone(remote: RunningEmulator, caplog: Any) -> None:
    """The row is gone; whatever of its objects is left is found by name."""
    for healthy in range(6):
        row = Credential.objects.create(token=LARGE)
        with only(remote, healthy):
            row.delete()
        vaults["default"].backend.forget_outage()
        delete_orphans()
        assert names() == []
    assert "could not be deleted (VaultRateLimited)" in caplog.text


@LOCAL
def test_vault_check(vault: Any) -> None:
    """Parts are no orphans as long as a row is read from them; parts that are gone are the row's problem."""
    row = Credential.objects.create(token=LARGE)
    assert findings() == [("ok", "1 objects, and a row for each. 2 parts of large values.")]
    with pytest.raises(RuntimeError), transaction.atomic():
        row.token = LARGER
        row.save()
        raise RuntimeError
    ((status, message),) = findings()
    assert (status, message[:49]) == ("ok", "2 objects, and a row for each. 5 parts of large v")
    row = Credential.objects.create(token=LARGER)
    whole = column(row).split(":")[0]
    manifest = vault.read_object(whole).value
    vault.delete_object(json.loads(manifest)["parts"][0]["id"])
    assert (
        "problem",
        f"Row {row.pk}: 1 of 3 parts of its object {whole} are gone from Vault.",
    ) in findings()
    vault.update_object(whole, "s3cr3t")
    ((status, message),) = findings()
    assert status == "problem"
    assert "are not to be known" in message
    assert "s3cr3t" not in message
