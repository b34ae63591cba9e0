"""Cells as they were loaded: cheap to keep, still cells wherever a program carries them."""

import copy
import gc
import pickle
from typing import Any

import pytest

from django_workos_vault.fields import unread
from django_workos_vault.fields.sealed import Sealed, held_in
from django_workos_vault.fields.unread import NEIGHBOURS, UNREAD, is_unread, keeping_converter, taken_from
from tests.app.models import Account, Person

pytestmark = pytest.mark.django_db

SSN = Person._meta.get_field("ssn")


@pytest.fixture
def person() -> Person:
    return Person.objects.create(name="Ada", ssn="123-45-6789", notes="hello")


def test_the_garbage_collector_lets_go_of_cells_that_nobody_read(person: Person) -> None:
    """A page that touches nothing costs no visits of the collector after the first."""
    held = Person.objects.get().__dict__["ssn"]
    gc.collect()
    assert not gc.is_tracked(held)


def test_the_first_use_makes_it_a_sealed_cell(person: Person) -> None:
    """Reading, and every look of our own, finds the same object from then on."""
    loaded = Person.objects.get()
    assert is_unread(loaded.__dict__["ssn"])
    sealed = held_in(loaded, SSN)
    assert type(sealed) is Sealed
    assert loaded.ssn == "123-45-6789"
    assert held_in(loaded, SSN) is loaded.__dict__["ssn"] is sealed


@pytest.mark.parametrize("carry", [copy.copy, copy.deepcopy, lambda row: pickle.loads(pickle.dumps(row))])
def test_copies_of_an_unread_row_are_unread(person: Person, carry: Any) -> None:
    """A copy or a pickle takes the cell along as it is, and none of its neighbours'."""
    for _ in range(3):
        Person.objects.create(ssn="987-65-4321")
    loaded = list(Person.objects.order_by("pk"))
    twin = carry(loaded[0])
    assert is_unread(twin.__dict__["ssn"])
    assert len(pickle.dumps(twin)) < 3000
    assert twin.ssn == "123-45-6789"


def test_a_cell_taken_from_a_rows_dict_stays_a_value_of_its_field(person: Person) -> None:
    """Values copied from a row's __dict__ into another model's constructor are sealed for the new column."""
    loaded = Person.objects.get()
    Account.objects.create(login=loaded.__dict__["ssn"], email=loaded.__dict__["notes"])
    account = Account.objects.get(email="hello")
    assert (account.login, account.email) == ("123-45-6789", "hello")


@pytest.mark.parametrize("value", [(), (UNREAD,), (None, b"cell", "label", 1), [UNREAD, b"cell", "label", 1]])
def test_other_tuples_are_values(value: Any) -> None:
    """Only what a converter made is a cell; a program's own tuple, or a JSON list, is a value."""
    assert not is_unread(value)


def test_a_page_holds_one_cell_of_each_key(person: Person) -> None:
    """However long a page is, its first cell of each key is what is kept to unwrap the keys together."""
    keep = keeping_converter(SSN)
    cells = [bytes((1, 1, 0)) + bytes(8) + n.to_bytes(32, "big") + b"rest" for n in range(NEIGHBOURS + 1)]
    kept = [keep(cell, None, None) for cell in cells for _ in range(2)]
    assert taken_from(kept[1][3]) == cells[:NEIGHBOURS]
    assert taken_from(kept[0][3]) == []  # taken once
    assert taken_from(kept[-1][3]) == []  # alone on the next page


def test_a_page_is_gone_with_its_rows() -> None:
    """Rows that an iterator has left behind leave nothing in memory."""
    keep = keeping_converter(SSN)
    first, second = (keep(bytes(11) + bytes((n,)) * 32, None, None) for n in (1, 2))
    number = first[3]
    assert number in unread._pages
    del keep, second
    assert number not in unread._pages
