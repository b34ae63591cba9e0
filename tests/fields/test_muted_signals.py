"""Nothing that keeps values safe hangs on signals, which programs mute."""

from collections.abc import Iterator

import pytest
from django.core import serializers
from django.core.exceptions import FieldError
from django.db import transaction
from django.db.models import signals
from factory.django import mute_signals

from django_workos_vault import vaults
from django_workos_vault.fields import stored_cell
from tests.app.everything import EACH_TYPE, TYPES, Everything
from tests.app.models import Credential, Device, Manager, Organization, Person, Voter

pytestmark = pytest.mark.django_db

ALL = [getattr(signals, name) for name in ("pre_init", "post_init", "pre_save", "post_save")]


@pytest.fixture(autouse=True)
def _muted() -> Iterator[None]:
    with mute_signals(*ALL):
        yield


@pytest.mark.parametrize("format_", ["json", "xml", "python"])
def test_a_fixture_is_loaded_as_cells(format_: str) -> None:
    """Every type's cell comes out of a fixture as the same cell, when it is updated and when inserted."""
    values = {name: spec.values[-1] for name, spec in TYPES.items()}
    row = Everything.objects.create(**values)
    before = {name: stored_cell(row, name) for name in EACH_TYPE}
    dump = serializers.serialize(format_, [row])
    for _ in range(2):
        for item in serializers.deserialize(format_, dump):
            item.save()
        row = Everything.objects.get()
        assert {name: stored_cell(row, name) for name in EACH_TYPE} == before
        Everything.objects.all().delete()
        vaults.reset()


def test_plaintext_of_a_fixture_is_sealed() -> None:
    """A hand-written fixture leaves no plaintext in the column, in a parent's table neither."""
    fixture = [
        {"model": "app.employee", "pk": 1, "fields": {"badge": "471622"}},
        {"model": "app.manager", "pk": 1, "fields": {"bonus": "99999"}},
    ]
    for item in serializers.deserialize("python", fixture):
        item.save()
    manager = Manager.objects.get()
    assert (manager.badge, manager.bonus) == ("471622", "99999")
    assert b"471622" not in stored_cell(manager, "badge")
    assert b"99999" not in stored_cell(manager, "bonus")


def test_a_fixture_with_one_cell_and_one_plaintext_of_a_compound_index() -> None:
    """The index is that of the values, whichever of its columns the fixture has as a cell."""
    voter = Voter.objects.create(surname="Lovelace", town="London")
    [row] = serializers.serialize("python", [voter])
    for name, value in (("surname", "Lovelace"), ("town", "London")):
        item = {**row, "fields": {**row["fields"], name: value}}
        for loaded in serializers.deserialize("python", [item]):
            loaded.save()
        assert Voter.objects.get(surname__surname_and_town=["Lovelace", "London"]) == voter


def test_compound_indexes_are_renewed() -> None:
    """Assigning one column of a compound index moves the row in it, or is refused."""
    voter = Voter.objects.create(surname="Lovelace", town="Paris")
    voter = Voter.objects.get(pk=voter.pk)
    voter.town = "London"
    with pytest.raises(FieldError, match="write it too"), transaction.atomic():
        voter.save(update_fields=["town"])
    voter.save()
    assert Voter.objects.get(surname__surname_and_town=["Lovelace", "London"]) == voter


def test_rows_are_remembered_and_not_moved_from_under_their_cells() -> None:
    """A cell bound to its row is sealed anew when the row moves, and never left behind."""
    first, second = (Organization.objects.create(name=n, workos_id=n) for n in ("org_1", "org_2"))
    Device.objects.create(organization=first, pin="1234")
    device = Device.objects.get()
    assert device.pin == "1234"
    device = Device.objects.get()
    device.organization = second
    with pytest.raises(FieldError, match="write it too"), transaction.atomic():
        device.save(update_fields=["organization"])
    device.save()
    assert Device.objects.get().pin == "1234"
    assert Device.objects.defer("organization", "pin").get().pin == "1234"


def test_a_signal_handler_that_assigns_is_heard() -> None:
    """What a handler of pre_save assigns counts: guards come after it."""

    def assign(instance: Voter, **kwargs: object) -> None:
        instance.town = "London"

    voter = Voter.objects.create(surname="Lovelace", town="Paris")
    loaded = Voter.objects.get(pk=voter.pk)
    signals.pre_save.connect(assign, sender=Voter)
    try:
        loaded.save()
    finally:
        signals.pre_save.disconnect(assign, sender=Voter)
    assert Voter.objects.get(surname__surname_and_town=["Lovelace", "London"]) == voter


@pytest.mark.django_db(transaction=True)
def test_objects_are_written_and_cleared_up() -> None:
    """A stored object is written, replaced and cleared up after, inside a transaction too."""
    credential = Credential.objects.create(token="first")
    backend = vaults["default"].backend
    for value in ("second", None):
        with transaction.atomic():
            credential = Credential.objects.get()
            credential.token = value
            credential.save()
        assert Credential.objects.get().token == value
    assert backend.list_objects().items == ()


def test_a_text_that_looks_like_a_cell_is_only_taken_for_one_in_raw_saves() -> None:
    """An ordinary save seals such a text as text."""
    person = Person.objects.create(ssn="123")
    [row] = serializers.serialize("python", [person])
    text = row["fields"]["notes"]
    assert text.startswith("workos-vault-cell:")
    assert Person.objects.get(pk=Person.objects.create(notes=text).pk).notes == text
