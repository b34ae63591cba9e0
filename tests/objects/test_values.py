"""``VaultObjectField``: the value in Vault, the reference in the row, and nothing lost between the two."""

# ruff: noqa: PT012 - a transaction is rolled back by what is raised in its block

import copy
import json
import pickle
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import StringIO
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.core import serializers
from django.core.exceptions import FieldError, ValidationError
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, connections, models, transaction
from django.db.models import F, Value
from django.db.models.functions import Upper
from django.db.models.signals import post_save
from django.forms import modelform_factory
from django.test import Client, override_settings
from django.test.utils import isolate_apps

from django_workos_vault import vaults
from django_workos_vault.exceptions import (
    DecryptionForbidden,
    VaultConflict,
    VaultNotFound,
    VaultRateLimited,
    VaultUnavailable,
    WouldBlockEventLoop,
)
from django_workos_vault.fields import ObjectReference, VaultObjectField, aload_objects, object_history
from django_workos_vault.masks import FULL
from django_workos_vault.testing import RunningEmulator
from tests.app.models import Contract, Credential, Organization
from tests.security.test_attacks import our_locals

LOCAL = {
    "BACKEND": "django_workos_vault.backends.local.LocalVault",
    "OPTIONS": {"master_key": bytes(32), "objects_file": ":memory:"},
}


@pytest.fixture(params=["local", "http"])
def vault(request: pytest.FixtureRequest) -> Iterator[Any]:
    """The default vault's backend: in the process, and over HTTP to an emulator."""
    if request.param == "local":
        settings: dict[str, Any] = LOCAL
    else:
        emulator: RunningEmulator = request.getfixturevalue("vault_emulator")
        settings = {
            "BACKEND": "django_workos_vault.backends.workos.WorkOSVault",
            "OPTIONS": {"api_key": emulator.api_key, "base_url": emulator.url, "deadline": 10.0},
        }
    with override_settings(WORKOS_VAULTS={"default": {**settings, "KEY_CONTEXT": {"app": "tests"}}}):
        yield vaults["default"].backend


@pytest.fixture
def remote(vault_emulator: RunningEmulator) -> Iterator[RunningEmulator]:
    """An emulator behind the default vault, for faults."""
    options = {"api_key": vault_emulator.api_key, "base_url": vault_emulator.url, "deadline": 10.0}
    vault = {
        "BACKEND": "django_workos_vault.backends.workos.WorkOSVault",
        "KEY_CONTEXT": {"app": "tests"},
        "OPTIONS": options,
    }
    with override_settings(WORKOS_VAULTS={"default": vault}):
        yield vault_emulator


def column(row: models.Model, name: str = "token") -> Any:
    table = row._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {name} FROM {table} WHERE id = %s", [row.pk])
        return cursor.fetchone()[0]


def names() -> list[str]:
    return [summary.name for summary in vaults["default"].backend.iter_objects()]


def requests_made() -> int:
    return vaults["default"].backend.requests_made


def loaded(row: Any) -> Any:
    return type(row).objects.get(pk=row.pk)


@pytest.mark.django_db
class TestValue:
    @pytest.mark.parametrize(
        "value", ["s3cr3t", "", '{"a": 1}', "zażółć 🔑", {"a": [1, None, "x"]}, [], {}, [1], 0, 1.5, False]
    )
    def test_comes_back_as_it_was(self, vault: Any, value: Any) -> None:
        """A str comes back as that str, even one that looks like JSON; all else comes back from JSON."""
        row = Credential.objects.create(token=value)
        assert row.token == value
        again = loaded(row)
        assert again.token == value
        assert type(again.token) is type(value)
        stored = vault.read_object_by_name(names()[0]).value
        assert stored == (value if isinstance(value, str) else json.dumps(value))

    def test_column_holds_the_reference_alone(self, vault: Any) -> None:
        """The row has the object's id and version; the name tells whose object it is."""
        row = Credential.objects.create(token="s3cr3t")
        found = vault.read_object_by_name(names()[0])
        assert column(row).rpartition(":")[0] == f"{found.id}:{found.metadata.version_id}"
        assert found.name.startswith("app.Credential.token/")
        assert found.metadata.context == {"app": "tests"}

    def test_null(self, vault: Any) -> None:
        """None is NULL, and costs no request."""
        row = Credential.objects.create(token=None)
        assert loaded(row).token is None
        assert column(row) is None
        assert vault.requests_made == 0
        assert row.history("token") == ()

    def test_fetched_once_and_only_when_read(self, remote: RunningEmulator) -> None:
        """Loading, saving, copying and pickling fetch nothing; reading twice fetches once."""
        made = Credential.objects.create(token="s3cr3t")
        before = requests_made()
        row = Credential.objects.get()
        row.name = "other"
        row.full_clean()
        row.save()
        list(Credential.objects.defer("token")), list(Credential.objects.only("token"))
        row.refresh_from_db()
        twin = pickle.loads(pickle.dumps(row))
        again = copy.deepcopy(row)
        assert requests_made() == before
        assert (row.token, row.token) == ("s3cr3t", "s3cr3t")
        assert requests_made() == before + 1
        assert b"s3cr3t" not in pickle.dumps(row)
        assert (twin.token, again.token) == ("s3cr3t", "s3cr3t")
        assert Credential.objects.defer("token").get(pk=made.pk).token == "s3cr3t"
        assert "s3cr3t" not in repr(row.__dict__)

    def test_values_give_the_reference(self, vault: Any) -> None:
        """values() and annotations fetch nothing: they give the reference."""
        row = Credential.objects.create(token=["x"])
        reference = Credential.objects.values_list("token", flat=True).get()
        assert isinstance(reference, ObjectReference)
        assert reference.structured
        assert str(reference) == column(row)
        assert Credential.objects.annotate(ref=F("token")).get().ref == reference
        assert Credential.objects.get(token=reference) == row
        assert Credential.objects.get(token__in=[reference]) == row
        with pytest.raises(TypeError, match="not the reference"):
            row.token = reference

    @pytest.mark.django_db(transaction=True)
    def test_what_queries_cannot_do(self, vault: Any) -> None:
        """isnull works; comparing, updating and computing are refused without quoting the value."""
        Credential.objects.create(token="s3cr3t")
        assert Credential.objects.filter(token__isnull=False).count() == 1
        assert Credential.objects.filter(token=None).count() == 0
        row = Credential.objects.get()
        for attempt in (
            lambda: Credential.objects.filter(token="s3cr3t"),
            lambda: Credential.objects.filter(token__contains="s3"),
            lambda: Credential.objects.filter(token__gt="s3cr3t"),
            lambda: Credential.objects.update(token="s3cr3t"),
            lambda: Credential.objects.update(token=F("name")),
            lambda: Credential.objects.update(token=Upper(Value("s3cr3t"))),
            lambda: Credential.objects.bulk_update([row], ["token"]),
        ):
            with pytest.raises(FieldError) as caught:
                attempt()
            assert "s3cr3t" not in str(caught.value)
        assert loaded(row).token == "s3cr3t"

    @pytest.mark.django_db(transaction=True)
    def test_too_large(self, vault: Any) -> None:
        """A value over the limit is a validation error that points to the encrypted fields."""
        row = Credential(token="x" * (1024 * 1024 + 1))
        with pytest.raises(ValidationError, match="encrypted field") as caught:
            row.full_clean()
        assert "token" in caught.value.error_dict
        with pytest.raises(ValidationError, match="1048577 bytes"):
            row.save()
        assert names() == []
        Credential.objects.create(token="x" * 1024 * 1024)

    @pytest.mark.parametrize("value", [{"s3cr3t": object()}, float("nan"), b"s3cr3t", "\ud800"])
    def test_no_json(self, vault: Any, value: Any) -> None:
        """What JSON cannot hold is refused before any request, and not quoted."""
        row = Credential(token=value)
        for refused in (row.full_clean, row.save):
            with pytest.raises(ValidationError) as caught:
                refused()
            assert "s3cr3t" not in str(caught.value)
        assert names() == []

    @pytest.mark.django_db(transaction=True)
    def test_key_context_from_the_row(self, vault: Any) -> None:
        """The row chooses the key; a row that moves takes its value along, under the new key."""
        acme = Organization.objects.create(name="Acme", workos_id="org_acme")
        apex = Organization.objects.create(name="Apex", workos_id="org_apex")
        row = Contract.objects.create(organization=acme, terms={"fee": 5})
        assert vault.read_object_by_name(names()[0]).metadata.context == {"organization_id": "org_acme"}
        row = loaded(row)
        row.organization = apex
        row.save()
        assert vault.read_object_by_name(names()[0]).metadata.context == {"organization_id": "org_apex"}
        assert len(names()) == 1
        assert loaded(row).terms == {"fee": 5}

    def test_decryption_forbidden(self, vault: Any) -> None:
        """No value is fetched where opening is forbidden."""
        row = loaded(Credential.objects.create(token="s3cr3t"))
        with vaults["default"].decryption_forbidden(), pytest.raises(DecryptionForbidden):
            _ = row.token


@pytest.mark.django_db(transaction=True)
class TestSaving:
    def test_each_save_makes_a_version(self, vault: Any) -> None:
        """Assigning and saving updates the same object; its versions are listed, newest first."""
        row = Credential.objects.create(token="one")
        for value in ("two", "three"):
            row.token = value
            row.save()
        assert loaded(row).token == "three"
        assert len(names()) == 1
        history = loaded(row).history("token")
        assert [version.current_version for version in history] == [True, False, False]
        assert [version.size for version in history] == [5, 3, 3]
        assert object_history(row, "token") == history

    def test_the_same_value_makes_no_version(self, vault: Any) -> None:
        """Assigning what is there already writes nothing."""
        row = loaded(Credential.objects.create(token={"a": 1}))
        assert row.token == {"a": 1}
        row.token = {"a": 1}
        row.save()
        assert len(row.history("token")) == 1

    def test_changed_in_place(self, vault: Any) -> None:
        """A list that was appended to is saved."""
        row = loaded(Credential.objects.create(token=[1]))
        row.token.append(2)
        row.save()
        assert loaded(row).token == [1, 2]
        assert len(names()) == 1

    def test_type_changes(self, vault: Any) -> None:
        """A str in the place of a dict gets an object of its own, and the old one goes."""
        row = Credential.objects.create(token={"a": 1})
        row.token = '{"a": 1}'
        row.save()
        assert loaded(row).token == '{"a": 1}'
        assert len(names()) == 1

    @pytest.mark.parametrize("atomic", [False, True])
    def test_two_writers(self, vault: Any, atomic: bool) -> None:
        """Of two instances loaded with one version, the second to save gets a conflict; nothing is lost."""
        row = Credential.objects.create(token="one")
        first, second = loaded(row), loaded(row)
        first.token = "first"
        first.save()
        second.token = "second"
        with pytest.raises(VaultConflict, match="refresh_from_db"), transaction.atomic():
            second.save() if atomic else transaction.on_commit(second.save)
        assert loaded(row).token == "first"
        second.refresh_from_db()
        assert second.token == "first"
        second.token = "second"
        second.save()
        assert loaded(row).token == "second"
        assert len(names()) == 1

    def test_a_writer_that_went_past_the_row(self, vault: Any) -> None:
        """A version that something else made in Vault is not overwritten either, until it has been read."""
        row = Credential.objects.create(token="one")
        vault.update_object(column(row).split(":")[0], "elsewhere")
        row = loaded(row)
        row.token = "mine"
        with pytest.raises(VaultConflict):
            row.save()
        row = loaded(row)
        assert row.token == "elsewhere"
        row.token = "mine"
        row.save()
        assert loaded(row).token == "mine"

    def test_an_untouched_value_never_overwrites(self, vault: Any) -> None:
        """Saving another column leaves the reference that another writer has put there meanwhile."""
        row = Credential.objects.create(token="one")
        stale = loaded(row)
        row.token = "two"
        row.save()
        written, stale.name = column(row), "renamed"
        stale.save()
        assert column(row) == written
        assert loaded(row).name == "renamed"
        assert loaded(row).token == "two"

    @pytest.mark.parametrize("value", [None, "other"])
    def test_conflict_with_null(self, vault: Any, value: Any) -> None:
        """Setting to NULL, and over NULL, conflict like any other write."""
        row = Credential.objects.create(token=None if value else "one")
        first, second = loaded(row), loaded(row)
        first.token = "first"
        first.save()
        second.token = value
        with pytest.raises(VaultConflict):
            second.save()
        assert loaded(row).token == "first"

    def test_copy_of_a_row_gets_an_object_of_its_own(self, vault: Any) -> None:
        """Two rows never share an object."""
        row = loaded(Credential.objects.create(token="s3cr3t"))
        original = row.pk
        row.pk, row._state.adding = None, True
        row.save()
        assert len(names()) == 2
        Credential.objects.get(pk=original).delete()
        assert loaded(row).token == "s3cr3t"

    def test_explicit_primary_key(self, vault: Any) -> None:
        """Where Django tries an UPDATE before the INSERT, one object is made, not two."""
        Credential(pk=77, token="s3cr3t").save()
        assert Credential.objects.get(pk=77).token == "s3cr3t"
        assert len(names()) == 1

    def test_bulk_create_and_get_or_create(self, vault: Any) -> None:
        """Each row gets its object."""
        Credential.objects.bulk_create(Credential(token=str(n)) for n in range(3))
        assert sorted(row.token for row in Credential.objects.all()) == ["0", "1", "2"]
        row, _ = Credential.objects.update_or_create(name="x", defaults={"token": "new"})
        row, _ = Credential.objects.update_or_create(name="x", defaults={"token": "newer"})
        assert loaded(row).token == "newer"
        assert len(names()) == 4

    def test_update_fields(self, vault: Any) -> None:
        """What is not named is not written."""
        row = Credential.objects.create(token="one")
        row.token = "two"
        row.save(update_fields=["name"])
        assert loaded(row).token == "one"
        row.save(update_fields=["token"])
        assert loaded(row).token == "two"


@pytest.mark.django_db(transaction=True)
class TestFaults:
    def test_create_rolled_back(self, vault: Any) -> None:
        """The object is there, no row is, and its name tells where it belongs."""
        with pytest.raises(RuntimeError), transaction.atomic():
            Credential.objects.create(token="s3cr3t")
            raise RuntimeError
        assert not Credential.objects.exists()
        assert [name.partition("/")[0] for name in names()] == ["app.Credential.token"]

    def test_update_rolled_back(self, vault: Any) -> None:
        """The row still reads as before, also for others, and the next writer goes on from there."""
        row = Credential.objects.create(token="old")
        with pytest.raises(RuntimeError), transaction.atomic():
            row.token = "new"
            row.save()
            assert loaded(row).token == "new"
            raise RuntimeError
        assert loaded(row).token == "old"
        again = loaded(row)
        with transaction.atomic():
            again.token = "newest"
            again.save()
        assert loaded(row).token == "newest"
        assert len(names()) == 1

    def test_rolled_back_twice_and_tried_again_with_the_same_instance(self, vault: Any) -> None:
        """An instance whose transaction was rolled back can be saved again, as with any other field."""
        row = Credential.objects.create(token="old")
        row.token = "new"
        for _ in range(2):
            with pytest.raises(RuntimeError), transaction.atomic():
                row.save()
                raise RuntimeError
            assert loaded(row).token == "old"
        with transaction.atomic():
            row.save()
        assert loaded(row).token == "new"
        assert len(names()) == 1

    def test_savepoint_rolled_back(self, vault: Any) -> None:
        """A savepoint that is rolled back takes its value with it, and not the one before."""
        row = Credential.objects.create(token="one")
        with transaction.atomic():
            row.token = "two"
            row.save()
            inner = loaded(row)
            with pytest.raises(RuntimeError), transaction.atomic():
                inner.token = "three"
                inner.save()
                raise RuntimeError
            assert loaded(row).token == "two"
        assert loaded(row).token == "two"

    def test_without_a_transaction_a_version_taken_stands(self, vault: Any) -> None:
        """When the row cannot be written after Vault took the value, the value stands and can be replaced."""
        row = Credential.objects.create(token="old")
        row.token, row.name = "new", "x" * 51 if connection.vendor != "sqlite" else None
        with pytest.raises(DatabaseError):
            row.save()
        assert loaded(row).token == "new"
        row.name = "y"
        row.save()
        assert loaded(row).token == "new"
        again = loaded(row)
        again.token = "newest"
        again.save()
        assert loaded(row).token == "newest"

    def test_fault_after_the_row_was_written(self, vault: Any) -> None:
        """An exception from a post_save receiver inside a transaction undoes the save in both places."""
        row = Credential.objects.create(token="old")

        def fail(**kwargs: Any) -> None:
            raise RuntimeError

        post_save.connect(fail, sender=Credential)
        try:
            with pytest.raises(RuntimeError), transaction.atomic():
                row.token = "new"
                row.save()
        finally:
            post_save.disconnect(fail, sender=Credential)
        assert loaded(row).token == "old"

    def test_vault_fails_at_each_step(self, remote: RunningEmulator) -> None:
        """Whichever request of an update fails, the row reads as before and the save can be tried again."""
        for healthy in range(3):  # read, keep, update
            row = Credential.objects.create(token="old")
            row = loaded(row)
            row.token = "new"
            with pytest.raises(VaultRateLimited), transaction.atomic(), only(remote, healthy):
                row.save()
            vaults["default"].backend.forget_outage()
            assert loaded(row).token == "old"
            with transaction.atomic():
                row.save()
            assert loaded(row).token == "new"
        assert len(names()) == 3

    def test_vault_fails_while_tidying_up(self, remote: RunningEmulator, caplog: Any) -> None:
        """What cannot be deleted after the commit is told to the log, and the save stands."""
        row = Credential.objects.create(token="old")
        row.token = "new"
        with transaction.atomic():
            row.save()
            remote.faults.fail = 1
        remote.faults.fail = 0
        vaults["default"].backend.forget_outage()
        assert "could not be deleted (VaultUnavailable)" in caplog.text
        assert loaded(row).token == "new"
        assert len(names()) == 2

    def test_object_gone(self, vault: Any) -> None:
        """Reading says so; assigning a value gives the row a new object."""
        row = Credential.objects.create(token="old")
        vault.delete_object(column(row).split(":")[0])
        row = loaded(row)
        with pytest.raises(VaultNotFound, match="vault_check"):
            _ = row.token
        row.token = "new"
        row.save()
        assert loaded(row).token == "new"

    @pytest.mark.parametrize("value", ["s3cr3t", {"s3cr3t": 1}])
    def test_error_reports_hold_no_value(self, vault: Any, value: Any) -> None:
        """The locals of our frames, which error reports show, do not hold what could not be stored."""
        row = Credential.objects.create(token="one")
        first, second = loaded(row), loaded(row)
        first.token = value
        first.save()
        second.token = value
        for failing in (
            second.save,
            Credential(token=[value, object()]).save,
            Credential(token="s3cr3t" * 1024 * 1024).full_clean,
            lambda: Credential.objects.update(token="s3cr3t"),
        ):
            with pytest.raises((VaultConflict, ValidationError, FieldError)) as caught:
                failing()
            assert "s3cr3t" not in our_locals(caught.value)

    def test_outage(self, remote: RunningEmulator) -> None:
        """An outage while a value is stored leaves none of it in our frames either."""
        remote.faults.fail = 1
        with pytest.raises(VaultUnavailable) as caught:
            Credential(token="s3cr3t").save()
        assert "s3cr3t" not in our_locals(caught.value)


@pytest.mark.django_db(transaction=True)
class TestDeleting:
    def test_after_commit(self, vault: Any) -> None:
        """The object goes with the row, and not before the transaction has committed."""
        row = Credential.objects.create(token="s3cr3t")
        with transaction.atomic():
            row.delete()
            assert len(names()) == 1
        assert names() == []

    def test_rolled_back(self, vault: Any) -> None:
        """A deletion that is rolled back deletes nothing."""
        row = Credential.objects.create(token="s3cr3t")
        with pytest.raises(RuntimeError), transaction.atomic():
            Credential.objects.all().delete()
            raise RuntimeError
        assert loaded(row).token == "s3cr3t"

    def test_querysets_and_cascades(self, vault: Any) -> None:
        """So does what a queryset or a cascade deletes."""
        Credential.objects.bulk_create(Credential(token=str(n)) for n in range(3))
        Credential.objects.all().delete()
        acme = Organization.objects.create(name="Acme", workos_id="org_acme")
        Contract.objects.create(organization=acme, terms="x")
        acme.delete()
        assert names() == []

    def test_deferred_and_unsaved(self, vault: Any) -> None:
        """Neither a deferred value nor an unsaved one keeps the object alive."""
        Credential.objects.create(token="a")
        Credential.objects.defer("token").get().delete()
        row = Credential.objects.create(token="b")
        row.token = None
        row.delete()
        assert names() == []

    def test_null(self, vault: Any) -> None:
        """Setting the value to NULL deletes the object after the commit."""
        row = Credential.objects.create(token="s3cr3t")
        row.token = None
        with transaction.atomic():
            row.save()
            assert len(names()) == 1
        assert names() == []
        assert column(row) is None


@pytest.mark.django_db(transaction=True)
class TestAsync:
    async def test_reading_in_an_event_loop(self, remote: RunningEmulator) -> None:
        """Reading there would block: it says what to await, and then works."""
        await Credential.objects.acreate(token="s3cr3t")
        row = await Credential.objects.aget()
        with pytest.raises(WouldBlockEventLoop, match="aload_objects"):
            _ = row.token
        await aload_objects([row])
        assert row.token == "s3cr3t"
        row.token = "new"
        await row.asave()
        assert len(await row.ahistory("token")) == 2
        await sync_to_async(connections.close_all)()  # that of the thread that ran the queries


@pytest.mark.django_db
class TestFixtures:
    def test_dumpdata_and_loaddata(self, vault: Any) -> None:
        """A fixture holds the reference, never the value, and brings it back."""
        row = Credential.objects.create(token={"a": "s3cr3t"})
        text = serializers.serialize("json", Credential.objects.all())
        assert "s3cr3t" not in text
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM app_credential")
        for item in serializers.deserialize("json", text):
            item.save()
        assert loaded(row).token == {"a": "s3cr3t"}
        assert len(names()) == 1

    def test_a_value_in_a_fixture_is_stored(self, vault: Any) -> None:
        """A hand-written fixture's value goes to Vault."""
        text = '[{"model": "app.credential", "pk": 1, "fields": {"name": "x", "token": ["s3cr3t"]}}]'
        for item in serializers.deserialize("json", text):
            item.save()
        assert Credential.objects.get().token == ["s3cr3t"]
        assert "s3cr3t" not in column(Credential.objects.get())


@pytest.mark.django_db(transaction=True, databases=["default", "other"])
class TestVaultCheck:
    def findings(self) -> list[tuple[str, str]]:
        out = StringIO()
        with suppress(CommandError):
            call_command("vault_check", objects=True, format="json", stdout=out)
        assert "s3cr3t" not in out.getvalue()
        found = json.loads(out.getvalue())["findings"]
        mine = [f for f in found if f["subject"] == "app.Credential.token"]
        return [(f["status"], f["message"]) for f in mine]

    def test_sound(self, vault: Any) -> None:
        """As many objects as rows; NULL needs none."""
        Credential.objects.create(token="s3cr3t")
        Credential.objects.create(token=None)
        assert self.findings() == [("ok", "1 objects, and a row for each.")]

    def test_orphans_and_rows_whose_object_is_gone(self, vault: Any) -> None:
        """A rollback's leftover is found by its name, and a row without its object by its primary key."""
        row = Credential.objects.create(token="s3cr3t")
        with pytest.raises(RuntimeError), transaction.atomic():
            Credential.objects.create(token="s3cr3t")
            raise RuntimeError
        vault.create_object("app.Credential.tokens", "s3cr3t", {"app": "tests"})
        vault.delete_object(column(row).split(":")[0])
        gone, orphan = self.findings()
        assert gone == (
            "problem",
            f"Row {row.pk}: its object {column(row).split(':')[0]} is gone from Vault.",
        )
        assert orphan[0] == "problem"
        assert "named app.Credential.token/" in orphan[1]

    def test_rolled_back_update(self, vault: Any) -> None:
        """What was kept for a row is no orphan while the row is read from it; later it is."""
        row = Credential.objects.create(token="s3cr3t")
        with pytest.raises(RuntimeError), transaction.atomic():
            row.token = "new"
            row.save()
            raise RuntimeError
        assert self.findings() == [
            ("ok", "2 objects, and a row for each. 1 rows are read from what was kept for a rollback.")
        ]
        Credential.objects.update(token=None)
        assert [status for status, _ in self.findings()] == ["problem", "problem"]


@pytest.mark.django_db
class TestAdmin:
    def test_list_and_form_fetch_nothing(self, remote: RunningEmulator, admin_client: Client) -> None:
        """The mask stands for the value; a blank keeps it, another replaces it, clearing empties it."""
        row = Credential.objects.create(token="s3cr3t")
        before = requests_made()
        url = f"/admin/app/credential/{row.pk}/change/"
        for page in ("/admin/app/credential/", url):
            html = admin_client.get(page).content.decode()
            assert FULL in html
            assert "s3cr3t" not in html
        assert admin_client.post(url, {"name": "renamed", "token": ""}).status_code == 302
        assert requests_made() == before
        assert loaded(row).token == "s3cr3t"
        admin_client.post(url, {"name": "renamed", "token": "n3w"})
        assert loaded(row).token == "n3w"
        admin_client.post(url, {"name": "renamed", "token": "", "token-clear": "on"})
        assert loaded(row).token is None

    def test_structured_values_stay_structured(self, vault: Any, admin_client: Client) -> None:
        """What is stored as JSON is entered as JSON."""
        row = Credential.objects.create(token={"a": 1})
        url = f"/admin/app/credential/{row.pk}/change/"
        assert "Enter valid JSON" in admin_client.post(url, {"name": "x", "token": "{"}).content.decode()
        admin_client.post(url, {"name": "x", "token": '{"a": 2}'})
        assert loaded(row).token == {"a": 2}

    def test_plain_model_form(self, vault: Any) -> None:
        """A form shows the value, and sent back unchanged it makes no version."""
        row = Credential.objects.create(token={"a": 1})
        form_class = modelform_factory(Credential, fields=["name", "token"])
        assert "&quot;a&quot;: 1" in form_class(instance=loaded(row)).as_p()
        form = form_class({"name": "x", "token": '{"a": 1}'}, instance=loaded(row))
        form.save()
        assert loaded(row).token == {"a": 1}
        assert len(row.history("token")) == 1


class TestDeclaration:
    def test_deconstruct(self) -> None:
        """A migration holds what was given, and no more."""
        field = VaultObjectField(null=True, label="vault.token")
        _, path, args, kwargs = field.deconstruct()
        assert path == "django_workos_vault.fields.VaultObjectField"
        assert (args, kwargs) == ([], {"null": True, "label": "vault.token"})

    @isolate_apps("tests.app")
    def test_checks(self) -> None:
        """Options that make no sense are errors; a history of the model's own is a warning."""

        class Wrong(models.Model):
            history = "mine"
            a = VaultObjectField(unique=True, default="s3cr3t", choices=[("a", "b")])
            b = VaultObjectField(label="x" * 150, mask="last4", key_context={})

            class Meta:
                app_label = "app"

        wrong = [f for f in Wrong._meta.local_fields if isinstance(f, VaultObjectField)]
        found = [message.id.rpartition(".")[2] for field in wrong for message in field.check()]
        assert found == [*["E050"] * 3, "W052", "E005", "E050", "E051", "W052"]


@contextmanager
def only(emulator: RunningEmulator, requests: int) -> Iterator[None]:
    """Let so many requests through, and refuse what comes then."""
    emulator.faults._windows.clear()
    emulator.faults.rate_limit = requests
    try:
        yield
    finally:
        emulator.faults.rate_limit = None
