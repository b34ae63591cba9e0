"""Columns move from one vault to another: what was written can be read and found at every moment."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from django_workos_vault import vaults
from django_workos_vault.exceptions import (
    VaultNotFound,
)
from django_workos_vault.maintenance.cells import encrypted_fields
from django_workos_vault.maintenance.engine import runs
from django_workos_vault.models import DataKeyRecord
from django_workos_vault.testing import RunningEmulator, run_emulator
from tests.app.models import Account, Contract, Device, Patient, Person, Resident, Voter
from tests.maintenance.moving import fields_name, local, only, remote, steps, stored
from tests.maintenance.moving_rows import check, clinic, make
from tests.maintenance.reencrypting import cell_of, store

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)
slow = pytest.mark.slow


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


def test_a_deployment_in_two_steps() -> None:
    """Old code that reads the new vault too, beside new code: each finds what the other wrote."""
    old, new = local(1, ALSO_READS=["new"]), local(2, ALSO_READS=["default"])
    with only(default=old, new=new):
        make(Account, 1)
        with fields_name("new", Account):
            make(Account, 2)
            check(Account, range(1, 3))
        check(Account, range(1, 3))
