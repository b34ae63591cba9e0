"""A damaged cell that another column's compound index goes with: a fault of its row, and of no other."""

import json
from contextlib import suppress
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from django_workos_vault import vaults
from django_workos_vault.exceptions import EnvelopeError
from django_workos_vault.fields import stored_cell
from tests.app.models import Voter

pytestmark = [pytest.mark.django_db(databases="__all__"), pytest.mark.usefixtures("outside_of_checkouts")]


@pytest.fixture(params=["surname", "town"])
def column(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[b"\x01", b""], ids=["cut", "empty"])
def bad(request: pytest.FixtureRequest, column: str) -> int:
    voters = [Voter.objects.create(surname=f"Byron {n}", town=f"London {n}") for n in range(3)]
    with connection.cursor() as cursor:
        cell = connection.Database.Binary(request.param)
        cursor.execute(f"UPDATE app_voter SET {column} = %s WHERE id = %s", [cell, voters[1].pk])
    return voters[1].pk


def run(command: str, *args: str, **options: Any) -> Any:
    out = StringIO()
    with suppress(CommandError):
        call_command(command, *args, stdout=out, format="json", **options)
    return json.loads(out.getvalue())


@pytest.mark.parametrize("target", ["app.Voter", "app.Voter.surname", "app.Voter.town"])
@pytest.mark.parametrize("options", [{}, {"rekey": True}, {"dry_run": True}], ids=str)
def test_reencryption(bad: int, column: str, target: str, options: dict[str, Any]) -> None:
    """Every other row is renewed, and the bad row's cells that cannot be are named."""
    before = bytes(stored_cell(Voter.objects.get(pk=bad), column))
    report = run("vault_reencrypt", target, **options)
    assert report["finished"]
    assert {cell["pk"] for cell in report["left"]} <= {bad}
    if target in ("app.Voter", f"app.Voter.{column}"):
        assert f"app.Voter.{column}" in {cell["column"] for cell in report["left"]}
    assert all(counts["renewed"] >= 2 for counts in report["columns"])
    assert bytes(stored_cell(Voter.objects.get(pk=bad), column)) == before
    vaults["default"].keyring.forget()
    for voter in Voter.objects.exclude(pk=bad):
        assert Voter.objects.get(surname__surname_and_town=[voter.surname, voter.town]) == voter
    row = Voter.objects.get(pk=bad)
    assert getattr(row, {"town": "surname", "surname": "town"}[column]).endswith("1")
    with pytest.raises(EnvelopeError):
        getattr(row, column)


def test_other_commands(bad: int, column: str) -> None:
    """vault_check and vault_index_plan go through to the end; the first names the bad cell alone."""
    report = run("vault_check", all=True)
    bad_cells = [cell for each in report["columns"] for cell in each["cannot_be_opened"]]
    assert [(cell["column"], cell["pk"]) for cell in bad_cells] == [(f"app.Voter.{column}", bad)]
    plan = run("vault_index_plan", "app.Voter.surname")
    assert plan["indexes"][0]["rows"] == 2
