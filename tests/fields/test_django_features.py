"""Encrypted fields beside what else Django does: its own times, relations, constraints, sessions, arrays."""

import pickle

import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.core.exceptions import ValidationError
from django.db import connection, models
from django.test.utils import isolate_apps

from django_workos_vault import vaults
from django_workos_vault.fields import encrypted, stored_cell
from tests.app.everything import EACH_TYPE, TYPES, encrypted_class
from tests.app.models import Person, Visit

pytestmark = pytest.mark.django_db


def test_auto_now_moves_and_auto_now_add_stays() -> None:
    """Saving sets the one anew and leaves the other, like Django's own fields."""
    visit = Visit.objects.create(person=Person.objects.create(), reason="check-up")
    began, changed = visit.began, visit.changed
    loaded = Visit.objects.get()
    before = stored_cell(loaded, "began")
    loaded.save()
    again = Visit.objects.get()
    assert stored_cell(again, "began") == before
    assert again.began == began
    assert again.changed > changed


def test_relations_bring_sealed_cells() -> None:
    """select_related and prefetch_related load without opening; what they bring opens as usual."""
    person = Person.objects.create(ssn="123-45-6789")
    Visit.objects.create(person=person, reason="a", room=1)
    Visit.objects.create(person=person, reason="b", room=2)
    vaults.reset()
    with vaults["default"].decryption_forbidden():
        visits = list(Visit.objects.select_related("person").order_by("room"))
        people = list(Person.objects.prefetch_related("visits"))
    assert vaults["default"].backend.requests_made == 0
    assert [(v.reason, v.person.ssn) for v in visits] == [("a", "123-45-6789"), ("b", "123-45-6789")]
    assert {v.reason for v in people[0].visits.all()} == {"a", "b"}


def test_validating_constraints_opens_nothing() -> None:
    """A model's constraints on plain columns are validated without touching its encrypted ones."""
    person = Person.objects.create()
    Visit.objects.create(person=person, reason="a")
    other = Visit.objects.create(person=person, reason="b", room=2)
    other = Visit.objects.get(pk=other.pk)
    with vaults["default"].decryption_forbidden():
        other.validate_constraints()
        other.room = 1
        with pytest.raises(ValidationError, match="already exists"):
            other.validate_constraints()
        other.room = 0
        with pytest.raises(ValidationError, match="app_visit_room"):
            other.validate_constraints()


def test_session_keeps_ciphertext(settings) -> None:
    """A saved instance in a pickled session is stored without its plaintext, and opens when it comes back."""
    settings.SESSION_SERIALIZER = "tests.fields.test_django_features.PickleSerializer"
    session = SessionStore()
    person = Person.objects.create(ssn="123-45-6789")
    assert person.ssn == "123-45-6789"
    session["person"] = person
    session.save()
    assert b"123-45" not in PickleSerializer().dumps(dict(session.items()))
    assert SessionStore(session.session_key)["person"].ssn == "123-45-6789"


class PickleSerializer:
    """What Django offered until 5.0, as projects that still need it write it."""

    def dumps(self, obj: object) -> bytes:
        return pickle.dumps(obj)

    def loads(self, data: bytes) -> object:
        return pickle.loads(data)


@pytest.mark.skipif(connection.vendor != "postgresql", reason="ArrayField is PostgreSQL's")
@isolate_apps("tests.app")
def test_array_field_in_a_table() -> None:
    """An encrypted ArrayField is saved, read, changed in place and saved again."""
    from django.contrib.postgres.fields import ArrayField

    class Ward(models.Model):
        beds = encrypted(ArrayField(models.IntegerField()))

        class Meta:
            app_label = "app"

    with connection.schema_editor() as editor:
        editor.create_model(Ward)
    Ward.objects.create(beds=[1, 2])
    ward = Ward.objects.get()
    assert ward.beds == [1, 2]
    ward.beds.append(3)
    ward.save()
    assert Ward.objects.get().beds == [1, 2, 3]
    assert list(Ward.objects.values_list("beds", flat=True)) == [[1, 2, 3]]


@pytest.mark.parametrize("name", [name for name in EACH_TYPE if name not in ("fraction", "range")])
@isolate_apps("tests.app")
def test_a_blank_column_added_to_a_table(name: str) -> None:
    """The rows that are there get what a plain column would give them, sealed, or nothing."""
    options = {**TYPES[name].kwargs, "blank": True}
    twin = encrypted_class(name)

    class Ward(models.Model):
        plain = TYPES[name].plain(**options)
        ours = twin(**options) if twin else encrypted(TYPES[name].plain(**options))

        class Meta:
            app_label = "app"

    plain, ours = (Ward._meta.get_field(column) for column in ("plain", "ours"))
    editor = connection.schema_editor()
    parameter = editor.effective_default(ours)
    cell = getattr(parameter, "obj", parameter)  # PostgreSQL's driver wraps it
    assert (cell and ours.open_cell(bytes(cell))) == editor._effective_default(plain)
