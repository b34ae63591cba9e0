"""Cells are swapped many at a time, each only while it is still the one that was read."""

import datetime
import random
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from itertools import product
from typing import Any

import pytest
from django.db import OperationalError, connection, connections, models, transaction
from django.test.utils import CaptureQueriesContext, isolate_apps

from django_workos_vault.fields import EncryptedCharField
from django_workos_vault.fields.cell import Sealed
from django_workos_vault.maintenance.engine.transactions import in_transaction
from django_workos_vault.maintenance.reencryption import swap
from tests.app.everything import UTC
from tests.tables import tables

# Each test makes and drops tables of its own: nearly nothing has to be flushed afterwards.
pytestmark = pytest.mark.django_db(transaction=True, available_apps=["django_workos_vault"])

COLUMNS = ("first", "second", "third")
NO_SWAP = object()


def columns() -> dict[str, Any]:
    odd = {"second": "se`c o'nd; --" if connection.vendor != "mysql" else "se\"c o'nd; --"}
    made = {name: EncryptedCharField(max_length=9, null=True, db_column=odd.get(name)) for name in COLUMNS}
    return {**made, "other": models.IntegerField(default=0)}


def quoted_table() -> str:
    if connection.vendor == "mysql":
        return f"`{connection.settings_dict['NAME']}`.`swap row;`"
    schema = '"public".' if connection.vendor == "postgresql" else ""  # Django has none on SQLite
    return f'{schema}"swap row;"'


def model(name: str, base: Any = models.Model, db_table: str = "", **body: Any) -> Any:
    meta = type("Meta", (), {"app_label": "app", **({"db_table": db_table} if db_table else {})})
    return type(name, (base,), {"__module__": __name__, "Meta": meta, **body})


def of_row(field: Any, pk: Any, old: bytes | None, new: bytes | None) -> swap.Swap:
    return swap.Swap(field, field.model(pk=pk), old, new)


def swapped(swaps: list[swap.Swap], using: str = "default") -> list[bool]:
    with transaction.atomic(using=using):
        return swap.swap_all(swaps, using)


def text_of(n: int) -> str:
    return f"K{n}%s 'ü\\ x"


def made(kind: str) -> tuple[list[Any], Any]:
    """Return models, the last of them with rows to swap, and what makes the n-th row's key arguments."""
    if kind == "relation":
        target = model("Target", code=models.CharField(max_length=40, primary_key=True))
        row = model("Row", target=models.OneToOneField(target, models.CASCADE, primary_key=True), **columns())
        return [target, row], lambda n: {"target_id": target.objects.create(code=text_of(n)).pk}
    if kind == "child":
        parent = model("Parent", title=models.CharField(max_length=9, default="x"))
        return [parent, model("Row", parent, **columns())], lambda n: {}
    if kind == "composite":
        part = {"day": models.DateField(), "code": models.CharField(max_length=40)}
        row = model("Row", pk=models.CompositePrimaryKey("day", "code"), **part, **columns())
        return [row], lambda n: {"day": datetime.date(2024, 1, 1 + n % 3), "code": text_of(n)}
    if kind == "composite relation":
        target = model("Target")
        part = {"target": models.ForeignKey(target, models.CASCADE), "number": models.SmallIntegerField()}
        row = model("Row", pk=models.CompositePrimaryKey("target", "number"), **part, **columns())
        return [target, row], lambda n: {"target_id": target.objects.create().pk, "number": n % 2}
    field, value = {
        "integer": (models.BigAutoField, lambda n: n + 1),
        "small": (models.SmallIntegerField, lambda n: n - 99),
        "schema": (models.AutoField, lambda n: n + 1),
        "uuid": (models.UUIDField, lambda n: uuid.UUID(int=n * 2**100)),
        "text": (models.CharField, text_of),
        "collated": (models.CharField, text_of),
        "decimal": (models.DecimalField, lambda n: Decimal(n) / 4),
        "moment": (models.DateTimeField, lambda n: moment(n)),
    }[kind]
    collation = {"postgresql": "C", "sqlite": "nocase", "mysql": "utf8mb4_bin"}[connection.vendor]
    options = {
        "text": {"max_length": 40},
        "collated": {"max_length": 40, "db_collation": collation},
        "decimal": {"max_digits": 9, "decimal_places": 2},
    }.get(kind, {})
    key = field(
        primary_key=True,
        db_column="key of `row`" if connection.vendor != "mysql" else 'key of "row',
        **options,
    )
    return [
        model("Row", db_table=quoted_table() if kind == "schema" else "", key=key, **columns())
    ], lambda n: {"key": value(n)}


def moment(n: int) -> datetime.datetime:
    return datetime.datetime(2024, 1, 1, 0, 0, 0, n, tzinfo=UTC)


KINDS = ["integer", "small", "schema", "uuid", "text", "collated", "decimal", "moment"]
KINDS += ["relation", "child", "composite", "composite relation"]


@contextmanager
def rows(kind: str) -> Iterator[Any]:
    with isolate_apps("tests.app"):
        models_made, arguments = made(kind)
        with tables(*models_made):
            yield models_made[-1], arguments


def store(row_model: Any, arguments: Any, cells: dict[str, bytes | None]) -> Any:
    held = {
        name: None if cell is None else Sealed(cell, field_of(row_model, name))
        for name, cell in cells.items()
    }
    return row_model.objects.create(**arguments, **held).pk


def field_of(row_model: Any, name: str) -> Any:
    return row_model._meta.get_field(name)


def stored(row_model: Any) -> dict[Any, bytes | None]:
    found = {}
    for row in row_model.objects.all():
        for name in COLUMNS:
            held = row.__dict__[name]
            found[row.pk, name] = None if held is None else held.cell
    return found


#: of one cell: what it holds by now, what was read (or that it is not to be swapped), what it shall hold
OLD = b"\x01Old\x00\xff'%s\\"
NOW = {"same": OLD, "longer": OLD + b"\0", "shorter": OLD[:-1], "case": OLD.swapcase(), "null": None}
CELLS = [
    *((now, OLD, new) for now, new in product(NOW.values(), (b"\x01new", None, OLD))),
    *((now, None, new) for now, new in product(NOW.values(), (b"\x01new", None))),
    *((now, NO_SWAP, None) for now in NOW.values()),
]


def try_all(kind: str, combinations: list[Any]) -> int:
    """Swap each of ``combinations`` of :data:`CELLS` in a row of its own; return the number of UPDATEs."""
    with rows(kind) as (row_model, arguments):
        swaps, wanted = [], []
        with transaction.atomic():
            for n, combination in enumerate(combinations):
                cells = dict(zip(COLUMNS, combination, strict=False))
                pk = store(row_model, arguments(n), {name: now for name, (now, _, _) in cells.items()})
                for name, (now, old, new) in cells.items():
                    if old is not NO_SWAP:
                        swaps.append(of_row(field_of(row_model, name), pk, old, new))
                        wanted.append(now == old)
        expected = stored(row_model)
        for each, done in zip(swaps, wanted, strict=True):
            if done:
                expected[each.instance.pk, each.field.name] = each.new
        with CaptureQueriesContext(connection) as captured:
            assert swapped(swaps) == wanted
        assert stored(row_model) == expected
        return sum("UPDATE" in query["sql"] for query in captured)


@pytest.mark.parametrize("kind", KINDS)
def test_each_swap_is_done_if_and_only_if_its_cell_is_unchanged(kind: str) -> None:
    """Whatever the row's key: of one to three columns, changed or not, NULL or not, to be swapped or not."""
    dice = random.Random(kind)
    some = [[dice.choice(CELLS) for _ in range(columns)] for columns in (1, 2, 3) for _ in range(20)]
    try_all(kind, some)


def test_every_pair_of_cells() -> None:
    """A changed neighbour holds back no other: all pairs of what can become of two cells of a row."""
    try_all("integer", list(product(CELLS, repeat=2)))


@pytest.mark.parametrize("columns", [1, 2, 3])
def test_a_batch_is_one_statement(columns: int) -> None:
    """Of however many columns, of which some rows have fewer to swap."""
    whole = [[(OLD, OLD, b"new")] * columns for _ in range(30)]
    gaps = [[(OLD, OLD, b"new"), *[(OLD, NO_SWAP, None)] * (columns - 1)] for _ in range(30)]
    assert try_all("integer", whole) == try_all("integer", whole + gaps) == 1


def test_nothing_to_swap_is_no_statement() -> None:
    with CaptureQueriesContext(connection) as captured:
        assert swapped([]) == []
    assert not [query for query in captured if "UPDATE" in query["sql"]]


@pytest.mark.parametrize("at_most", [1, 12, 99])
def test_more_rows_than_a_statement_may_have_variables(at_most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large batch is as many statements as it must be: a row needs 8, but on PostgreSQL one of 8 arrays."""
    monkeypatch.setattr(type(connection.features), "max_query_params", at_most)
    statements = try_all("integer", [[(OLD, OLD, b"new")] * 3] * 20)
    assert statements == (1 if connection.vendor == "postgresql" else {1: 20, 12: 20, 99: 2}[at_most])


def test_cells_of_megabytes() -> None:
    """What a statement holds is bounded in bytes, for servers bound it."""
    long = b"\xff" * 2**20
    assert try_all("integer", [[(long, long, long[1:])]] * 5) == 3


def test_the_same_cell_twice_is_swapped_in_turn() -> None:
    with rows("integer") as (row_model, arguments):
        pk = store(row_model, arguments(0), {"first": b"1"})
        field = field_of(row_model, "first")
        chain = [of_row(field, pk, b"1", b"2"), of_row(field, pk, b"2", b"3"), of_row(field, pk, b"2", b"4")]
        assert swapped(chain) == [True, True, False]
        assert stored(row_model)[pk, "first"] == b"3"


def test_rows_of_several_models_in_one_call() -> None:
    """A row that is gone is not swapped, and no other is taken for it."""
    with rows("text") as (texts, text_arguments), rows_of_other() as others:
        pk = store(texts, text_arguments(1), {"first": b"1"})
        other = store(others, {}, {"first": b"1"})
        swaps = [
            of_row(field_of(texts, "first"), pk, b"1", b"2"),
            of_row(field_of(others, "first"), other, b"1", b"3"),
            of_row(field_of(others, "first"), other + 1, b"1", b"4"),
        ]
        assert swapped(swaps) == [True, True, False]
        assert stored(texts)[pk, "first"] == b"2"
        assert stored(others)[other, "first"] == b"3"


@contextmanager
def rows_of_other() -> Iterator[Any]:
    with isolate_apps("tests.app"):
        other = model("Other", **columns())
        with tables(other):
            yield other


needs_row_locks = pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite locks the whole database")


@contextmanager
def another_writer() -> Iterator[Any]:
    other = connection.copy()
    try:
        yield other
    finally:
        other.close()


def update(row_model: Any) -> str:
    table, key = map(connection.ops.quote_name, (row_model._meta.db_table, row_model._meta.pk.column))
    return f"UPDATE {table} SET first = %s WHERE {key} = %s"


def wait_until_somebody_waits(thread: threading.Thread) -> None:
    """On MariaDB nobody does."""
    with connection.cursor() as cursor:
        while thread.is_alive() and connection.vendor == "postgresql":
            thread.join(0.05)
            cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            if cursor.fetchone()[0]:
                return


@needs_row_locks
def test_a_writer_who_would_be_in_a_deadlock_wins() -> None:
    """It holds a row of the batch, and wants another that the batch may have locked: it gets both."""
    with rows("integer") as (row_model, arguments), another_writer() as other:
        pks = [store(row_model, arguments(n), {"first": b"1"}) for n in range(3)]
        field = field_of(row_model, "first")
        results: list[bool] = []

        def work() -> None:
            swaps = [of_row(field, pk, b"1", b"2") for pk in pks]
            try:
                results.extend(in_transaction("default", lambda: swap.swap_all(swaps, "default")))
            finally:
                connections.close_all()

        with other.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute(update(row_model), [b"theirs", pks[1]])
            thread = threading.Thread(target=work)
            thread.start()
            wait_until_somebody_waits(thread)
            cursor.execute(update(row_model), [b"theirs", pks[0]])
            cursor.execute("COMMIT")
            thread.join()
        held = stored(row_model)
        assert [held[pk, "first"] for pk in pks] == [b"theirs", b"theirs", b"2"]
        assert results == [False, False, True]


@needs_row_locks
def test_rows_that_another_holds_are_not_waited_for_long() -> None:
    """For other rows of the batch are locked meanwhile. The caller is told, and no cell was swapped."""
    with rows("integer") as (row_model, arguments), another_writer() as other:
        pks = [store(row_model, arguments(n), {"first": b"1"}) for n in range(3)]
        field = field_of(row_model, "first")
        with other.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute(update(row_model), [b"theirs", pks[1]])
            with pytest.raises(OperationalError):
                swapped([of_row(field, pk, b"1", b"2") for pk in pks])
            cursor.execute("ROLLBACK")
        assert {stored(row_model)[pk, "first"] for pk in pks} == {b"1"}
