"""Children of two parents, composite keys, and what a child's queryset writes into its parent."""

import uuid
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import connection, models
from django.test import override_settings
from django.test.utils import isolate_apps

from django_workos_vault.checks.declarations import check_model
from django_workos_vault.exceptions import WrongBinding
from django_workos_vault.fields import EncryptedCharField, EncryptedEmailField, stored_cell
from django_workos_vault.indexes import BlindIndex, Exact
from django_workos_vault.querysets import EncryptedManager, EncryptedQuerySet
from tests.app.models import Device, Organization, Voter
from tests.tables import tables

pytestmark = pytest.mark.django_db(transaction=True)


@isolate_apps("tests.app")
def test_a_child_of_two_parents_is_no_duplicate_of_itself() -> None:
    """The row of the parent that has the field counts, and its key is not the child's."""

    class Numbered(models.Model):
        number = models.AutoField(primary_key=True)

        class Meta:
            app_label = "app"

    class Addressed(models.Model):
        address = models.AutoField(primary_key=True)
        email = EncryptedEmailField(blind_indexes=[Exact()])

        class Meta:
            app_label = "app"
            constraints = [models.UniqueConstraint(BlindIndex("email"), name="addressed_email")]

    class Both(Numbered, Addressed):
        class Meta:
            app_label = "app"

    with tables(Numbered, Addressed, Both):
        Numbered.objects.create()
        row = Both.objects.create(email="ada@example.com")
        other = Addressed.objects.create(email="eve@example.com")
        assert other.pk == row.pk != row.address
        row.email = "ada@EXAMPLE.com".lower()
        row.full_clean()
        row.email = "".join(("eve", "@example.com"))
        with pytest.raises(ValidationError, match="already exists"):
            row.full_clean()


@isolate_apps("tests.app")
def test_composite_keys_with_an_index_of_few_bits() -> None:
    """Candidates are named by all parts of their keys."""

    class Place(models.Model):
        pk = models.CompositePrimaryKey("country", "number")
        country = models.IntegerField()
        number = models.IntegerField()
        town = EncryptedCharField(max_length=20, null=True, blind_indexes=[Exact(bits=1)])

        class Meta:
            app_label = "app"

    with tables(Place):
        for number in range(6):
            Place.objects.create(country=number % 2, number=number, town=[None, "Rome", "Oslo"][number % 3])
        assert sorted(p.number for p in Place.objects.filter(town="Rome")) == [1, 4]
        assert sorted(p.number for p in Place.objects.exclude(town="Rome")) == [0, 2, 3, 5]
        assert Place.objects.filter(town__in=["Rome", "Oslo"], country=0).count() == 2
        assert Place.objects.filter(town="Rome").update(town="Bern") == 2
        assert Place.objects.filter(town="Bern", number=4).delete()[0] == 1
        assert Place.objects.get(town="Bern").pk == (1, 1)


@isolate_apps("tests.app")
def test_a_childs_queryset_updates_cells_that_depend_on_their_row() -> None:
    """``update()`` on children may name columns of the child, of the parent, and of both."""

    class Base(models.Model):
        code = models.CharField(max_length=10)
        secret = EncryptedCharField(max_length=20, bind_to=("code",))

        objects = EncryptedManager()

        class Meta:
            app_label = "app"

    class Child(Base):
        note = EncryptedCharField(max_length=20, null=True)
        plain = models.IntegerField(default=0)

        class Meta:
            app_label = "app"

    class Proxy(Child):
        class Meta:
            app_label = "app"
            proxy = True

    with tables(Base, Child):
        Child.objects.create(code="a", secret="s", note="n")
        for values in ({"plain": 1}, {"note": "m"}, {"code": "b", "note": "o"}, {"secret": "t", "plain": 2}):
            Proxy.objects.update(**values)
            row = Child.objects.get()
            assert {name: getattr(row, name) for name in values} == values
            assert row.secret == ("t" if "secret" in values else "s")


@pytest.mark.parametrize("how", ["refreshed", "deferred"])
def test_a_null_that_was_loaded_is_no_assignment(how: str) -> None:
    """NULL that comes from the database later than the row leaves the other cells of an index alone."""
    made = Voter.objects.create(surname="Byron", town="London")
    voter = Voter.objects.get()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE app_voter SET town = NULL")
    if how == "refreshed":
        voter.refresh_from_db()
    else:
        voter = Voter.objects.defer("town").get()
    assert voter.town is None
    voter.save()
    assert stored_cell(Voter.objects.get(), "surname") == stored_cell(made, "surname")


def test_a_copy_of_a_row_that_has_null_in_its_index_is_no_duplicate() -> None:
    """NULL equals nothing: copies of a row differ in a unique index over a column that is NULL."""
    Voter.objects.create(surname="Byron")
    copies = [Voter.objects.get(), Voter.objects.get()]
    for copy in copies:
        copy.pk = None
    copies[0].save()
    Voter.objects.bulk_create(copies[1:])
    assert {voter.surname for voter in Voter.objects.all()} == {"Byron"}


@isolate_apps("tests.app")
def test_natural_keys_in_clear_are_warned_of() -> None:
    """``dumpdata`` writes what ``natural_key()`` returns: a check says so, and its hint ends it."""

    class People(models.Manager[Any]):
        def get_by_natural_key(self, email: str) -> Any:
            return self.get(email=email)

    class Base(models.Model):
        email = EncryptedEmailField()
        token = models.UUIDField(unique=True)
        objects = People()

        class Meta:
            app_label = "app"
            abstract = True

    class Clear(Base):
        def natural_key(self) -> Any:
            return (self.email,)

        class Meta:
            app_label = "app"

    class Plain(Base):
        def natural_key(self) -> Any:
            return (self.token,)

        class Meta:
            app_label = "app"

    assert [message.id for message in check_model(Clear)] == ["django_workos_vault.W120"]
    assert [*check_model(Plain)] == []


@pytest.mark.parametrize(
    ("on_delete", "found"),
    [
        (models.SET_NULL, ["django_workos_vault.W121"]),
        (models.SET_DEFAULT, ["django_workos_vault.W121"]),
        (models.SET(None), ["django_workos_vault.W121"]),
        (models.PROTECT, []),
        (models.CASCADE, []),
    ],
)
@isolate_apps("tests.app")
def test_deletions_that_move_rows_are_warned_of(on_delete: Any, found: list[str]) -> None:
    """A deletion that empties a bound column makes cells unreadable: a check says so, its hint ends it."""

    class Owner(models.Model):
        class Meta:
            app_label = "app"

    class Owned(models.Model):
        owner = models.ForeignKey(Owner, on_delete, null=True, default=None)
        secret = EncryptedCharField(max_length=10, bind_to=("owner",))
        objects = EncryptedManager()

        class Meta:
            app_label = "app"

    assert [message.id for message in check_model(Owned)] == found


class Overridden(models.Manager[Any]):
    def get_queryset(self) -> Any:
        return EncryptedQuerySet(self.model, using=self._db)


@pytest.mark.parametrize(
    ("manager", "found"),
    [
        (models.Manager, ["django_workos_vault.W160"]),
        (EncryptedManager, []),
        (models.Manager.from_queryset(EncryptedQuerySet), []),
        (Overridden, []),
    ],
)
@isolate_apps("tests.app")
def test_updates_that_move_rows_are_warned_of(manager: Any, found: list[str]) -> None:
    """A plain manager's update() of a bound column leaves cells unreadable; the hint's manager does not."""

    class Moved(models.Model):
        owner = models.IntegerField(default=1)
        row_id = models.UUIDField(default=uuid.uuid4, editable=False)
        secret = EncryptedCharField(max_length=10, bind_to=("owner", "row_id"))
        objects = manager()

        class Meta:
            app_label = "app"

    messages = list(check_model(Moved))
    assert [message.id for message in messages] == found
    assert all("objects = EncryptedManager()" in str(message.hint) for message in messages)
    with tables(Moved):
        row = Moved.objects.create(secret="s")
        Moved.objects.filter(pk=row.pk).update(owner=2)
        if found:
            with pytest.raises(WrongBinding):
                Moved.objects.get().secret  # noqa: B018
        else:
            assert Moved.objects.get().secret == "s"


@isolate_apps("tests.app")
def test_a_related_manager_moves_rows_with_their_cells() -> None:
    """``add()`` and ``set()`` update in bulk, by the model's own manager."""

    class Owner(models.Model):
        class Meta:
            app_label = "app"

    class Owned(models.Model):
        owner = models.ForeignKey(Owner, models.CASCADE, null=True, related_name="owned")
        secret = EncryptedCharField(max_length=10, bind_to=("owner",))
        objects = EncryptedManager()

        class Meta:
            app_label = "app"

    with tables(Owner, Owned):
        first, second = Owner.objects.create(), Owner.objects.create()
        row = Owned.objects.create(owner=first, secret="s")
        second.owned.add(row)
        assert second.owned.get().secret == "s"
        first.owned.set([row])
        assert first.owned.get().secret == "s"
        first.owned.clear()
        assert Owned.objects.get(owner=None).secret == "s"


@pytest.mark.parametrize(
    "narrow",
    [
        lambda rows: rows.values("name"),
        lambda rows: rows.values_list("name", flat=True),
        lambda rows: rows.distinct(),
        lambda rows: rows.only("name").order_by("name"),
        lambda rows: rows.annotate(n=models.Count("organization")).filter(n=1),
        lambda rows: rows.select_related("organization"),
        lambda rows: rows.filter(organization__patient__isnull=True),
    ],
)
def test_any_queryset_updates_rows_that_cells_depend_on(narrow: Any) -> None:
    """``update()`` works on values, groups and joins as it does with Django."""
    organization = Organization.objects.create(name="one", workos_id="org_one")
    Device.objects.create(organization=organization, pin="1")
    assert narrow(Device.sealed.all()).update(pin="2") == 1
    assert Device.objects.get().pin == "2"


class Replicated:
    """Reads from a replica, as ``DATABASE_ROUTERS`` do."""

    def db_for_read(self, model: Any, **hints: Any) -> str:
        return "other"

    def db_for_write(self, model: Any, **hints: Any) -> str:
        return "default"

    def allow_relation(self, *args: Any, **hints: Any) -> bool:
        return True


@pytest.mark.django_db(transaction=True, databases="__all__")
@pytest.mark.parametrize("way", ["update", "bulk_update"])
def test_bulk_writes_go_where_the_router_writes(way: str) -> None:
    """With a replica for reading, the manager's writes go to the primary."""
    key = uuid.uuid4()
    for using in ("default", "other"):
        organization = Organization.objects.using(using).create(name="one", workos_id="org_one", pk=1)
        Device.objects.using(using).create(pk=key, organization=organization, pin="1")
    with override_settings(DATABASE_ROUTERS=[Replicated()]):
        if way == "update":
            Device.sealed.update(pin="2")
        else:
            row = Device.objects.using("default").get()
            row.pin = "2"
            Device.sealed.bulk_update([row], ["pin"])
    assert [Device.objects.using(using).get().pin for using in ("default", "other")] == ["2", "1"]
