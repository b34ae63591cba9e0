"""Every type with every option, through every operation: what was stored is there afterwards, and found."""

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest
from django.db import models
from django.test.utils import isolate_apps

from django_workos_vault import envelope, vaults
from django_workos_vault.envelope import Envelope
from django_workos_vault.fields import FromRow, stored_cell
from django_workos_vault.fields.cell import Sealed
from django_workos_vault.indexes import Compound, Exact
from django_workos_vault.maintenance import operations
from django_workos_vault.maintenance.engine.rehearsal import Pass
from tests.maintenance.noting import OPERATIONS, reference
from tests.search.declared import MADE_BY, values_of
from tests.tables import tables

pytestmark = pytest.mark.django_db

_KEY = {"organization_id": FromRow("organization")}
_BOUND: dict[str, Any] = {"bind_to": ("organization",), "previous_bind_to": [()]}
_FOUND: dict[str, Any] = {"blind_indexes": [Exact()]}
#: column: how its field is declared
COLUMNS: dict[str, dict[str, Any]] = {
    "bare": {},
    "found": _FOUND,
    "versions": {"blind_indexes": [None, Exact(), Exact(version=2)]},
    "pair": {"blind_indexes": [Compound(name="pair", with_fields=("other",))]},
    "other": {},
    "of_org": {"key_context": _KEY},
    "of_org_found": {"key_context": _KEY, **_FOUND},
    "bound": _BOUND,
    "bound_found": {**_BOUND, **_FOUND},
    "everything": {"key_context": _KEY, **_BOUND, **_FOUND},
}
PADDED = {f"padded_{column}": {"pad_to": 16, **options} for column, options in COLUMNS.items()}
#: what is sealed as columns, many cells at once, and what row by row
GROUPS = (("bare", "of_org"), tuple(column for column in COLUMNS if column not in ("bare", "of_org")))


def columns_of(made_by: str) -> dict[str, dict[str, Any]]:
    name, make = MADE_BY[made_by]
    pads = make(name).encoding.varies_in_length
    return COLUMNS | PADDED if pads else COLUMNS


def make_model(made_by: str) -> Any:
    name, make = MADE_BY[made_by]
    attributes: dict[str, Any] = {
        column: make(name, previous_labels=[f"app.Old.{column}"], **options)
        for column, options in columns_of(made_by).items()
    }
    meta = {"app_label": "app", "db_table": f"maintained_{list(MADE_BY).index(made_by)}"}
    attributes |= {"organization": models.CharField(max_length=10), "__module__": __name__}
    return type("Maintained", (models.Model,), attributes | {"Meta": type("Meta", (), meta)})


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(made_by, marks=pytest.mark.slow if made_by.startswith("encrypted(") else [])
        for made_by in MADE_BY
    ],
)
def made_by(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def model(made_by: str, django_db_setup: None, django_db_blocker: Any) -> Iterator[Any]:
    """The model, with its table outside of any test's transaction."""
    with isolate_apps("tests.app"):
        made = make_model(made_by)
    with django_db_blocker.unblock(), tables(made):
        yield made


def fill(model: Any, values: list[Any], columns: Any, operation: str) -> None:
    """Store a row for each value, and one of NULLs, as ``operation`` finds them."""
    for n, value in enumerate([*values, None]):
        row = model.objects.create(organization=f"org_{n % 2}", **dict.fromkeys(columns, value))
        if value is not None and operation in ("reindex", "relabel", "rebind"):
            model.objects.filter(pk=row.pk).update(**{c: aged(row, c, operation) for c in columns})
    vaults["default"].keyring.forget()


def aged(row: Any, column: str, operation: str) -> Sealed:
    """Return the cell that a column held before ``operation`` became necessary."""
    field = row._meta.get_field(column)
    value = getattr(row, column)
    cell = (
        vaults["default"]
        .cipher(f"app.Old.{column}" if operation == "relabel" else field.label)
        .seal(
            field.encoded(value),
            field.context_for(row),
            pad_to=field.block,
            binding=b""
            if operation == "rebind"
            else field.scheme.identities(field.scheme.whole_row_of(row))[0],
            digests=b"" if operation == "reindex" else field.digests.front(value, row),
        )
    )
    return Sealed(cell, field)


def cells_of(model: Any, columns: Any) -> list[dict[str, Envelope]]:
    """Return what each row holds but for the last one, which has nothing."""
    *rows, _ = model.objects.order_by("pk")
    return [{c: envelope.parse(stored_cell(row, c)) for c in columns} for row in rows]


def has_changed(operation: str, field: Any, old: Envelope, new: Envelope) -> bool:
    """Whether ``operation`` did to a cell what it is for, or left it where nothing was to do."""
    if operation == "reseal":
        return old.commitment != new.commitment and old.nonce != new.nonce
    if operation in ("rekey", "envelope"):
        return old.key_reference != new.key_reference and old.nonce == new.nonce
    meant = {
        "reindex": bool(field.blind_indexes),
        "relabel": True,
        "rebind": field.scheme.is_bound,
    }[operation]
    return meant == (old.nonce != new.nonce)


@pytest.mark.parametrize(
    "operation",
    [pytest.param(each, marks=pytest.mark.slow if each != "reseal" else []) for each in OPERATIONS],
)
def test_nothing_is_lost(model: Any, made_by: str, operation: str) -> None:
    """Values open with cold keys, lookups find them, NULL stays, sizes stay padded, no cell is left."""
    values, columns = values_of(MADE_BY[made_by][0]), columns_of(made_by)
    fill(model, values, columns, operation)
    before = cells_of(model, columns)
    fields = [model._meta.get_field(column) for column in columns]
    with reference() if operation == "envelope" else nullcontext():
        for group in GROUPS:
            of_group = [field for field in fields if field.name.removeprefix("padded_") in group]
            one = Pass(of_group, operations.operation(operation), using="default", batch_size=3)
            assert sum(one.batches()) == len(values) + 1
            assert not one.left
            assert all(each.null == 1 and not each.changed_meanwhile for each in one.counts.values())
        vaults["default"].keyring.forget()
        for old, new in zip(before, cells_of(model, columns), strict=True):
            for field in fields:
                assert has_changed(operation, field, old[field.name], new[field.name]), field
                assert new[field.name].flags & envelope.PADDED == old[field.name].flags & envelope.PADDED
                assert len(new[field.name].ciphertext) == len(old[field.name].ciphertext), field
        *rows, empty = model.objects.order_by("pk")
        assert not any(getattr(empty, column) is not None for column in columns)
        for row, value in zip(rows, values, strict=True):
            for column, options in columns.items():
                assert getattr(row, column) == value, column
                if "blind_indexes" in options and "pair" not in column:
                    assert row in model.objects.filter(**{column: value}), column
