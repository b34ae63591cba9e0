"""No frame of this package in a traceback holds a value that is still plaintext in its column."""

import asyncio
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing
from io import StringIO
from json import JSONDecoder
from typing import Any

import pytest
from django.core import serializers
from django.core.management import call_command
from django.db import connection
from django.db.models import F, Model, Value
from django.db.models.functions import Coalesce
from django.forms import modelform_factory
from django.test import override_settings
from django.test.utils import isolate_apps

from django_workos_vault import vaults
from django_workos_vault.fields import EncryptedJSONField, aload_keys
from django_workos_vault.fields.cell import Sealed
from django_workos_vault.maintenance import cells
from django_workos_vault.maintenance.engine.rehearsal import Pass
from django_workos_vault.maintenance.operations import Resealing
from django_workos_vault.maintenance.reencryption.adoption import Adoption
from django_workos_vault.querysets import EncryptedQuerySet
from tests.app.models import Account, Citizen, Device, Organization, Person, Voter

pytestmark = [pytest.mark.django_db, pytest.mark.filterwarnings("ignore:.* is dumped as plaintext")]

SECRET = "s3cret-123-45-6789"
TEXT = (SECRET, SECRET.encode(), b"\x01\x01\x00" + SECRET.encode() * 9)
COLUMNS: dict[str, tuple[Any, str]] = {
    "plain": (Person, "ssn"),
    "indexed": (Account, "login"),
    "bound": (Device, "pin"),
    "compound": (Voter, "surname"),
}


def of_ours(error: BaseException | None) -> Iterator[str]:
    """Yield each local of this package's frames, in the tracebacks of ``error`` and of all it came from."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        error = waiting.pop()
        if error is None or id(error) in seen:
            continue
        seen.add(id(error))
        waiting += [error.__cause__, error.__context__]
        for frame, line in traceback.walk_tb(error.__traceback__):
            if "/django_workos_vault/" in frame.f_code.co_filename:
                for name, value in frame.f_locals.items():
                    yield f"{frame.f_code.co_filename}:{line} {frame.f_code.co_qualname}: {name}={value!r}"


@pytest.fixture(params=[("plain", 0), *((column, index) for column in COLUMNS for index in (1, 2))], ids=str)
def column(request: Any) -> tuple[Any, str]:
    """A model with two rows whose encrypted column holds plaintext, as text where the database allows."""
    name, index = request.param
    (model, field), text = COLUMNS[name], TEXT[index]
    if isinstance(text, str) and connection.vendor != "sqlite":
        pytest.skip("SQLite alone keeps text in a binary column")
    organization = Organization.objects.create(name="Org", workos_id="org_1")
    for _ in range(1 if model is Voter else 2):  # it has a unique index
        if model is Device:
            Device.objects.create(organization=organization, pin="1234")
        else:
            model.objects.create(**{field: "x"}, **({"town": "y"} if model is Voter else {}))
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {model._meta.db_table} SET {field} = %s", [text])
    return model, field


def dump(model: Any, field: str) -> None:
    with override_settings(WORKOS_VAULT_DUMP_PLAINTEXT=True):
        serializers.serialize("json", model.objects.all())


def assign_other(model: Any, field: str) -> None:
    row = model.objects.first()
    if model is Device:
        row.organization = Organization.objects.create(name="two", workos_id="org_2")
    elif model is Voter:
        row.town = "another"
    row.save()
    getattr(row, field)


def open_all(model: Any, field: str) -> None:
    reader = cells.CellReader()
    for row in model.objects.all():
        reader.open(model._meta.get_field(field), row)


def reseal(model: Any, field: str) -> None:
    run = Pass([model._meta.get_field(field)], Resealing(), using="default")
    list(run.batches())
    raise cells.CannotOpen("x", repr(run.left))


def forbidden(model: Any, field: str) -> None:
    with vaults["default"].decryption_forbidden():
        getattr(model.objects.first(), field)


def in_a_loop(model: Any, field: str) -> None:
    rows = list(model.objects.all())
    with vaults["default"].decryption_forbidden():
        asyncio.run(aload_keys(rows))


def unlocked(model: Any, field: str) -> None:
    with vaults["default"].decryption_forbidden():
        EncryptedQuerySet(model).unlock()


def iterate(model: Any, field: str) -> None:
    if connection.vendor == "postgresql":
        pytest.skip("an abandoned cursor is closed in another test's transaction")
    with closing(model.objects.values_list(field).iterator()) as rows:
        list(rows)


def edit(model: Any, field: str) -> None:
    row = model.objects.first()
    form = modelform_factory(model, fields=[field])(instance=row, data={field: ""})
    form.is_valid()
    getattr(form.instance, field)


WAYS: dict[str, Callable[[Any, str], Any]] = {
    "attribute": lambda model, field: getattr(model.objects.first(), field),
    "attribute among many": lambda model, field: [getattr(row, field) for row in model.objects.all()],
    "values": lambda model, field: list(model.objects.values(field)),
    "values_list": lambda model, field: list(model.objects.values_list(field, flat=True)),
    "iterator": iterate,
    "annotation": lambda model, field: list(model.objects.annotate(other=F(field))),
    "Coalesce": lambda model, field: list(model.objects.annotate(other=Coalesce(field, Value(None)))),
    "deferred": lambda model, field: getattr(model.objects.defer(field).first(), field),
    "raw": lambda model, field: getattr(model.objects.raw(f"SELECT * FROM {model._meta.db_table}")[0], field),
    "plaintext dump": dump,
    "save of a moved row": assign_other,
    "cells": open_all,
    "re-encryption": reseal,
    "forbidden": forbidden,
    "aload_keys": in_a_loop,
    "unlock": unlocked,
    "form": edit,
    "value_to_string": lambda model, field: model._meta.get_field(field).value_to_string(
        model.objects.first()
    ),
    "has_changed": lambda model, field: model.objects.first().__dict__[field].open(),
}


@pytest.mark.parametrize("way", WAYS)
def test_reading_what_is_no_cell(column: tuple[Any, str], way: str) -> None:
    """Whatever way the column is read, the error's frames of ours hold nothing of what stood there."""
    model, field = column
    with pytest.raises(Exception) as caught:  # noqa: PT011 -- of many kinds
        WAYS[way](model, field)
    assert SECRET not in str(caught.value)
    assert [shown for shown in of_ours(caught.value) if SECRET in shown] == []


class InASet(JSONDecoder):
    """Decodes to what no encoder takes back."""

    def decode(self, text: str, *args: Any) -> Any:
        return {super().decode(text, *args)}


@isolate_apps("tests.app")
def test_reading_what_cannot_be_encoded_again() -> None:
    """A value that can be changed in place is encoded when it is read, to notice that."""

    class Odd(Model):
        data = EncryptedJSONField(decoder=InASet)

        class Meta:
            app_label = "app"

    field: Any = Odd._meta.get_field("data")
    row = Odd(data=Sealed(field.seal_value(SECRET), field))
    with pytest.raises(TypeError, match="cannot hold this set") as caught:
        row.data  # noqa: B018
    assert SECRET not in "\n".join(of_ours(caught.value))


def test_commands_on_a_column_of_plaintext() -> None:
    """vault_check and an adoption that meet plaintext report its row and no more."""
    Person.objects.create()
    citizen = Citizen.objects.create(tax_id="1")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE app_person SET ssn = %s", [SECRET.encode()])
        cursor.execute("UPDATE app_citizen SET tax_id_sealed = %s", [SECRET.encode()])
    out = StringIO()
    with pytest.raises(Exception) as caught:  # noqa: PT011
        call_command("vault_check", "--all", stdout=out)
    assert SECRET not in out.getvalue() + "".join(of_ours(caught.value))
    plain, encrypted = (Citizen._meta.get_field(name) for name in ("tax_id", "tax_id_sealed"))
    for step in ("encrypt", "decrypt", "verify"):
        with pytest.raises(Exception) as caught:  # noqa: PT011
            getattr(Adoption(plain, encrypted, "default", 10), step)()
        assert SECRET not in str(caught.value) + "".join(of_ours(caught.value))
    assert citizen.pk
