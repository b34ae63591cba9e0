"""``VaultObjectField``: the value in Vault and the reference in the row, in code, fixtures and migrations."""

import copy
import json
import pickle
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.core import serializers
from django.core.exceptions import FieldError, ValidationError
from django.db import connection, connections, models
from django.db.models import F, Value
from django.db.models.functions import Upper
from django.test.utils import isolate_apps

from django_workos_vault import vaults
from django_workos_vault.exceptions import (
    DecryptionForbidden,
    WouldBlockEventLoop,
)
from django_workos_vault.fields import ObjectReference, VaultObjectField, aload_objects
from django_workos_vault.testing import RunningEmulator
from tests.app.models import Contract, Credential, Organization
from tests.objects.rows import column, loaded, names, requests_made


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
        row = Credential(token="x" * (100 * 1024 * 1024 + 1))
        with pytest.raises(ValidationError, match="encrypted field") as caught:
            row.full_clean()
        assert "token" in caught.value.error_dict
        with pytest.raises(ValidationError, match="104857601 bytes"):
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
class TestAsync:
    async def test_reading_in_an_event_loop(self, remote: RunningEmulator) -> None:
        """Reading there would block: it says what to await, and then works."""
        await Credential.objects.acreate(token="s3cr3t")
        row = await Credential.objects.aget()
        with pytest.raises(WouldBlockEventLoop, match="aload_objects"):
            _ = row.token
        await aload_objects([row])
        assert row.token == "s3cr3t"

    async def test_the_guard_is_switched_off_as_djangos_is(
        self, remote: RunningEmulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """In a notebook, say, where a loop is always running."""
        await Credential.objects.acreate(token="s3cr3t")
        row = await Credential.objects.aget()
        monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
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
