"""``python -m tests.benchmarks.steps``: where the time goes that ``python -m tests.benchmarks`` measures.

Prints three Markdown tables: the steps of one value on its way in and out, each timed on its own over and
over on one row; what the parts of loading an unread row cost, each line with one part more; and what reading
all of a row costs at the least, by an attribute that opens what it reads and makes our checks, but has no
errors to tell, no rows to bind to and nothing to count.
"""

import argparse
import gc
import os
import statistics
import time
import timeit
from collections.abc import Callable
from sys import _getframe
from time import monotonic
from typing import Any

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.benchmarks.settings"

import django

django.setup()

from django.db import connections, models  # noqa: E402
from django.db.models.query_utils import DeferredAttribute  # noqa: E402

from django_workos_vault import forbidding  # noqa: E402
from django_workos_vault.fields import stored_cell  # noqa: E402
from django_workos_vault.fields.cell import Sealed  # noqa: E402
from django_workos_vault.fields.column import opening_converter, sealing_converter  # noqa: E402
from django_workos_vault.fields.django_internals.frames import _MOVES_VALUES  # noqa: E402
from tests.benchmarks.__main__ import NAME, machine, new_rows, tables  # noqa: E402
from tests.benchmarks.models import CONTENDERS, SEARCHED, Row, contender, floor_digest  # noqa: E402


class BytesField(models.BinaryField):  # type: ignore[type-arg]
    """Our columns, read by the least that any converter costs."""

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        return value


class SettingAttribute(DeferredAttribute):
    """The least that an attribute costs which keeps its value for itself."""

    def __set__(self, instance: models.Model, value: Any) -> None:
        instance.__dict__[self.field.attname] = value


class AttributeField(BytesField):
    descriptor_class = SettingAttribute


class TupleField(AttributeField):
    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        return value, None


class SealedField(AttributeField):
    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        return Sealed(value, self)  # type: ignore[arg-type]


class LeastCell:
    __slots__ = ("cell", "neighbours", "opened")


class LeastAttribute(DeferredAttribute):
    """The least that opens on reading: all that is asked of a cell and its key, in one function."""

    def __init__(self, field: Any) -> None:
        super().__init__(field)
        self.attname = field.attname

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return self
        held = instance.__dict__[self.attname]
        if type(held) is not LeastCell or id(_getframe(1).f_code) in _MOVES_VALUES:
            return held
        if held.opened is not None:
            return held.opened
        cell, head = held.cell, self.field.head
        if not cell.startswith(head.start) or forbidding.in_use or monotonic() >= head.key.expires_at:
            raise ValueError("It opens no other cell.")
        sealed = cell[head.text] + cell[head.tag]
        held.opened = head.key.aead.decrypt(cell[head.nonce], sealed, head.associated_data).decode()
        return held.opened

    def __set__(self, instance: models.Model, value: Any) -> None:
        instance.__dict__[self.attname] = value


class LeastField(models.BinaryField):  # type: ignore[type-arg]
    descriptor_class = LeastAttribute
    head: Any

    def get_db_converters(self, connection: Any) -> Any:
        new, neighbours = object.__new__, []

        def hold(cell: Any, expression: Any, connection: Any) -> LeastCell:
            neighbours.append(cell)
            held = new(LeastCell)
            held.cell, held.neighbours, held.opened = cell, neighbours, None
            return held

        return [hold]


def over_our_table(name: str, field: Any) -> type[Row]:
    return contender(name, field, db_table=CONTENDERS["ours"]._meta.db_table, managed=False)


LOADING = {
    "identity, its own column": CONTENDERS["identity"],
    "identity, our column": over_our_table("over_ours", BytesField),
    "and an attribute with `__set__`": over_our_table("attribute", AttributeField),
    "and a tuple for each cell": over_our_table("tuples", TupleField),
    "and an object for each cell instead": over_our_table("objects", SealedField),
    "ours": CONTENDERS["ours"],
}


def main() -> None:
    parser = argparse.ArgumentParser("python -m tests.benchmarks.steps", description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    with tables():
        for model in (CONTENDERS["identity"], CONTENDERS["floor"], CONTENDERS["ours"]):
            model.objects.bulk_create(new_rows(model, options.rows))
        print(f"{machine()}, quietest of {options.repeats}.\n")
        _print_steps(options.repeats)
        print()
        _print_loading(options.rows, options.repeats)
        print()
        _print_least(options.rows, options.repeats)


def _print_steps(repeats: int) -> None:
    connection = connections["default"]
    floor, ours = (CONTENDERS[name]._meta.get_field("name") for name in ("floor", "ours"))
    floor_row, row = (CONTENDERS[name].objects.all()[0] for name in ("floor", "ours"))
    held, floor_held = row.__dict__, floor_row.__dict__
    cell = stored_cell(row, "name")
    cipher, context = ours.cipher, ours.scheme.static_context()  # type: ignore[union-attr]
    floor_searched, searched = SEARCHED["floor"].objects.all(), SEARCHED["ours"].objects.all()
    plaintext = NAME.encode()
    head = cipher.keyring.sealing_key(context).heads[cipher]
    aead = head.key.aead
    nonce, text, associated_data = cell[head.nonce], cell[head.text] + cell[head.tag], head.associated_data
    text_alone = aead.encrypt(nonce, plaintext, None)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT name FROM {CONTENDERS['floor']._meta.db_table} LIMIT 1")
        floor_cell = bytes(cursor.fetchone()[0])
    floor_opens, opens, keeps = floor.from_db_value, opening_converter(ours), sealing_converter(ours)  # type: ignore[arg-type,union-attr]

    def assigned() -> Any:
        held["name"] = NAME
        return ours.get_db_prep_save(ours.pre_save(row, add=True), connection)

    def floor_assigned() -> Any:
        floor_held["name"] = NAME
        return floor.get_db_prep_save(floor.pre_save(floor_row, add=True), connection)

    def first_read() -> Any:
        held["name"] = keeps(cell, None, connection)
        return row.name  # type: ignore[attr-defined]

    steps: dict[str, tuple[Callable[[], Any] | None, Callable[[], Any]]] = {
        "random nonce": (lambda: os.urandom(12), lambda: os.urandom(12)),
        "AES-GCM, sealing": (
            lambda: aead.encrypt(nonce, plaintext, None),
            lambda: aead.encrypt(nonce, plaintext, associated_data),
        ),
        "`Cipher.seal`": (None, lambda: cipher.seal(plaintext, context)),
        "from the instance to the parameter": (floor_assigned, assigned),
        "AES-GCM, opening": (
            lambda: aead.decrypt(nonce, text_alone, None),
            lambda: aead.decrypt(nonce, text, associated_data),
        ),
        "`Cipher.open`": (None, lambda: cipher.open(cell)),
        "from the column to the value": (
            lambda: floor_opens(floor_cell, None, connection),
            lambda: opens(cell, None, connection),
        ),
        "from the column into an instance": (None, lambda: keeps(cell, None, connection)),
        "and its attribute read": (None, first_read),
        "a lookup, compiled": (
            lambda: floor_searched.filter(digest=floor_digest("a@b.example")).query.sql_with_params(),
            lambda: searched.filter(email="a@b.example").query.sql_with_params(),
        ),
    }
    taken: dict[Callable[[], Any], float] = {}
    for _ in range(20 * repeats):  # in turns, so that a busy minute does not hit one step alone
        for run in (run for runs in steps.values() for run in runs if run is not None):
            taken[run] = min(taken.get(run, 1.0), timeit.timeit(run, number=500) / 500)
    print("| one value, ns | floor | ours |\n| --- | ---: | ---: |")
    for step, runs in steps.items():
        figures = ["" if run is None else f"{taken[run] * 1e9:,.0f}" for run in runs]
        print(f"| {step} | {' | '.join(figures)} |")


def _print_loading(rows: int, repeats: int) -> None:
    taken: dict[tuple[str, bool], list[float]] = {}
    for _ in range(repeats):
        for collecting in (True, False):
            for name, model in LOADING.items():
                gc.collect()
                (gc.enable if collecting else gc.disable)()
                started = time.perf_counter()
                loaded = list(model.objects.all())
                taken.setdefault((name, collecting), []).append((time.perf_counter() - started) / rows)
                gc.enable()
                del loaded
    print("| a row that nobody reads, us | quietest | median | quietest without garbage collection |")
    print("| --- | ---: | ---: | ---: |")
    for name in LOADING:
        with_gc, without = taken[name, True], taken[name, False]
        figures = (min(with_gc), statistics.median(with_gc), min(without))
        print(f"| {name} | " + " | ".join(f"{figure * 1e6:.1f}" for figure in figures) + " |")


def _print_least(rows: int, repeats: int) -> None:
    least, ours = over_our_table("least", LeastField), CONTENDERS["ours"]
    contenders = {"floor": CONTENDERS["floor"], "the least that opens on reading": least, "ours": ours}
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    _read_all(ours)
    for column in ("name", "ssn", "notes"):
        cipher, context = (getattr(ours._meta.get_field(column), part) for part in ("cipher", "scheme"))
        key = cipher.keyring.sealing_key(context.static_context())
        least._meta.get_field(column).head = cipher.head_for(key)  # type: ignore[union-attr]
    for turn in range(repeats + 1):
        order = list(contenders)
        for name in order[turn % len(order) :] + order[: turn % len(order)]:
            gc.collect()
            started = time.process_time()
            _read_all(contenders[name])
            taken[name].append((time.process_time() - started) / rows)
    print("| a row that is read as a whole, us of CPU | median | x floor |\n| --- | ---: | ---: |")
    floor = statistics.median(taken["floor"])
    for name, times in taken.items():
        median = statistics.median(times)
        print(f"| {name} | {median * 1e6:.1f} | {median / floor:.2f} |")


def _read_all(model: type[Row]) -> None:
    for row in model.objects.all():
        row.name, row.ssn, row.notes  # type: ignore[attr-defined]  # noqa: B018


if __name__ == "__main__":
    main()
