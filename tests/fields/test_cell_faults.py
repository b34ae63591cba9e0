"""A cell that was damaged, in every way and however it is read: its neighbours are all right."""

import copy
import json
import pickle
from collections.abc import Callable
from contextlib import suppress
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from django_workos_vault import envelope, vaults
from django_workos_vault.backends.local import LocalVault
from django_workos_vault.exceptions import EnvelopeError
from django_workos_vault.fields import load_keys, stored_cell
from tests.app.models import Person
from tests.checked import checked

pytestmark = pytest.mark.django_db(databases="__all__")

VALUES = ["000-00-0000", "111-11-1111", "222-22-2222", "333-33-3333"]


def with_blob(cell: bytes, blob: bytes) -> bytes:
    return envelope.with_key_reference(cell, blob)


def flipped(at: Callable[[envelope.Envelope], int]) -> Callable[[bytes], bytes]:
    def flip(cell: bytes) -> bytes:
        changed = bytearray(cell)
        changed[at(envelope.parse(cell))] ^= 1
        return bytes(changed)

    return flip


def too_long(cell: bytes) -> bytes:
    parsed = envelope.parse(cell)
    head = cell[: parsed.body_at - len(parsed.key_reference) - 2]
    return head + envelope.encode_leb128(9000) + bytes(9000) + cell[parsed.body_at :]


def of_another_vault(cell: bytes) -> bytes:
    return with_blob(cell, LocalVault(master_key=b"x" * 32).create_data_key({"app": "tests"}).wrapped)


def of_another_key(cell: bytes) -> bytes:
    return with_blob(cell, vaults["default"].backend.create_data_key({"app": "tests"}).wrapped)


def without_record(cell: bytes) -> bytes:
    return cell[:2] + bytes([2]) + cell[3:11] + bytes(32) + b"\x00" + cell[envelope.parse(cell).body_at :]


FAULTS: dict[str, Callable[[bytes], Any]] = {
    "version": flipped(lambda _: 0),
    "suite": flipped(lambda _: 1),
    "bound": flipped(lambda _: 2),
    "label": flipped(lambda _: 5),
    "commitment": flipped(lambda _: 20),
    "length of the blob": flipped(lambda _: 43),
    "begin of the blob": flipped(lambda cell: cell.body_at - len(cell.key_reference)),
    "key id in the blob": flipped(lambda cell: cell.body_at - len(cell.key_reference) + 13),
    "end of the blob": flipped(lambda cell: cell.body_at - 1),
    "nonce": flipped(lambda cell: cell.body_at),
    "tag": flipped(lambda cell: cell.body_at + 12),
    "ciphertext": flipped(lambda cell: cell.body_at + 28),
    "reference without record": without_record,
    "reference instead of the blob": lambda cell: cell[:2] + bytes([2]) + cell[3:],
    "cut in the header": lambda cell: cell[:20],
    "cut in the blob": lambda cell: cell[:100],
    "cut in the body": lambda cell: cell[:-1],
    "one byte": lambda _: b"\x01",
    "empty": lambda _: b"",
    "digests that are none": lambda cell: b"\x83" + cell,
    "other vault's blob": of_another_vault,
    "other key's blob": of_another_key,
    "longest blob": lambda cell: with_blob(cell, b"WOS.EKM.v1\x00" + bytes(8000)),
    "over-long blob": too_long,
    "plaintext": lambda _: b"222-22-2222",
    "junk": lambda _: bytes(range(128, 256)) * 4,
    "text": lambda _: "222-22-2222",
    "text that is no ASCII": lambda _: "ö" * 300,
    "integer": lambda _: 222222222,
    "float": lambda _: 2.5,
}
SQLITE_ONLY = {"text", "text that is no ASCII", "integer", "float"}


@pytest.fixture(params=FAULTS)
def fault(request: pytest.FixtureRequest) -> Callable[[bytes], Any]:
    if request.param in SQLITE_ONLY and connection.vendor != "sqlite":
        pytest.skip("a server's column takes bytes alone")
    return FAULTS[request.param]


@pytest.fixture(params=[(0, "cold"), (2, "warm")], ids=["first, cold keys", "third, warm keys"])
def bad(request: pytest.FixtureRequest, fault: Callable[[bytes], Any]) -> int:
    """Make four rows, spoil one, and return its primary key.

    The key of all rows is in memory, from a sound one of them, or it is not.
    """
    place, keys = request.param
    rows = Person.objects.bulk_create(Person(ssn=value) for value in VALUES)
    row = rows[place]
    with connection.cursor() as cursor:
        value = fault(bytes(stored_cell(row, "ssn")))
        if isinstance(value, bytes):
            value = connection.Database.Binary(value)
        cursor.execute(f"UPDATE {Person._meta.db_table} SET ssn = %s WHERE id = %s", [value, row.pk])
    vaults["default"].keyring.forget()
    if keys == "warm":
        assert Person.objects.exclude(pk=row.pk).latest("pk").ssn
    return row.pk


def raw(pk: int) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT ssn FROM {Person._meta.db_table} WHERE id = %s", [pk])
        value = cursor.fetchone()[0]
    return bytes(value) if isinstance(value, memoryview) else value


def check(rows: Any, bad: int) -> None:
    """Read every row: the bad one raises an EnvelopeError, twice, and the others give their values."""
    rows = list(rows)
    assert len(rows) == len(VALUES)
    for row, value in zip(sorted(rows, key=lambda row: row.pk), VALUES, strict=True):
        for _ in range(2):
            if row.pk == bad:
                with pytest.raises(EnvelopeError) as caught:
                    _ = row.ssn
                assert value not in str(caught.value)
            else:
                assert row.ssn == value


READS: dict[str, Callable[[], Any]] = {
    "attribute": lambda: Person.objects.order_by("pk"),
    "backwards": lambda: Person.objects.order_by("-pk"),
    "iterator": lambda: Person.objects.iterator(),
    "only": lambda: Person.objects.only("ssn"),
    "deferred": lambda: Person.objects.defer("ssn"),
    "in_bulk": lambda: Person.objects.in_bulk().values(),
    "raw": lambda: Person.objects.raw(f"SELECT * FROM {Person._meta.db_table}"),
    "union": lambda: Person.objects.filter(pk=0).union(Person.objects.all()),
    "pickled": lambda: pickle.loads(pickle.dumps(list(Person.objects.all()))),
    "copied": lambda: copy.deepcopy(list(Person.objects.all())),
}


def test_instances(bad: int) -> None:
    """However rows are loaded, only reading the bad one's attribute raises."""
    for name, read in READS.items():
        try:
            check(read(), bad)
        except AssertionError as exc:
            raise AssertionError(name) from exc


def test_keys_loaded_ahead(bad: int) -> None:
    """load_keys() passes the bad one over."""
    rows = list(Person.objects.all())
    load_keys(rows)
    check(rows, bad)


def test_values(bad: int) -> None:
    """values() opens while it reads: a query without the bad row gets all others."""
    good = Person.objects.exclude(pk=bad).order_by("pk")
    wanted = [v for v in VALUES if v in set(good.values_list("ssn", flat=True))]
    assert list(good.values_list("ssn", flat=True)) == wanted
    assert len(wanted) == len(VALUES) - 1
    with pytest.raises(EnvelopeError):
        list(Person.objects.values("ssn"))


def test_writes_beside_it(bad: int) -> None:
    """Whatever is written to other rows, and to the bad row's other columns, leaves its cell alone."""
    before = raw(bad)
    rows = list(Person.objects.order_by("pk"))
    for row in rows:
        row.name = "Grace"
    Person.objects.bulk_update(rows, ["name"])
    good = [row for row in rows if row.pk != bad]
    for row in good:
        row.ssn = row.ssn[:-1] + "9"
    Person.objects.bulk_update(good, ["ssn"])
    Person.objects.update(name="Ada")
    for row in good:
        row.save()
    Person.objects.get(pk=bad).save(update_fields=["name"])
    assert raw(bad) == before
    assert [row.ssn[-1] for row in Person.objects.exclude(pk=bad)] == ["9"] * 3


@pytest.mark.parametrize("rekey", [False, True])
def test_reencryption(bad: int, rekey: bool) -> None:
    """vault_reencrypt renews every other cell, names the bad one, and leaves its bytes as they are."""
    before = {row.pk: raw(row.pk) for row in Person.objects.all()}
    out = StringIO()
    with suppress(CommandError):  # a cell whose blob is sound is rekeyed, whatever is wrong behind it
        call_command("vault_reencrypt", "app.Person.ssn", rekey=rekey, stdout=out, format="json")
    report = json.loads(out.getvalue())
    assert report["finished"]
    assert {cell["pk"] for cell in report["left"]} <= {bad}
    assert report["columns"][0]["renewed"] + len(report["left"]) == len(VALUES)
    for pk, cell in before.items():
        assert (raw(pk) == cell) == (pk in {each["pk"] for each in report["left"]})
    vaults["default"].keyring.forget()
    check(Person.objects.all(), bad)


@pytest.mark.usefixtures("outside_of_checkouts")
def test_vault_check(bad: int) -> None:
    """vault_check names the bad row, and it alone."""
    report = checked(all=True)
    assert not report["ok"]
    bad_cells = [cell for column in report["columns"] for cell in column["cannot_be_opened"]]
    assert [(cell["column"], cell["pk"]) for cell in bad_cells] == [("app.Person.ssn", bad)]
    assert [f["subject"] for f in report["findings"] if f["status"] == "problem"] == ["app.Person.ssn"]
    assert not any(value in str(report) for value in VALUES)
