"""A vault that reads another one's cells: what it takes from there, what not, and how each fails."""

from typing import Any

import pytest

from django_workos_vault import vaults
from django_workos_vault.exceptions import (
    InvalidVaultConfiguration,
    VaultPermissionDenied,
    VaultUnavailable,
    WrongKey,
)
from django_workos_vault.models import DataKeyRecord
from django_workos_vault.testing import RunningEmulator, run_emulator
from tests.app.models import Patient, Person
from tests.maintenance.moving import fields_name, local, only, remote, steps
from tests.maintenance.moving_rows import make
from tests.maintenance.reencrypting import cell_of, store

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)


def test_a_cell_cannot_be_planted_once_the_move_is_over() -> None:
    """What the old vault sealed opens while ALSO_READS names it, and never afterwards."""
    old, new = local(1), local(2)
    with only(default=old):
        planted = cell_of(make(Person, 6))
    with only(default=old, new={**new, "ALSO_READS": ["default"]}), fields_name("new", Person):
        row = make(Person, 7)
        store(row, planted)
        assert Person.objects.get(pk=row.pk).ssn == "6"
    with only(default=old, new=new), fields_name("new", Person):
        with pytest.raises(WrongKey):
            Person.objects.get(pk=row.pk).ssn  # noqa: B018
        assert Person.objects.get(pk=row.pk).notes == "note 7"


def test_nothing_is_sealed_with_a_key_of_the_old_vault() -> None:
    """A record that somebody files under the new vault's name does not make the old one's key seal there."""
    old, new = local(1), local(2, ALSO_READS=["default"])
    with only(default=old, new=new):
        make(Person, 1)
        DataKeyRecord.objects.update(vault="new")
        with fields_name("new", Person):
            assert Person.objects.get().ssn == "1"
            with pytest.raises(WrongKey):
                make(Person, 2)


@pytest.mark.parametrize("down", ["old", "new"])
def test_an_outage_of_one_vault(down: str, vault_emulator: RunningEmulator) -> None:
    """The other's cells are read on, and what cannot be read is called an outage, not damage."""
    with run_emulator() as sandbox:
        old, new = remote(sandbox), remote(vault_emulator, ALSO_READS=["default"])
        with only(default=old):
            before = make(Person, 1)
        with only(default=old, new=new), fields_name("new", Person):
            after = make(Person, 2)
        (sandbox if down == "old" else vault_emulator).faults.fail = 1
        lost, kept = (before, after) if down == "old" else (after, before)
        with only(default=old, new=new), fields_name("new", Person):
            assert Person.objects.get(pk=kept.pk).ssn == ("2" if down == "old" else "1")
            with pytest.raises(VaultUnavailable):
                Person.objects.get(pk=lost.pk).ssn  # noqa: B018


def test_what_the_old_vault_says_of_a_key(vault_emulator: RunningEmulator) -> None:
    """A key that its customer withdrew is not called damaged by the vault that never had it."""
    with run_emulator() as sandbox:
        old, new = remote(sandbox), remote(vault_emulator, ALSO_READS=["default"])
        with only(default=old):
            make(Patient, 1)
        sandbox.revoke("organization_id", "org_1")
        with only(default=old, new=new), fields_name("new", Patient):
            with pytest.raises(WrongKey, match=r"A vault that is read besides.* has been revoked"):
                Patient.objects.get().ssn  # noqa: B018
            *_, last = steps(Patient)
            [left] = last.left
            assert "has been revoked" in left.message
        sandbox.faults.fail, sandbox.faults.fail_status = 1, 403
        settings = only(default=old, new=new)
        with settings, fields_name("new", Patient), pytest.raises(VaultPermissionDenied):
            Patient.objects.get().ssn  # noqa: B018


def test_one_ask_for_a_page(vault_emulator: RunningEmulator) -> None:
    """A page of old cells costs the new vault one refusal a key, and none while the key is in memory."""
    with only(default=local(1)):
        for number in range(5):
            make(Person, number)
    new = remote(vault_emulator, ALSO_READS=["default"])
    with only(default=local(1), new=new), fields_name("new", Person):
        vaults["new"].decrypt_data_keys([])
        for _ in range(3):
            assert len({row.ssn for row in Person.objects.all()}) == 5
        assert vaults["new"].stats().requests == 1
        assert vaults["new"].stats().keys_cached == 0


@pytest.mark.parametrize("also_reads", ["default", ["new"], ["nowhere"], [1]])
def test_what_also_reads_may_be(also_reads: Any) -> None:
    """A list of other vaults' aliases."""
    settings = only(default=local(1), new=local(2, ALSO_READS=also_reads))
    with settings, pytest.raises(InvalidVaultConfiguration, match="ALSO_READS"):
        vaults["new"]
