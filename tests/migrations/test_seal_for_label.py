"""A migration gives the cells of a renamed column its new label, whatever they depend on."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import models
from django.db.migrations import AlterField, CreateModel, RenameField

from django_workos_vault.exceptions import EnvelopeError
from django_workos_vault.fields import EncryptedCharField, FromRow, stored_cell
from django_workos_vault.fields.cell import Sealed
from django_workos_vault.indexes import Exact
from django_workos_vault.operations import SealForLabel
from tests.migrations.test_defaults import Table

pytestmark = pytest.mark.django_db(transaction=True)

OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "bound": {"bind_to": ("n",)},
    "per row": {"key_context": {"n": FromRow("n")}},
    "indexed": {"blind_indexes": [Exact()]},
}
SEAL = SealForLabel("Folder", "new", "app.Folder.new", previous_labels=("app.Folder.old",), batch_size=2)


def text(**options: Any) -> Any:
    return EncryptedCharField(max_length=20, null=True, **options)


@pytest.fixture(params=OPTIONS)
def renamed(request: pytest.FixtureRequest) -> Iterator[tuple[Table, dict[str, Any]]]:
    """A table of five rows whose column was renamed: four cells of the old label, and a NULL."""
    options = OPTIONS[request.param]
    key = ("id", models.AutoField(primary_key=True))
    table = Table(CreateModel("Folder", [key, ("n", models.IntegerField()), ("old", text(**options))]))
    for n, value in enumerate(["a", "b", "", "d", None]):
        table.model.objects.create(n=n, old=value)
    table.run(RenameField("Folder", "old", "new"))
    yield table, options
    table.drop()


def values(table: Table) -> list[Any]:
    return [row.new for row in table.model.objects.order_by("pk")]


def test_every_cell_gets_the_label(renamed: tuple[Table, dict[str, Any]]) -> None:
    """Afterwards the column opens without previous_labels, and a second run writes nothing."""
    table, options = renamed
    with pytest.raises(EnvelopeError):
        values(table)
    table.run(SEAL)
    table.run(AlterField("Folder", "new", text(**options)))
    assert values(table) == ["a", "b", "", "d", None]
    cells = [stored_cell(row, "new") for row in table.model.objects.filter(n__lt=4).order_by("pk")]
    table.run(SEAL)
    assert cells == [stored_cell(row, "new") for row in table.model.objects.filter(n__lt=4).order_by("pk")]
    if "blind_indexes" in options:
        assert table.model.objects.get(new="b").n == 1


def test_a_cell_that_does_not_open_stops_it(renamed: tuple[Table, dict[str, Any]]) -> None:
    """Nothing is overwritten that cannot be opened."""
    table, options = renamed
    table.run(AlterField("Folder", "new", text(previous_labels=("app.Folder.old",), **options)))
    row = table.model.objects.get(n=1)
    cell = stored_cell(row, "new")
    spoilt = cell[:-1] + bytes([cell[-1] ^ 1])
    field = table.model._meta.get_field("new")
    row.__dict__["new"] = Sealed(spoilt, field)
    row.save_base(raw=True, update_fields=["new"])
    assert stored_cell(table.model.objects.get(n=1), "new") == spoilt
    with pytest.raises(EnvelopeError):
        table.run(SEAL)
    assert stored_cell(table.model.objects.get(n=1), "new") == spoilt
