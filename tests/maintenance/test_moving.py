"""Columns move from one vault to another: what was written can be read and found at every moment."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.db.models import OuterRef

from django_workos_vault import vaults
from django_workos_vault.exceptions import (
    EnvelopeError,
    InvalidVaultConfiguration,
    VaultNotFound,
    VaultPermissionDenied,
    VaultUnavailable,
    WrongKey,
)
from django_workos_vault.maintenance.cells import encrypted_fields
from django_workos_vault.maintenance.engine import runs
from django_workos_vault.models import DataKeyRecord, IndexKeyRecord
from django_workos_vault.testing import RunningEmulator, run_emulator
from tests.app.models import Account, Contract, Device, Organization, Patient, Person, Resident, Voter
from tests.maintenance.moving import fields_name, local, only, remote, steps, stored
from tests.maintenance.reencrypting import cell_of, store

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)
slow = pytest.mark.slow


def clinic() -> Organization:
    return Organization.objects.get_or_create(name="clinic", workos_id="org_1")[0]


def make(model: Any, number: int) -> Any:
    """Return a saved row; the values of each number are others."""
    values: dict[Any, dict[str, Any]] = {
        Person: {"ssn": f"{number}", "notes": f"note {number}"},
        Patient: {"organization": clinic(), "ssn": f"{number}"},
        Device: {"organization": clinic(), "pin": f"{number}"},
        Account: {"email": f"{number}@x.org", "login": f"User{number}", "phone": f"{number}", "city": "Lyon"},
        Voter: {"surname": f"Doe {number}", "town": "Lyon"},
        Resident: {"organization": clinic(), "town": f"Lyon {number}", "street": f"Rue {number}"},
    }
    return model.objects.create(**values[model])


def refused(model: Any, **values: Any) -> None:
    """The database keeps a second row with these values out, where it has indexes over expressions."""
    if connection.features.supports_expression_indexes:
        with pytest.raises(IntegrityError), transaction.atomic():
            model.objects.create(**values)


def check(model: Any, numbers: range) -> None:
    """Every row is read, found by everything that it can be searched by, and kept apart."""
    vaults.reset()
    rows = {
        pk: number for number, pk in zip(numbers, model.objects.order_by("pk").values_list("pk"), strict=True)
    }
    assert len(rows) == len(numbers)
    for number in numbers:
        if model is Person:
            assert {(row.ssn, row.notes) for row in Person.objects.all()} >= {(f"{number}", f"note {number}")}
        elif model in (Patient, Device):
            name = "ssn" if model is Patient else "pin"
            assert f"{number}" in {getattr(row, name) for row in model.objects.all()}
        elif model is Account:
            for search in (
                {"email": f"{number}@X.ORG"},
                {"login": f"User{number}"},
                {"login__iexact": f"uSER{number}"},
                {"login__in": [f"User{number}", "nobody"]},
                {"phone__digits": f"{number}"},
            ):
                assert Account.objects.get(**search).login == f"User{number}"
            with pytest.raises(ValidationError):
                Account(email=f"{number}@x.org").full_clean()
            refused(Account, email=f"{number}@x.org")
        elif model is Voter:
            assert (
                Voter.objects.get(surname__surname_and_town=[f"Doe {number}", "Lyon"]).surname
                == f"Doe {number}"
            )
            refused(Voter, surname=f"Doe {number}", town="Lyon")
        else:
            assert Resident.objects.get(town=f"Lyon {number}").street == f"Rue {number}"
    if model is Account:
        assert Account.objects.filter(city="Lyon").count() == len(numbers)
        same = Account.objects.filter(login=OuterRef("login"))
        assert Account.objects.filter(pk__in=same.values("pk")).count() in (0, len(numbers))


KEPT = ["inline", "reference"]
CASES = [
    # All of them where digests, and rows, matter; of the others the rest runs with the slow tests.
    pytest.param(model, before, after, marks=[] if before == after or model in (Account, Device) else slow)
    for model in (Person, Patient, Device, Account, Voter, Resident)
    for before in KEPT
    for after in KEPT
]


@pytest.mark.parametrize(("model", "before", "after"), CASES)
def test_nothing_is_lost_or_missed(model: Any, before: str, after: str) -> None:
    """Before, while both vaults' cells stand side by side, row by row, and when the old vault is gone."""
    old, new = local(1, **stored(before)), local(2, **stored(after))
    with only(default=old):
        for number in range(3):
            make(model, number)
        check(model, range(3))
    with only(default=old, new={**new, "ALSO_READS": ["default"]}), fields_name("new", model):
        check(model, range(3))
        make(model, 3)
        check(model, range(4))
        for _ in steps(model):
            check(model, range(4))
        assert sum(each.kept for each in steps_done(model)) >= 4
    with only(default=local(9), new=new), fields_name("new", model):
        check(model, range(4))
        make(model, 4)
        check(model, range(5))


def steps_done(model: Any) -> Any:
    """Go through all rows once more, and return what was counted: nothing is left to move."""
    *_, last = steps(model)
    assert not any(each.renewed or each.left for each in last.counts.values())
    return last.counts.values()


@pytest.mark.parametrize("start", ["local", "sandbox"])
def test_into_vault(start: str, vault_emulator: RunningEmulator) -> None:
    """From a local vault to WorkOS, and from the sandbox to production, by the command."""
    with run_emulator() as sandbox:
        old = local(1) if start == "local" else remote(sandbox)
        new = remote(vault_emulator)
        with only(default=old):
            for number in range(3):
                make(Account, number)
        both = {"default": old, "new": {**new, "ALSO_READS": ["default"]}}
        with only(**both), fields_name("new", Account):
            out = StringIO()
            call_command("vault_reencrypt", "app.Account", operation="move", from_vault="default", stdout=out)
            check(Account, range(3))
            call_command(
                "vault_reencrypt",
                "app.Account",
                operation="move",
                from_vault="default",
                dry_run=True,
                stdout=out,
            )
        with only(default=local(9), new=new), fields_name("new", Account):
            check(Account, range(3))


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


def test_a_plan_tells_whose_cells_they_are() -> None:
    """By the vault that has each key on record; each old key is asked for twice."""
    with only(default=local(1), new=local(2, ALSO_READS=["default"])):
        for number in range(3):
            make(Patient, number)
        with fields_name("new", Patient):
            make(Patient, 3)
            out = StringIO()
            move = {"operation": "move", "from_vault": "default", "plan": True, "format": "json"}
            call_command("vault_reencrypt", "app.Patient", stdout=out, **move)
            plan = json.loads(out.getvalue())
            assert plan["columns"][0]["states"]["vault"] == {"default": 3, "new": 1}
            assert plan["requests"] == 2 + 1 + 1
            DataKeyRecord.objects.filter(vault="default").delete()
            out = StringIO()
            call_command("vault_reencrypt", "app.Patient", stdout=out, **move)
            assert json.loads(out.getvalue())["columns"][0]["states"]["vault"] == {
                "not on record": 3,
                "new": 1,
            }


def test_objects_stay_and_are_assigned_anew(vault_emulator: RunningEmulator) -> None:
    """The error says where to look, and what the page on moving has for it takes the values along."""
    field: Any = Contract._meta.get_field("terms")
    with run_emulator() as sandbox:
        old, new = remote(sandbox), remote(vault_emulator, ALSO_READS=["default"])
        with only(default=old):
            contract = Contract.objects.create(organization=clinic(), terms="forever")
        field.vault_alias = "new"
        field.forget_place()
        try:
            with only(default=old, new=new):
                with pytest.raises(VaultNotFound, match="--explain moving"):
                    Contract.objects.get().terms  # noqa: B018
                page = (Path(__file__).parents[2] / "docs" / "moving.md").read_text()
                code = page.partition("## Objects in Vault")[2].split("```python\n")[2].partition("```")[0]
                exec(code.replace("from clinic.models import SignedTerms\n", ""), {"SignedTerms": Contract})
                assert not list(vaults["default"].iter_objects())
            with only(default=local(9), new=new):
                assert Contract.objects.get(pk=contract.pk).terms == "forever"
        finally:
            field.vault_alias = "default"
            field.forget_place()


def test_a_damaged_cell_is_left_and_told() -> None:
    """What neither vault opens stays as it is, with its key and the reason; its neighbours move."""
    old, new = local(1), local(2, ALSO_READS=["default"])
    with only(default=old):
        rows = [make(Patient, number) for number in range(3)]
    with only(odd=local(8)), fields_name("odd", Patient):
        stray = make(Patient, 9)
        store(rows[1], cell_of(stray))
        stray.delete()
    with only(default=old, new=new), fields_name("new", Patient):
        broken = cell_of(rows[1])
        *_, last = steps(Patient)
        assert [(cell.pk, cell.reason) for cell in last.left] == [(rows[1].pk, "WrongKey")]
        assert last.counts["ssn"].renewed == 2
        assert cell_of(rows[1]) == broken


def test_what_cannot_finish_is_one_line() -> None:
    """No vault, fields that were not changed, a vault that does not read the other, other root keys."""

    def refused(*arguments: str, **options: Any) -> str:
        with pytest.raises(CommandError) as caught:
            call_command("vault_reencrypt", *arguments, operation="move", **options)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    with only(default=local(1), new=local(2)):
        assert "go together" in refused("app.Account")
        assert "no vault 'nowhere'" in refused("app.Account", from_vault="nowhere")
        assert "still names vault 'default'" in refused("app.Account", from_vault="default")
        make(Account, 1)
        with fields_name("new", Account):
            assert "name 'default' in its ALSO_READS" in refused("app.Account", from_vault="default")
            vaults["new"].index_keys.key(1, b"of other columns")
    with only(default=local(1), new=local(2, ALSO_READS=["default"])), fields_name("new", Account):
        assert "different root keys of version 1" in refused("app.Account", from_vault="default")


@pytest.mark.parametrize("is_configured", [True, False])
def test_a_run_is_not_resumed_without_the_old_vault(is_configured: bool) -> None:
    """Where the settings lost it meanwhile, the run stays paused, and goes on when it is back."""
    old, new = local(1), local(2, ALSO_READS=["default"])
    with only(default=old):
        make(Account, 1)
    with only(default=old, new=new), fields_name("new", Account):
        run = runs.begin(
            encrypted_fields(Account), "move", using="default", options={"from_vault": "default"}
        )
        runs.pause(run, "for lunch")
    without = {"default": old, "new": local(2)} if is_configured else {"new": local(2)}
    with only(**without), fields_name("new", Account):
        with pytest.raises(CommandError, match=r"ALSO_READS" if is_configured else "no vault 'default'"):
            call_command("vault_reencrypt", resume=run.pk)
        run.refresh_from_db()
        assert (run.state, run.reason) == ("paused", "for lunch")
    with only(default=old, new=new), fields_name("new", Account):
        call_command("vault_reencrypt", resume=run.pk, stdout=StringIO())
        check(Account, range(1, 2))


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


def test_a_deployment_in_two_steps() -> None:
    """Old code that reads the new vault too, beside new code: each finds what the other wrote."""
    old, new = local(1, ALSO_READS=["new"]), local(2, ALSO_READS=["default"])
    with only(default=old, new=new):
        make(Account, 1)
        with fields_name("new", Account):
            make(Account, 2)
            check(Account, range(1, 3))
        check(Account, range(1, 3))


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


@pytest.mark.parametrize("also_reads", ["default", ["new"], ["nowhere"], [1]])
def test_what_also_reads_may_be(also_reads: Any) -> None:
    """A list of other vaults' aliases."""
    settings = only(default=local(1), new=local(2, ALSO_READS=also_reads))
    with settings, pytest.raises(InvalidVaultConfiguration, match="ALSO_READS"):
        vaults["new"]
