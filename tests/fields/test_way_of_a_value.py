"""The page on the way of a value says which modules it meets: each way is walked, and the page held to it."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from django_workos_vault import vaults
from tests.app.models import Account, Organization, Patient, Person
from tests.called import PACKAGE, called, names_called

# What was registered inside of a transaction that goes on is looked at again for each value.
pytestmark = pytest.mark.django_db(transaction=True)

PAGE = PACKAGE.parent / "docs" / "way-of-a-value.md"


def modules_met(walk: Callable[[], Any]) -> list[str]:
    """The package's modules whose functions ``walk`` runs, in the order in which they are met first."""
    paths = (Path(code.co_filename).relative_to(PACKAGE) for code in called(walk))
    return list(dict.fromkeys(path.with_suffix("").as_posix() for path in paths))


def on_the_page(way: str) -> list[str]:
    """The modules that the page lists under ``way``."""
    [section] = re.findall(rf"<!-- way: {way} -->\n\n(.*?)(?:\n\n|\Z)", PAGE.read_text(), re.DOTALL)
    return re.findall(r"^\| `([\w/]+)` \|", section, re.MULTILINE)


def write(instance: Any, name: str) -> Any:
    """What Django does with one value of an INSERT."""
    field = instance._meta.get_field(name)
    return field.get_db_prep_save(field.pre_save(instance, True), connection)


def of_an_organization() -> Patient:
    organization, _ = Organization.objects.get_or_create(name="Clinic", workos_id="org_1")
    return Patient(organization=organization, ssn="123-45-6789")


WRITES: dict[str, tuple[Callable[[], Any], str]] = {
    "write a text": (lambda: Person(notes="a note"), "notes"),
    "write for a row": (of_an_organization, "ssn"),
    "write an indexed value": (lambda: Account(login="ada"), "login"),
}


@pytest.mark.parametrize("way", WRITES)
def test_a_value_is_written(way: str) -> None:
    """Encoding, digests, scheme, cipher, ring: in this order, and nothing else."""
    make, name = WRITES[way]
    write(make(), name)  # the key is in memory from here on
    instance = make()
    assert modules_met(lambda: write(instance, name)) == on_the_page(way)


def test_a_value_is_read() -> None:
    """The attribute, the field, the cipher."""
    pk = Person.objects.create(notes="a note").pk
    assert Person.objects.get(pk=pk).notes == "a note"
    person = Person.objects.get(pk=pk)
    assert modules_met(lambda: person.notes) == on_the_page("read")


def test_a_value_is_read_with_a_cold_key() -> None:
    """Down to the vault, and nothing that was not needed before."""
    pk = Person.objects.create(notes="a note").pk
    assert Person.objects.get(pk=pk).notes == "a note"
    vaults["default"].forget_keys()
    person = Person.objects.get(pk=pk)
    assert modules_met(lambda: person.notes) == on_the_page("read with a cold key")


def test_four_functions_between_django_and_the_cipher_library() -> None:
    """A value that its cell depends on alone: pre_save() and three more, then AES-GCM."""
    field: Any = Person._meta.get_field("notes")
    field.pre_save(Person(notes="warm"), True)
    person = Person(notes="a note")
    called = names_called(lambda: field.pre_save(person, True))
    assert called[:4] == ["pre_save", "_encoded", "seal", "sealing_key"]
    assert set(called[4:]) == {"__init__", "remember"}  # what the instance holds afterwards


def test_four_functions_from_the_attribute_to_the_cipher_library() -> None:
    """A value that is read: the attribute, its look at the caller, and two more, then AES-GCM."""
    pk = Person.objects.create(notes="a note").pk
    assert Person.objects.get(pk=pk).notes == "a note"
    person = Person.objects.get(pk=pk)
    assert names_called(lambda: person.notes) == ["__get__", "caller_moves_values", "open_held", "open"]


def test_two_functions_for_a_value_without_an_instance() -> None:
    """``values_list()``: the converter, then the cipher."""
    Person.objects.create(notes="a note")
    rows = Person.objects.values_list("notes", flat=True)
    assert list(rows) == ["a note"]
    called = names_called(lambda: list(rows.all()))
    assert called[called.index("open_each") :] == ["open_each", "open"]


def test_one_function_between_a_row_and_its_cell() -> None:
    """Loading rows that nobody reads calls one function a cell, two where the database gives no bytes."""
    Person.objects.create(ssn="123-45-6789")
    rows = Person.objects.all()
    called = names_called(lambda: list(rows))
    for_each = called[called.index("seal") :]
    assert set(for_each) <= {"seal", "_as_bytes", "__set__"}  # the last is Django's Model.__init__()
    assert for_each.count("seal") == for_each.count("__set__") == 3
