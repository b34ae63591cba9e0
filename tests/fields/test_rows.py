"""Fields that depend on their row: its key, and the identity that cells are bound to."""

import copy
import pickle
import uuid
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.core import serializers
from django.core.exceptions import FieldError
from django.db import connections, models, transaction
from django.test.utils import isolate_apps

from django_workos_vault import vaults
from django_workos_vault.emulator import RunningEmulator
from django_workos_vault.exceptions import EnvelopeError, InvalidVaultConfiguration, WrongBinding
from django_workos_vault.fields import EncryptedCharField, FromRow, stored_cell
from django_workos_vault.fields.cell import Sealed
from tests.app.models import Device, Organization, Patient

pytestmark = pytest.mark.django_db


@pytest.fixture
def organization() -> Organization:
    return Organization.objects.create(name="one", workos_id="org_1")


@pytest.fixture
def other_organization() -> Organization:
    return Organization.objects.create(name="two", workos_id="org_2")


@pytest.fixture
def device(organization: Organization) -> Device:
    return Device.objects.create(organization=organization, pin="1234")


def test_bound_value_comes_back(device: Device) -> None:
    """A bound cell opens in its own row, after saving, loading and refreshing."""
    assert device.pin == "1234"
    loaded = Device.objects.get()
    assert loaded.pin == "1234"
    loaded.refresh_from_db()
    assert loaded.pin == "1234"


def test_cell_swapped_into_another_row_does_not_open(device: Device, organization: Organization) -> None:
    """Somebody who can write the database cannot give one row another row's value."""
    other = Device.objects.create(organization=organization, pin="9999")
    Device.objects.filter(pk=other.pk).update(pin=Sealed(stored_cell(device, "pin"), Device.pin.field))
    with pytest.raises(WrongBinding, match="another row"):
        _ = Device.objects.get(pk=other.pk).pin


def test_row_moved_in_the_database_does_not_open(device: Device, other_organization: Organization) -> None:
    """A row whose bound column was changed behind the program's back raises, it is not re-sealed."""
    Device.objects.update(organization=other_organization)
    loaded = Device.objects.get()
    with pytest.raises(WrongBinding):
        _ = loaded.pin
    loaded.save()
    assert stored_cell(Device.objects.get(), "pin") == stored_cell(device, "pin")


def test_row_moved_by_the_program_is_sealed_anew(device: Device, other_organization: Organization) -> None:
    """Assigning a bound column and saving re-seals the value, under the new organization's key."""
    loaded = Device.objects.get()
    loaded.organization = other_organization
    assert loaded.pin == "1234"
    loaded.save()
    moved = Device.objects.get()
    assert moved.pin == "1234"
    assert stored_cell(moved, "pin") != stored_cell(device, "pin")
    assert vaults["default"].backend.requests_made == 2


def test_saving_only_the_moved_column_is_refused(device: Device, other_organization: Organization) -> None:
    """``update_fields`` must not leave a cell behind that nobody can open."""
    device.organization = other_organization
    with pytest.raises(FieldError, match="write it too"), transaction.atomic():
        device.save(update_fields=["organization"])
    device.save(update_fields=["organization", "pin"])
    assert Device.objects.get().pin == "1234"


def test_clone_is_sealed_for_its_own_row(device: Device) -> None:
    """``pk = None`` and ``save()`` makes a second row whose cell is bound to it."""
    clone = Device.objects.get()
    clone.pk = None
    clone._state.adding = True
    clone.save()
    assert Device.objects.count() == 2
    assert {d.pin for d in Device.objects.all()} == {"1234"}


def test_deferred_bound_columns_are_fetched(device: Device) -> None:
    """``only()`` and ``defer()`` leave bound columns out; reading the value fetches them."""
    assert Device.objects.only("pin").get().pin == "1234"
    assert Device.objects.defer("pin").get().pin == "1234"


def test_untouched_row_is_written_as_it_was(device: Device) -> None:
    """Saving a bound row opens nothing and changes nothing."""
    loaded = Device.objects.get()
    with vaults["default"].decryption_forbidden():
        loaded.save()
    assert stored_cell(Device.objects.get(), "pin") == stored_cell(device, "pin")


@pytest.mark.parametrize("move", [copy.copy, copy.deepcopy, lambda d: pickle.loads(pickle.dumps(d))])
def test_copies_keep_the_binding(device: Device, move) -> None:
    """A copied or pickled instance still knows the row that its cell belongs to."""
    assert move(Device.objects.get()).pin == "1234"


def test_key_written_as_text_is_the_same_key(organization: Organization) -> None:
    """A primary key given as text binds like the one that comes back from the database."""
    Device.objects.create(id=str(uuid.uuid4()), organization=organization, pin="1")
    assert Device.objects.get().pin == "1"


def test_values_has_no_row(device: Device) -> None:
    """A bound field cannot be checked without its row, so it is not opened without."""
    with pytest.raises(FieldError, match="bound to its row"):
        list(Device.objects.values("pin"))


def test_update_needs_the_row(device: Device) -> None:
    """Where no instance is at hand, nothing is sealed and the error names what does it."""
    with pytest.raises(FieldError, match="EncryptedManager"), transaction.atomic():
        Device.objects.update(pin="5")
    assert Device.objects.get().pin == "1234"


def test_fixture_round_trip(device: Device) -> None:
    """A bound cell survives dumpdata and loaddata with its row, and does not open in another."""
    before = stored_cell(device, "pin")
    dump = serializers.serialize("json", Device.objects.all())
    Device.objects.all().delete()
    for item in serializers.deserialize("json", dump):
        item.save()
    loaded = Device.objects.get()
    assert stored_cell(loaded, "pin") == before
    assert loaded.pin == "1234"
    for item in serializers.deserialize("json", dump.replace(str(device.pk), str(uuid.uuid4()))):
        item.save()
        with pytest.raises(EnvelopeError):
            _ = Device.objects.get(pk=item.object.pk).pin


def test_missing_organization_is_refused_before_sealing() -> None:
    """A row without the value that chooses its key is never sealed under another."""
    nameless = Organization.objects.create(name="no id")
    with pytest.raises(InvalidVaultConfiguration, match=r"organization\.workos_id"):
        Patient.objects.create(organization=nameless, ssn="1")
    assert vaults["default"].backend.requests_made == 0


def test_patient_that_changes_organization_is_sealed_under_the_new_key(
    organization: Organization, other_organization: Organization
) -> None:
    """The key follows the row, without a binding too."""
    patient = Patient.objects.create(organization=organization, ssn="1")
    before = stored_cell(patient, "ssn")
    patient.organization = other_organization
    patient.save()
    assert stored_cell(patient, "ssn") != before
    assert Patient.objects.get().ssn == "1"
    assert vaults["default"].backend.requests_made == 2


@pytest.mark.parametrize(
    ("bind_to", "reason"),
    [
        (("pk",), "assigns"),
        (("seen",), "round trip"),
        (("nowhere",), "nowhere"),
        (("secret",), "encrypted"),
    ],
)
@isolate_apps("tests.app")
def test_binding_to_what_cannot_hold_is_a_check_error(bind_to: tuple[str, ...], reason: str) -> None:
    """A key that does not exist at INSERT, or reads back differently, is refused by a check."""

    class Unbindable(models.Model):
        seen = models.DateTimeField()
        secret = EncryptedCharField(max_length=5)
        pin = EncryptedCharField(max_length=5, bind_to=bind_to)

        class Meta:
            app_label = "app"

    errors = Unbindable.check()
    assert [error.id for error in errors] == ["django_workos_vault.E008"]
    assert reason in errors[0].msg


def test_manager_updates_each_row_for_itself(device: Device, other_organization: Organization) -> None:
    """``update()`` of the manager seals a value once for every row, and follows a moved row."""
    Device.objects.create(organization=other_organization, pin="9")
    assert Device.sealed.update(pin="5") == 2
    assert [d.pin for d in Device.objects.all()] == ["5", "5"]
    assert Device.sealed.filter(pk=device.pk).update(organization=other_organization) == 1
    assert [d.pin for d in Device.objects.all()] == ["5", "5"]
    assert Device.sealed.update(name="plain") == 2


@pytest.mark.parametrize("manager", [Device.objects, Device.sealed])
def test_bulk_updates(device: Device, other_organization: Organization, manager: Any) -> None:
    """``bulk_update()`` seals assigned values, and refuses to move half a row."""
    device.pin = "5"
    manager.bulk_update([device], ["pin"])
    assert Device.objects.get().pin == "5"
    device.organization = other_organization
    with pytest.raises(FieldError, match="write it too"):
        manager.bulk_update([device], ["organization"])
    manager.bulk_update([device], ["organization", "pin"])
    assert Device.objects.get().pin == "5"


def test_manager_refuses_expressions_beside_rows(device: Device) -> None:
    """A value that only the database knows cannot be part of what a cell is sealed for."""
    with pytest.raises(FieldError, match="not together with expressions"):
        Device.sealed.update(pin="5", name=models.F("name"))


def test_unlock_fetches_every_key_at_once(device: Device, other_organization: Organization) -> None:
    """After ``unlock()`` no attribute asks Vault for anything."""
    Device.objects.create(organization=other_organization, pin="9")
    vaults.reset()
    devices = Device.sealed.unlock("pin")
    backend = vaults["default"].backend
    assert backend.requests_made == 2
    assert {d.pin for d in devices} == {"1234", "9"}
    assert backend.requests_made == 2


async def test_aunlock_does_not_block_the_loop(
    transactional_db: None, settings: Any, vault_emulator: RunningEmulator
) -> None:
    """The async twin awaits the query and the requests; reading afterwards waits for nothing."""
    settings.WORKOS_VAULTS = {
        "default": {
            "BACKEND": "django_workos_vault.backends.workos.WorkOSVault",
            "OPTIONS": {"api_key": vault_emulator.api_key, "base_url": vault_emulator.url},
        }
    }
    organization = await Organization.objects.acreate(name="one", workos_id="org_1")
    await Device.objects.acreate(organization=organization, pin="1234")
    vaults.reset()
    devices = await Device.sealed.all().aunlock()
    assert vaults["default"].backend.requests_made == 1
    assert [d.pin for d in devices] == ["1234"]
    assert vaults["default"].backend.requests_made == 1
    await sync_to_async(connections.close_all)()  # the connection of the thread that ran the queries


@pytest.mark.parametrize("before", [(), ("organization",)])
def test_changed_binding_opens_as_before_until_it_is_sealed_anew(before: tuple[str, ...]) -> None:
    """After ``bind_to`` changed, ``previous_bind_to`` opens older cells, of this row alone."""
    with isolate_apps("tests.app"):

        class Gadget(models.Model):
            organization = models.IntegerField()
            pin = EncryptedCharField(max_length=8, bind_to=before, label="gadget pin")

            class Meta:
                app_label = "app"

        class GadgetNow(models.Model):
            organization = models.IntegerField()
            pin = EncryptedCharField(
                max_length=8, bind_to=("name",), previous_bind_to=(before,), label="gadget pin"
            )
            name = models.CharField(max_length=8)

            class Meta:
                app_label = "app"

    cell = Gadget.pin.field.seal_value("1234", Gadget(organization=1))
    old, new = GadgetNow.pin.field, GadgetNow(organization=1, name="a")
    assert old.open_cell(cell, row=(("a", 1) if before else ("a",))) == "1234"
    if before:
        with pytest.raises(WrongBinding):
            old.open_cell(cell, row=("a", 2))
    anew = old.seal_value("1234", new)
    with pytest.raises(WrongBinding):
        old.open_cell(anew, row=(("b", 1) if before else ("b",)))


@isolate_apps("tests.app", "django.contrib.contenttypes")
def test_relations_that_choose_a_key() -> None:
    """What a path goes through can be fetched ahead: up to a property, or to a row of any model."""

    class Chart(models.Model):
        kind = models.ForeignKey(ContentType, models.CASCADE)
        number = models.IntegerField()
        owner = GenericForeignKey("kind", "number")
        device = models.ForeignKey(Device, models.CASCADE)

        class Meta:
            app_label = "app"

    paths = ("owner.workos_id", "device.organization.workos_id", "device.organization_id", "tenant.device")
    followed = [FromRow(path).relations(Chart) for path in paths]
    assert followed == ["owner", "device__organization", "device", ""]
    conditions = [FromRow(path).rows_with(Chart, "1") for path in paths]
    by_key = models.Q(device__organization__id="1")
    assert conditions == [None, models.Q(device__organization__workos_id="1"), by_key, None]
