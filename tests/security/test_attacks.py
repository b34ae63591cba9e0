"""What somebody hostile would try: values in error reports, changed tables, cells in the wrong place."""

import re
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django import forms
from django.core import serializers
from django.core.exceptions import FieldError, ValidationError
from django.db import DataError, IntegrityError, connection, transaction

from django_workos_vault import envelope, vaults
from django_workos_vault.conf import vault_settings
from django_workos_vault.datakey import DataKey, LoadedKey
from django_workos_vault.emulator import RunningEmulator
from django_workos_vault.exceptions import InvalidVaultConfiguration, VaultError, WrongKey
from django_workos_vault.fields import stored_cell
from django_workos_vault.fields.cell import Sealed
from django_workos_vault.fields.fixtures import cell_to_text
from django_workos_vault.models import DataKeyRecord
from tests.app.everything import Everything
from tests.app.models import Account, Device, Organization, Patient, Person

pytestmark = pytest.mark.django_db

SECRET = "123-45-6789"


def our_locals(error: BaseException | None) -> str:
    """Return, as text, every local of this package's frames in ``error``'s traceback and its causes'."""
    shown = []
    while error is not None:
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if "django_workos_vault/" in frame.f_code.co_filename:
                shown += [
                    f"{frame.f_code.co_qualname}: {name}={value!r}" for name, value in frame.f_locals.items()
                ]
        error = error.__cause__ or error.__context__
    return "\n".join(shown)


@pytest.fixture
def unreachable(settings: Any) -> None:
    """Vault cannot be reached."""
    settings.WORKOS_VAULTS = {
        "default": {
            "BACKEND": "django_workos_vault.backends.workos.WorkOSVault",
            "KEY_CONTEXT": {"app": "tests"},
            "OPTIONS": {"api_key": "sk_" + "test_attack", "base_url": "http://127.0.0.1:9", "deadline": 0.2},
        }
    }


WRITES: dict[str, Callable[[], Any]] = {
    "save": lambda: Person(ssn=SECRET).save(),
    "bulk_create": lambda: Person.objects.bulk_create([Person(ssn=SECRET)]),
    "update": lambda: Person.objects.update(ssn=SECRET),
    "search": lambda: Account.objects.filter(login=SECRET).exists(),
    "full_clean": lambda: Account(login=SECRET, email="a@b.example").full_clean(),
    "save with indexes": lambda: Account(login=SECRET).save(),
    "dump": lambda: serializers.serialize("json", [Person(ssn=SECRET)]),
}


@pytest.mark.parametrize("write", WRITES)
def test_an_outage_while_writing_reports_no_value(unreachable: None, write: str) -> None:
    """Error reports show the locals of each frame: ours hold no plaintext when Vault cannot be asked."""
    with pytest.raises(VaultError) as caught:
        WRITES[write]()
    assert SECRET not in our_locals(caught.value)


@pytest.mark.parametrize("write", ["save", "update"])
@pytest.mark.parametrize("name", ["small", "uuid", "date", "datetime", "decimal", "ip", "float", "json"])
def test_a_value_that_does_not_fit_is_not_reported(name: str, write: str) -> None:
    """A refused value stands neither in the message nor in the locals of our frames."""
    value = {"small": int("123456789" * 3), "json": {SECRET: object()}}.get(name, f"{SECRET} 123456789")
    with pytest.raises((ValidationError, DataError, TypeError, ValueError)) as caught:
        Everything(**{name: value}).save() if write == "save" else Everything.objects.update(**{name: value})
    shown = f"{caught.value!r} {our_locals(caught.value)}"
    assert SECRET not in shown
    assert "123456789" not in shown


def test_registry_cannot_spoil_new_cells() -> None:
    """Whoever changes a wrapped key in the registry does not make us write cells that open no more."""
    person = Person.objects.create(ssn=SECRET)
    DataKeyRecord.objects.update(wrapped=b"garbage")
    vaults.reset()
    loaded = Person.objects.get(pk=person.pk)
    assert loaded.ssn == SECRET  # the key is in memory now, unwrapped from the cell
    try:
        Person.objects.create(ssn="987-65-4321")
    except WrongKey:
        return
    vaults.reset()
    assert Person.objects.get(pk__gt=person.pk).ssn == "987-65-4321"


def test_a_spoilt_neighbour_does_not_close_a_sound_cell() -> None:
    """A cell whose wrapped key was changed spoils no other cell that the same key sealed."""
    bad, good = (Person.objects.create(ssn=SECRET) for _ in range(2))
    cell = envelope.with_key_reference(stored_cell(bad, "ssn"), b"garbage")
    Person.objects.filter(pk=bad.pk).update(ssn=Sealed(cell, Person._meta.get_field("ssn")))
    vaults.reset()
    rows = {row.pk: row for row in Person.objects.order_by("pk")}
    assert rows[good.pk].ssn == SECRET
    vaults.reset()
    rows = {row.pk: row for row in Person.objects.order_by("pk")}
    with pytest.raises(WrongKey):
        _ = rows[bad.pk].ssn
    assert rows[good.pk].ssn == SECRET


def test_a_wiped_key_never_seals() -> None:
    """A data key of zeros, which is what wiping leaves, is refused."""
    key = DataKey("key_1", bytearray(b"\x07" * 32), b"wrapped")
    LoadedKey(key)
    with pytest.raises(ValueError, match="wiped"):
        LoadedKey(key)


@pytest.mark.skipif(connection.vendor == "mysql", reason="MariaDB names no unique fields")
def test_upsert_does_not_bind_a_cell_to_a_row_that_is_not_written() -> None:
    """bulk_create(update_conflicts) that would put a new row's cell into an older row is refused."""
    org = Organization.objects.create(name="one", workos_id="org_1")
    device = Device.objects.create(organization=org, pin="1234")
    other = Organization.objects.create(name="two", workos_id="org_2")
    with pytest.raises(FieldError, match="another row's organization_id"), transaction.atomic():
        Device.objects.bulk_create(
            [Device(pk=device.pk, organization=other, pin="5678")],
            update_conflicts=True,
            unique_fields=["id"],
            update_fields=["pin"],
        )
    Device.objects.bulk_create(
        [Device(pk=device.pk, organization=other, pin="5678")],
        update_conflicts=True,
        unique_fields=["id"],
        update_fields=["pin", "organization"],
    )
    assert Device.objects.get().pin == "5678"


@pytest.mark.parametrize(
    "name", ["colour", "uuid", "date", "datetime", "time", "decimal", "integer", "duration"]
)
def test_validation_errors_quote_no_value(name: str) -> None:
    """full_clean() says which field is wrong and why, and neither message, parameters nor locals quote it."""
    with pytest.raises(ValidationError) as caught:
        Everything(**{name: SECRET}).full_clean()
    errors = caught.value.error_dict[name]
    assert SECRET not in f"{caught.value!r} {[error.params for error in errors]} {errors[0].messages}"
    assert SECRET not in our_locals(caught.value)


@pytest.mark.parametrize("serializer", ["json", "jsonl", "xml", "python"])
def test_unreadable_cells_are_dumped_as_they_are(serializer: str) -> None:
    """No serializer of Django opens a cell."""
    Person.objects.create(ssn=SECRET)
    with vaults["default"].decryption_forbidden():
        text = str(serializers.serialize(serializer, Person.objects.all()))
    assert SECRET not in text
    assert "workos-vault-cell" in text


@pytest.mark.parametrize("value", [True, False])
def test_a_declared_checkbox_keeps_an_unreadable_cell(value: bool) -> None:
    """An untouched checkbox writes nothing over a cell that cannot be opened."""

    class Form(forms.ModelForm):
        boolean = forms.BooleanField(required=False)

        class Meta:
            model = Everything
            fields = ("boolean", "char")

    stored = Everything.objects.create(boolean=value, char="x")
    cell = stored_cell(stored, "boolean")
    field: Any = Everything._meta.get_field("boolean")
    spoilt = cell[:-1] + bytes([cell[-1] ^ 1])
    Everything.objects.update(boolean=Sealed(spoilt, field))
    row = Everything.objects.get()
    rendered = str(Form(instance=row)["boolean"])
    Form({"char": "y", **({"boolean": "on"} if "checked" in rendered else {})}, instance=row).save()
    saved = Everything.objects.get()
    assert saved.char == "y"
    assert stored_cell(saved, "boolean") == spoilt


def test_a_cell_given_as_a_value_is_opened_not_shown() -> None:
    """A cell that code carries into a query or another column counts as its value, never as blank text."""
    account = Account.objects.create(login=SECRET, email="a@b.example")
    held = Account.objects.get().__dict__["login"]
    assert Account.objects.filter(login=held).exists()
    Account.objects.filter(pk=account.pk).update(email=held)
    assert Account.objects.get(email=SECRET).email == SECRET
    person = Person(ssn=Account.objects.get().__dict__["login"])
    person.save()
    assert Person.objects.get().ssn == SECRET


def test_a_failed_insert_leaves_the_instance_as_it_was() -> None:
    """After the database refused a row its values still read, and saving it again works."""
    person = Person(name="nobody", ssn=SECRET)
    with pytest.raises(IntegrityError), transaction.atomic():
        person.save()
    assert person.ssn == SECRET
    person.name = "Ada"
    person.save()
    vaults.reset()
    assert Person.objects.get().ssn == SECRET


def test_an_outage_in_the_middle_of_a_row_loses_nothing(
    vault_emulator: RunningEmulator, settings: Any
) -> None:
    """When Vault fails between two fields of a row, the instance keeps both values and can be saved later."""
    org = Organization.objects.create(name="one", workos_id="org_1")
    patient = Patient(organization=org, ssn=SECRET)
    settings.WORKOS_VAULTS = {
        "default": {
            "BACKEND": "django_workos_vault.backends.workos.WorkOSVault",
            "KEY_CONTEXT": {"app": "tests"},
            "OPTIONS": {"api_key": "sk_" + "test_wrong", "base_url": vault_emulator.url},
        }
    }
    with pytest.raises(VaultError), transaction.atomic():
        patient.save()
    assert (patient.ssn, patient.pk) == (SECRET, None)
    settings.WORKOS_VAULTS["default"]["OPTIONS"]["api_key"] = vault_emulator.api_key
    vaults.reset()
    patient.save()
    assert Patient.objects.get().ssn == SECRET


def test_text_that_looks_like_a_dumped_cell_stays_text(settings: Any) -> None:
    """A user's text in the form of a dumped cell is not opened by a plaintext dump that is loaded again."""
    victim = Person.objects.create(ssn=SECRET)
    text = cell_to_text(stored_cell(victim, "ssn"))
    intruder = Person.objects.create(notes=text)
    settings.WORKOS_VAULT_DUMP_PLAINTEXT = True
    with pytest.warns(UserWarning, match="plaintext"):
        fixture = serializers.serialize("json", [intruder])
    intruder.delete()
    for loaded in serializers.deserialize("json", fixture):
        loaded.save()
    assert Person.objects.get(pk__gt=victim.pk).notes == text


def test_wrong_settings_report_no_api_key(settings: Any) -> None:
    """The frames that read the settings hold no API key when an option is wrong."""
    key = "sk_" + "live_1234567890"
    settings.WORKOS_VAULTS = {
        "default": {
            "BACKEND": "django_workos_vault.backends.workos.WorkOSVault",
            "DATA_KEYS": {"rotate_often": True},
            "OPTIONS": {"api_key": key},
        }
    }
    with pytest.raises(InvalidVaultConfiguration) as caught:
        vault_settings("default")
    assert key not in our_locals(caught.value)


def test_an_older_cell_put_back_is_not_detected() -> None:
    """A limit that docs/security.md tells of: an earlier cell of the same row and column is genuine."""
    org = Organization.objects.create(name="one", workos_id="org_1")
    device = Device.objects.create(organization=org, pin="1234")
    older = stored_cell(device, "pin")
    device.pin = "5678"
    device.save()
    field: Any = Device._meta.get_field("pin")
    Device.objects.update(pin=Sealed(older, field))
    assert Device.objects.get().pin == "1234"


def test_without_bind_to_cells_can_be_swapped_between_rows() -> None:
    """A limit that docs/security.md tells of, and what ``bind_to`` is for."""
    one, two = (Person.objects.create(ssn=ssn) for ssn in (SECRET, "987-65-4321"))
    field: Any = Person._meta.get_field("ssn")
    Person.objects.filter(pk=one.pk).update(ssn=Sealed(stored_cell(two, "ssn"), field))
    assert Person.objects.get(pk=one.pk).ssn == "987-65-4321"


def test_the_security_page_names_tests_that_exist() -> None:
    """Each test that docs/security.md gives as evidence is there."""
    root = Path(__file__).parents[2]
    named = re.findall(r"(tests/[\w/]+\.py)::(\w+)", (root / "docs/security.md").read_text())
    assert len(named) > 20
    for path, name in named:
        assert f"def {name}(" in (root / path).read_text(), f"{path}::{name}"
