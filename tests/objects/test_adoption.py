"""References to objects in Vault: adopted, and bound to keys of every type."""

from typing import Any

import factory
import pytest
from django.core import serializers
from django.db import connection, models, transaction
from django.db.models.signals import post_save, pre_delete, pre_save
from django.test.utils import isolate_apps

from django_workos_vault import vaults
from django_workos_vault.exceptions import EnvelopeError, UntrustedReference, VaultNotFound
from django_workos_vault.fields import (
    VaultObjectField,
    adopt_object,
)
from django_workos_vault.models import IndexKeyRecord
from tests.app.models import Contract, Credential, Organization
from tests.objects.rows import column, loaded, names
from tests.objects.test_references import UUIDS, put, refused
from tests.tables import tables


@pytest.mark.django_db(transaction=True)
class TestAdopting:
    def test_after_the_root_key_was_lost(self, vault: Any) -> None:
        """Without its key nothing is proven; each row is made its own again, and no value is lost."""
        row = Credential.objects.create(token={"a": 1})
        IndexKeyRecord.objects.all().delete()
        vaults["default"].index_keys.forget()
        refused(row)
        row = loaded(row)
        assert adopt_object(row, "token")
        assert row.token == {"a": 1}
        assert loaded(row).token == {"a": 1}
        row.token = {"a": 2}
        row.save()
        assert loaded(row).token == {"a": 2}
        assert len(names()) == 1

    def test_under_another_context(self, vault: Any) -> None:
        """A tenant's id that was changed on purpose: the value is stored anew under the present one."""
        acme = Organization.objects.create(name="Acme", workos_id="org_old")
        row = Contract.objects.create(organization=acme, terms=["s3cr3t"])
        Organization.objects.update(workos_id="org_new")
        refused(row, "terms")
        with pytest.raises(UntrustedReference):
            adopt_object(loaded(row), "terms")
        assert adopt_object(loaded(row), "terms", {"organization_id": "org_old"})
        assert loaded(row).terms == ["s3cr3t"]
        (name,) = names()
        assert vault.read_object_by_name(name).metadata.context == {"organization_id": "org_new"}

    def test_what_is_not_the_fields(self, vault: Any) -> None:
        """No object of another name or context, and no text that is no reference, is adopted."""
        row = Credential.objects.create(token=None)
        assert not adopt_object(row, "token")
        made = vault.create_object("partner/token", "s3cr3t", {"app": "tests"})
        for text in ("x", f"{made.id}:{made.version_id}"):
            put(row, text)
            with pytest.raises(UntrustedReference):
                adopt_object(loaded(row), "token")
            assert column(row) == text
        put(row, UUIDS)
        with pytest.raises(VaultNotFound):
            adopt_object(loaded(row), "token")

    def test_fixture_for_another_row(self, vault: Any) -> None:
        """A fixture is its owner's: its references are bound to the rows that they are loaded into."""
        row = Credential.objects.create(token="s3cr3t")
        text = serializers.serialize("json", [row])
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM app_credential")
        IndexKeyRecord.objects.all().delete()
        vaults["default"].index_keys.forget()
        for item in serializers.deserialize("json", text.replace(f'"pk": {row.pk}', '"pk": 12345')):
            item.save()
        assert Credential.objects.get(pk=12345).token == "s3cr3t"

    def test_fixture_in_any_order(self, vault: Any) -> None:
        """A reference may come before the row that chooses its key context."""
        acme = Organization.objects.create(name="Acme", workos_id="org_acme")
        row = Contract.objects.create(organization=acme, terms="s3cr3t")
        text = serializers.serialize("json", [row, acme])
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM app_contract")
            cursor.execute("DELETE FROM app_organization")
        with transaction.atomic(), connection.constraint_checks_disabled():
            for item in serializers.deserialize("json", text):
                item.save()
        assert loaded(row).terms == "s3cr3t"

    def test_muted_signals(self, vault: Any) -> None:
        """Where signals are muted, values are stored and read; at worst an object is left over."""
        with factory.django.mute_signals(pre_save, post_save, pre_delete):
            row = Credential.objects.create(token="one")
            assert loaded(row).token == "one"
            for atomic in (False, True):
                row = loaded(row)
                row.token = f"two {atomic}"
                if atomic:
                    with transaction.atomic():
                        row.save()
                else:
                    row.save()
                assert loaded(row).token == f"two {atomic}"
            row.token = None
            row.save()
        assert loaded(row).token is None


@pytest.mark.django_db(transaction=True)
class TestPrimaryKeys:
    @isolate_apps("tests.app")
    @pytest.mark.parametrize(
        "keys",
        [
            [
                models.UUIDField,
                "0b0e1c5e-7d5f-4f0e-9a53-0f6f6f0f0f01",
                "0b0e1c5e-7d5f-4f0e-9a53-0f6f6f0f0f02",
            ],
            [models.CharField, "a", "b"],
            [models.DateField, "2026-01-01", "2026-01-02"],
        ],
    )
    def test_of_every_stable_type(self, vault: Any, keys: list[Any]) -> None:
        """A reference is bound to a primary key of any type that reads the same everywhere."""

        class Keyed(models.Model):
            id = keys[0](primary_key=True, **({"max_length": 9} if keys[0] is models.CharField else {}))
            token = VaultObjectField()

            class Meta:
                app_label = "app"

        with tables(Keyed):
            rows = [Keyed.objects.create(id=key, token=key) for key in keys[1:]]
            assert [loaded(row).token for row in rows] == keys[1:]
            first, second = (
                str(reference) for reference in Keyed.objects.order_by("id").values_list("token", flat=True)
            )
            with connection.cursor() as cursor:
                cursor.execute("UPDATE app_keyed SET token = %s WHERE token = %s", [second, first])
            with pytest.raises(EnvelopeError):
                _ = loaded(rows[0]).token
            assert loaded(rows[1]).token == keys[2]

    @isolate_apps("tests.app")
    def test_inheritance(self, vault: Any) -> None:
        """A child's row is its parent's: the reference is read through both."""

        class Parent(models.Model):
            token = VaultObjectField()

            class Meta:
                app_label = "app"

        class Child(Parent):
            extra = VaultObjectField()

            class Meta:
                app_label = "app"

        with tables(Parent, Child):
            child = Child.objects.create(token="a", extra="b")
            again = Child.objects.get()
            assert (again.token, again.extra, Parent.objects.get().token) == ("a", "b", "a")
            again.token, again.extra = "c", "d"
            again.save()
            assert (loaded(child).token, loaded(child).extra) == ("c", "d")
            child.delete()
            assert names() == []


@isolate_apps("tests.app")
def test_check_of_a_vault_without_a_context(settings: Any) -> None:
    """A vault without a KEY_CONTEXT cannot keep the key of the proofs, and a check says so."""
    settings.WORKOS_VAULTS = {
        "default": {k: v for k, v in settings.WORKOS_VAULTS["default"].items() if k != "KEY_CONTEXT"}
    }

    class Row(models.Model):
        token = VaultObjectField(key_context={"app": "own"})

        class Meta:
            app_label = "app"

    found = [message.id for message in Row._meta.get_field("token").check()]
    assert found == ["django_workos_vault.E110"]
