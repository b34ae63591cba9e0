"""What SQLite holds that is no blob, because somebody wrote it past Django, stays as it is."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from django.core import serializers
from django.db import connection

from django_workos_vault.exceptions import EnvelopeError
from tests.app.models import Account, Device, Organization, Person, Voter

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(connection.vendor != "sqlite", reason="the other databases have types"),
]

STORED = ["123-45-6789", "", "workos-vault-cell:AAAA", 0, -5, 2**62, 1.5, b"plain"]


def _bulk_update(row: Any, name: str) -> None:
    type(row)._default_manager.bulk_update([row], [name])


def _all_but(row: Any, name: str) -> set[str]:
    return {field.name for field in row._meta.fields} - {name}


WAYS: dict[str, Callable[[Any, str], Any]] = {
    "save": lambda row, name: row.save(),
    "update_fields": lambda row, name: row.save(update_fields=[name]),
    "bulk_update": _bulk_update,
    "a pickle saved": lambda row, name: pickle.loads(pickle.dumps(row)).save(),
    "a copy saved": lambda row, name: copy.deepcopy(row).save(),
    "refreshed": lambda row, name: (row.refresh_from_db(), row.save()),
    "assigned to itself": lambda row, name: (setattr(row, name, row.__dict__[name]), row.save()),
    "inserted again": lambda row, name: (type(row).objects.all().delete(), row.save(force_insert=True)),
    "a raw save": lambda row, name: row.save_base(raw=True),
    "validated": lambda row, name: (row.clean_fields(exclude=_all_but(row, name)), row.save()),
}


def make(model: Any) -> Any:
    organization = Organization.objects.create(name="Org", workos_id="org_1")
    if model is Device:
        return Device.objects.create(organization=organization, pin="1234")
    return model.objects.create()


COLUMNS: list[tuple[Any, str]] = [
    (Person, "ssn"),
    (Device, "pin"),
    (Account, "email"),
    (Voter, "surname"),
    (Voter, "town"),
]
CASES = [
    *((*column, "save", stored) for column in COLUMNS for stored in STORED),
    *((*column, way, stored) for column in COLUMNS for way in list(WAYS)[1:] for stored in ("text", 1.5)),
]


@pytest.mark.parametrize(("model", "name", "way", "stored"), CASES)
def test_it_is_written_back_as_it_was(model: Any, name: str, way: str, stored: Any) -> None:
    """Value and type survive every way of writing a row, and reading stays one typed error."""
    make(model)
    table = model._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {table} SET {name} = %s", [stored])
    row = model.objects.get()
    WAYS[way](row, name)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {name}, typeof({name}) FROM {table}")
        found, type_ = cursor.fetchone()
    assert (found, type_) == (
        stored,
        {str: "text", int: "integer", float: "real", bytes: "blob"}[type(stored)],
    )
    with pytest.raises(EnvelopeError):
        getattr(model.objects.get(), name)


def test_a_dump_of_it_goes_on() -> None:
    """A fixture holds its bytes, so that a backup is whole."""
    Person.objects.create(notes="fine")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE app_person SET ssn = 471622")
    [item] = serializers.deserialize("json", serializers.serialize("json", Person.objects.all()))
    item.save()
    with connection.cursor() as cursor:
        cursor.execute("SELECT ssn FROM app_person")
        assert cursor.fetchone()[0] == b"471622"
    assert Person.objects.get().notes == "fine"
