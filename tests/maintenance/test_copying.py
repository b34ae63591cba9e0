"""``vault_reencrypt --operation encrypt`` and ``decrypt``: from a plaintext column, and back."""

import json
import threading
from contextlib import suppress
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections, transaction

from django_workos_vault import vaults
from django_workos_vault.maintenance.engine import runs
from django_workos_vault.maintenance.engine.copied import CopiedColumns
from django_workos_vault.maintenance.engine.work import Worker
from django_workos_vault.maintenance.operations import Copying
from django_workos_vault.models import MaintenanceRun
from tests.app.models import Citizen
from tests.maintenance.reencrypting import cell_of, store

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

TARGET = "app.Citizen.tax_id_sealed"
SEALED: Any = Citizen._meta.get_field("tax_id_sealed")


def copy(operation: str, **options: Any) -> dict[str, Any]:
    """Run the command; return what it tells of the column, and the cells it left."""
    out = StringIO()
    with suppress(CommandError):  # what was left is told in the document, too
        call_command(
            "vault_reencrypt",
            TARGET,
            operation=operation,
            plain="tax_id",
            format="json",
            stdout=out,
            **options,
        )
    document = json.loads(out.getvalue())
    return {**document["columns"][0], "cells": document["left"]}


def citizens(*values: str | None) -> list[Citizen]:
    Citizen.objects.bulk_create(Citizen(tax_id=value) for value in values)
    return list(Citizen.objects.order_by("pk"))


def both() -> list[tuple[Any, Any]]:
    vaults.reset()
    return [(row.tax_id, row.tax_id_sealed) for row in Citizen.objects.order_by("pk")]


def test_every_value_is_sealed_and_stays_where_it_is() -> None:
    """NULL stays NULL, what is done is kept, and a dry run writes nothing."""
    citizens("1", "", None, "2")
    assert copy("encrypt", dry_run=True)["renewed"] == 3
    assert {sealed for _, sealed in both()} == {None}
    first = copy("encrypt")
    assert (first["renewed"], first["null"], first["left"]) == (3, 1, 0)
    assert both() == [("1", "1"), ("", ""), (None, None), ("2", "2")]
    again = copy("encrypt")
    assert (again["renewed"], again["kept"], again["null"]) == (0, 3, 1)


def test_and_back() -> None:
    """Until the plaintext column is dropped, or into one that was added again."""
    citizens("1", "", None)
    copy("encrypt")
    Citizen.objects.update(tax_id=None)
    assert copy("decrypt", dry_run=True)["renewed"] == 2
    assert copy("decrypt")["renewed"] == 2
    assert both() == [("1", "1"), ("", ""), (None, None)]


@pytest.mark.parametrize("value", ["x" * 21, "a\x00b"])
def test_a_value_that_does_not_fit_holds_no_other_up(value: str) -> None:
    """It is named, its cell stays, and its neighbours are written."""
    rows = citizens("1", "2", "3")
    copy("encrypt")
    Citizen.objects.filter(pk=rows[1].pk).update(tax_id_sealed=value)
    Citizen.objects.update(tax_id=None)
    told = copy("decrypt")
    assert (told["renewed"], told["left"]) == (2, 1)
    assert [(cell["pk"], cell["reason"]) for cell in told["cells"]] == [(rows[1].pk, "DoesNotFit")]
    assert value not in str(told)
    assert both() == [("1", "1"), (None, value), ("3", "3")]


@pytest.mark.parametrize("operation", ["encrypt", "decrypt"])
def test_what_differs_is_left_and_told(operation: str) -> None:
    """Which of two values is newer cannot be told: neither is written over, and the row is named."""
    rows = citizens("1", "2", "3")
    copy("encrypt")
    Citizen.objects.filter(pk=rows[0].pk).update(tax_id="stale")
    Citizen.objects.filter(pk=rows[1].pk).update(
        **{"tax_id" if operation == "encrypt" else "tax_id_sealed": None}
    )
    found = copy(operation)
    assert {cell["pk"] for cell in found["cells"]} == {rows[0].pk, rows[1].pk}
    assert {cell["reason"] for cell in found["cells"]} == {"ValuesDiffer"}
    assert "stale" not in str(found)
    assert both()[0] == ("stale", "1")


@pytest.mark.parametrize("operation", ["encrypt", "decrypt"])
def test_a_damaged_cell_is_left_and_told(operation: str) -> None:
    """It is not written over, nor is anything made of it; the others are done."""
    rows = citizens("1", "2")
    copy("encrypt")
    if operation == "decrypt":
        Citizen.objects.update(tax_id=None)
    store(rows[0], b"damaged", "tax_id_sealed")
    found = copy(operation)
    assert [(cell["pk"], cell["reason"]) for cell in found["cells"]] == [(rows[0].pk, "MalformedEnvelope")]
    assert cell_of(rows[0], "tax_id_sealed") == b"damaged"


@pytest.mark.parametrize("column", ["tax_id", "tax_id_sealed"])
@pytest.mark.parametrize("back", [False, True])
def test_a_row_that_changes_meanwhile_is_not_written(back: bool, column: str) -> None:
    """Either column, in either direction: the other writer's value stands."""
    [row] = citizens("1")
    if back:
        copy("encrypt")
        Citizen.objects.update(tax_id=None)
    columns = CopiedColumns([SEALED], Copying("tax_id", back=back), "default")
    batch = columns.prepared(list(columns.rows()))
    Citizen.objects.update(**{column: "newer"})
    expected = both()
    with transaction.atomic():
        [counts] = columns.store(batch)
    assert (counts.renewed, counts.changed_meanwhile, columns.missed) == (0, 1, [row.pk])
    assert both() == expected


def test_a_stopped_run_goes_on() -> None:
    """Paused after one batch, and taken up by another worker, it ends as one that was never stopped."""
    citizens(*(str(number) for number in range(30)))
    run = runs.begin([SEALED], "encrypt", using="default", options={"plain": "tax_id", "batch_size": 7})
    Worker(run, told=lambda rows: runs.pause(run)).work()
    assert 0 < sum(sealed is not None for _, sealed in both()) < 30
    call_command("vault_reencrypt", resume=run.pk, stdout=StringIO())
    assert both() == [(str(number), str(number)) for number in range(30)]
    assert MaintenanceRun.objects.get().state == "finished"


def test_beside_a_writer() -> None:
    """Who writes both columns all the while loses nothing."""
    rows = citizens(*(str(number) for number in range(60)))
    done = threading.Event()
    written: dict[int, str] = {}

    def write() -> None:
        try:
            for turn in range(10_000):
                if done.is_set():
                    return
                row = Citizen.objects.get(pk=rows[turn * 7 % 60].pk)
                row.tax_id = f"written {turn}"
                row.save()
                written[row.pk] = row.tax_id
        finally:
            connections.close_all()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        copy("encrypt", batch_size=5)
    finally:
        done.set()
        writer.join()
    copy("encrypt")
    assert all(plain == sealed for plain, sealed in both())
    assert {row.pk: row.tax_id_sealed for row in Citizen.objects.filter(pk__in=written)} == written


@pytest.mark.parametrize(
    ("target", "options", "said"),
    [
        (TARGET, {}, "go together"),
        (TARGET, {"plain": "nothing"}, "has no field named 'nothing'"),
        (TARGET, {"plain": "tax_id_sealed"}, "is no plaintext column"),
        (TARGET, {"plain": "id"}, "is a BigAutoField, and app.Citizen.tax_id_sealed a CharField"),
        ("app.Person", {"plain": "name"}, "Name one encrypted column"),
        (TARGET, {"plain": "tax_id", "operation": "reseal"}, "go together"),
    ],
)
def test_what_cannot_be_copied_is_one_line(target: str, options: dict[str, Any], said: str) -> None:
    """Before anything is written."""
    with pytest.raises(CommandError) as caught:
        call_command("vault_reencrypt", target, **{"operation": "encrypt", **options})
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not MaintenanceRun.objects.exists()
    assert connection.vendor


def test_a_collation_does_not_hide_another_writer() -> None:
    """On MariaDB "ada" equals "ADA": who changes one to the other before a batch is written still wins."""
    [row] = citizens("Ada")
    copy("encrypt")
    columns = CopiedColumns([SEALED], Copying("tax_id", back=True, overwrites=True), "default")
    Citizen.objects.filter(pk=row.pk).update(tax_id="ADA")
    batch = columns.prepared(list(Citizen.objects.all()))
    Citizen.objects.filter(pk=row.pk).update(tax_id="ada")
    with transaction.atomic():
        [counts] = columns.store(batch)
    assert (counts.renewed, counts.changed_meanwhile) == (0, 1)
    assert both() == [("ada", "Ada")]
