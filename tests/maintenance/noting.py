"""Notes in a state that an operation is to change, runs over them, and what they hold afterwards."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any
from uuid import UUID

from django.db import connection
from django.test import override_settings

from django_workos_vault import envelope, vaults
from django_workos_vault.fields import stored_cell
from django_workos_vault.fields.cell import Sealed
from django_workos_vault.maintenance.engine import runs
from django_workos_vault.maintenance.engine.work import Worker
from django_workos_vault.maintenance.operations import NAMES
from django_workos_vault.models import DataKeyRecord, MaintenanceRun
from tests.app.models import NamedNote, NumberedNote, PlacedNote, TokenNote

MODELS: list[Any] = [NumberedNote, TokenNote, NamedNote, PlacedNote]
#: not "move": of vaults, and tested there
OPERATIONS = [name for name in NAMES if name not in ("move", "encrypt", "decrypt")]  # they need more
NAMES_OF_NOTES = ["b", "Zoë", "a b", "10", "9", "Ärger", "%_\\", "c", "d"]


def key_of_row(model: Any, n: int) -> dict[str, Any]:
    if model is TokenNote:
        return {"id": UUID(int=(n + 1) * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128)}
    if model is NamedNote:
        return {"name": NAMES_OF_NOTES[n]}
    return {"shelf": f"s{n % 3}", "place": n} if model is PlacedNote else {}


def notes(model: Any, number: int, operation: str = "reseal") -> None:
    """Store ``number`` rows of two organizations, one of them without a text, as ``operation`` finds them."""
    for n in range(number):
        row = model(organization=f"org_{n % 2}", **key_of_row(model, n))
        row.text = None if n == 2 else f"text {n}"
        row.save(force_insert=True)
        if n != 2:
            age(row, operation)
    vaults["default"].keyring.forget()


def age(row: Any, operation: str) -> None:
    """Replace the cell of ``row`` by one that ``operation`` would change."""
    field = row._meta.get_field("text")
    label = "app.Memo.text" if operation == "relabel" else field.label
    cell = (
        vaults["default"]
        .cipher(label)
        .seal(
            row.text.encode(),
            field.context_for(row),
            binding=b""
            if operation == "rebind"
            else field.scheme.identities(field.scheme.whole_row_of(row))[0],
            digests=b"" if operation == "reindex" else field.digests.front(row.text, row),
        )
    )
    type(row).objects.filter(pk=row.pk).update(text=Sealed(cell, field))


def reference() -> Any:
    """Settings in which new cells refer to the registry: where the operation ``envelope`` moves them."""
    vault = {
        "BACKEND": "django_workos_vault.backends.local.LocalVault",
        "KEY_CONTEXT": {"app": "tests"},
        "OPTIONS": {"master_key": b"tests only: this is not a secret", "objects_file": ":memory:"},
        "DATA_KEYS": {"envelope": "reference"},
    }
    return override_settings(WORKOS_VAULTS={"default": vault})


def state_of(model: Any, old_keys: set[str]) -> list[Any]:
    """What is in the table, but for what no two runs have in common."""
    vaults["default"].keyring.forget()
    found = []
    for row in model.objects.order_by("pk"):
        if row.__dict__["text"] is None:
            found.append(None)
            continue
        cell = envelope.parse(stored_cell(row, "text"))
        new = cell.commitment.hex() not in old_keys
        found.append((row.text, cell.label_id, cell.binding, cell.digests, not cell.key_reference, new))
    return found


def begin(model: Any, operation: str, **options: Any) -> MaintenanceRun:
    fields = [model._meta.get_field("text")]
    return runs.begin(
        fields, operation, using="default", options={"batch_size": 2, "chunk_size": 3, **options}
    )


def keys() -> set[str]:
    return set(DataKeyRecord.objects.values_list("commitment", flat=True))


class Died(BaseException):
    """A process that is no more."""


def dying(after: int) -> Callable[..., Any]:
    """An execute wrapper that dies at the ``after``-th note of a batch, before it commits."""
    seen = 0
    chunk = f"UPDATE {connection.ops.quote_name('django_workos_vault_maintenancechunk')}"

    def wrapper(execute: Any, statement: str, *args: Any) -> Any:
        nonlocal seen
        result = execute(statement, *args)
        seen += statement.startswith(chunk) and "rows_done" in statement
        if seen == after:
            seen = -1000
            raise Died
        return result

    return wrapper


def stop_at(run: MaintenanceRun, batches: int) -> None:
    """Have a worker stop after so many batches, as after Ctrl-C."""
    done: list[int] = []
    Worker(run, stop=lambda: len(done) >= batches, told=done.append).work()


def die_at(run: MaintenanceRun, batches: int) -> None:
    """Have a worker end in the middle of a batch, and its lease run out."""
    with suppress(Died), connection.execute_wrapper(dying(batches)):
        Worker(run, lease=-1).work()


def go_on(run: MaintenanceRun) -> None:
    """Take a run up in what might be another process, and do the rest."""
    vaults.reset()
    run = runs.find(run.pk)
    if run.state != runs.State.FINISHED:
        runs.resume(run)
        Worker(run).work()
