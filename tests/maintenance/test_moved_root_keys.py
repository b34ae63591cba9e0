"""Columns with blind indexes move: the digests of both vaults are made with one root key."""

from datetime import UTC, datetime
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings

from django_workos_vault import vaults
from django_workos_vault.exceptions import (
    AccessNotRecorded,
    EnvelopeError,
    InvalidVaultConfiguration,
    WrongKey,
)
from django_workos_vault.models import IndexKeyRecord
from django_workos_vault.testing import RunningEmulator
from tests.app.models import Account, Voter
from tests.maintenance.moving import fields_name, local, only
from tests.maintenance.moving_rows import check, make

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)


def test_a_carried_root_key_is_the_vaults_own(vault_emulator: RunningEmulator) -> None:
    """It is sealed under a key of the new vault; who changes the record makes no other key of it."""
    old, new = local(1), local(2, ALSO_READS=["default"])
    with only(default=old, new=new):
        first = vaults["default"].index_keys.key(1, b"x")
        assert vaults["new"].index_keys.key(1, b"x") == first
        assert IndexKeyRecord.objects.get(vault="new").carried
    with only(new=local(2)):
        assert vaults["new"].index_keys.key(1, b"x") == first
        record = IndexKeyRecord.objects.get(vault="new")
        changed = bytes(record.carried[:-1]) + bytes([record.carried[-1] ^ 1])
        IndexKeyRecord.objects.filter(pk=record.pk).update(carried=changed)
        vaults.reset()
        with pytest.raises(EnvelopeError):
            vaults["new"].index_keys.key(1, b"x")
        IndexKeyRecord.objects.filter(pk=record.pk).update(carried=None)
        vaults.reset()
        with pytest.raises(WrongKey):
            vaults["new"].index_keys.key(1, b"x")


@pytest.mark.parametrize("is_configured", [True, False])
def test_no_second_root_key_for_digests_that_are_there(is_configured: bool) -> None:
    """The new vault does not read the old one, or no longer does: a search is refused, and misses nothing."""
    old, new = local(1), local(2)
    with only(default=old):
        make(Account, 1)
        make(Voter, 1)
    with only(default=old if is_configured else local(9), new=new), fields_name("new", Account, Voter):
        for ask in (
            lambda: Account.objects.filter(login="User1").count(),
            lambda: Account.objects.filter(login__iexact="USER1").exists(),
            lambda: Account.objects.filter(city="Lyon").count(),
            lambda: Account.objects.create(email="1@x.org"),
            lambda: Account(email="1@x.org").full_clean(),
            lambda: Account.objects.update(email="1@x.org"),
            lambda: Voter.objects.filter(surname__surname_and_town=["Doe 1", "Lyon"]).exists(),
            lambda: Voter.objects.create(surname="Doe 1", town="Lyon"),
        ):
            with pytest.raises(InvalidVaultConfiguration, match="Name that vault in ALSO_READS of 'new'"):
                ask()
        assert not IndexKeyRecord.objects.filter(vault="new").exists()
    with only(default=old, new={**new, "ALSO_READS": ["default"]}), fields_name("new", Account, Voter):
        check(Account, range(1, 2))
        check(Voter, range(1, 2))


def test_vaults_that_have_nothing_to_do_with_each_other_have_root_keys_of_their_own() -> None:
    """Two vaults of one project, each with columns of its own, one of which had no index before."""
    with only(default=local(1), new=local(2)):
        make(Account, 1)
        with fields_name("new", Voter):
            bare = Voter.objects.create(surname=None, town="Lyon")
            Voter.objects.create(surname="Doe 2", town="Lyon")
            assert Voter.objects.filter(surname__surname_and_town=["Doe 2", "Lyon"]).count() == 1
            assert Voter.objects.get(pk=bare.pk).surname is None
        assert {each.vault for each in IndexKeyRecord.objects.all()} == {"default", "new"}


@pytest.mark.parametrize("how", [{}, {"dry_run": True}, {"plan": True}])
def test_vaults_that_name_each_other_and_have_no_root_key(how: dict[str, bool]) -> None:
    """Columns with blind indexes and no rows yet: there is nothing to move, and the command says so."""
    with only(default=local(1, ALSO_READS=["new"]), new=local(2, ALSO_READS=["default"])):
        assert not vaults["new"].index_keys.exists(1)
        with fields_name("new", Account):
            move = {"operation": "move", "from_vault": "default"}
            call_command("vault_reencrypt", "app.Account", stdout=StringIO(), **move, **how)


def test_the_chain_of_access_records_goes_on_under_the_new_vault() -> None:
    """By its record vault's name alone, while it reads the old one; without that, no other chain is begun."""
    old, new = local(1), local(2)
    with only(default=old), vaults["default"].justified("ticket 1"):
        pass
    with override_settings(WORKOS_VAULT_ADMIN={"RECORD_VAULT": "new"}):
        with only(new=new):
            with pytest.raises(AccessNotRecorded), vaults["new"].justified("ticket 2"):
                pass
            with pytest.raises(InvalidVaultConfiguration, match="key of vault 'default'"):
                vaults.access_records().verify()
            with pytest.raises(CommandError, match="Nothing was pruned: The access records are chained"):
                call_command("vault_access_records", prune=True, before=datetime.now(UTC))
            assert not IndexKeyRecord.objects.filter(vault="new").exists()
        with only(default=old, new={**new, "ALSO_READS": ["default"]}), vaults["new"].justified("ticket 2"):
            pass
        with only(new=new):
            with vaults["new"].justified("ticket 3"):
                pass
            verified = vaults.access_records().verify()
            assert (verified.last, verified.found) == (3, None)
