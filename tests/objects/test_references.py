"""Whoever writes the database writes references: none makes us read, change or delete another's object."""

import logging
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.core import serializers
from django.db import connection, connections, models, transaction
from django.test import Client

from django_workos_vault import vaults
from django_workos_vault.context import KeyContext
from django_workos_vault.exceptions import UntrustedReference
from django_workos_vault.fields import (
    ObjectReference,
    aload_objects,
    aobject_history,
    object_history,
)
from tests.app.models import Contract, Credential, Organization
from tests.objects.rows import column, loaded, names, requests_made

UUIDS = "0b0e1c5e-7d5f-4f0e-9a53-0f6f6f0f0f0f:2c3d4e5f-7d5f-4f0e-9a53-0f6f6f0f0f0f"
NO_REFERENCES = [
    "",
    " ",
    "x",
    ":",
    "::",
    "a:b:c",
    "a:b:json:json",
    "a:b:json:c:d:e",
    "../organizations:v",
    "..:..",
    "a/b:c",
    "a%2Fb:c",
    "name/app.Credential.token:v",
    "a?x=1:v",
    "zażółć:v",
    "a b:c",
    "x" * 255,
    f"{'x' * 81}:v",
    f"v:{'x' * 81}",
    "workos-vault-object:a:b",
]
WAYS = ["create", "bulk_create", "get_or_create", "explicit", "loaded", "updated"]
UNPROVEN = [UUIDS, f"{UUIDS}:json", f"{UUIDS}:{'A' * 43}", f"{UUIDS}:json:{'A' * 43}", "a:b", f"{'x' * 80}:v"]


def put(row: models.Model, text: Any, name: str = "token") -> None:
    """Write a column past the ORM."""
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {row._meta.db_table} SET {name} = %s WHERE id = %s", [text, row.pk])


def refused(row: Any, name: str = "token") -> None:
    """Reading, and asking for the versions, raises and asks Vault for no object."""
    row = loaded(row)
    vaults["default"].object_prover("any")  # the key of the proofs is all that may be asked for
    before = requests_made()
    for _ in range(2):
        with pytest.raises(UntrustedReference) as caught:
            getattr(row, name)
        with pytest.raises(UntrustedReference):
            object_history(row, name)
    assert "s3cr3t" not in str(caught.value)
    assert requests_made() == before


@pytest.mark.django_db(transaction=True)
class TestTextThatIsNoReference:
    @pytest.mark.parametrize("text", [*NO_REFERENCES, *UNPROVEN])
    def test_stays_with_its_own_row(self, vault: Any, text: str, admin_client: Client) -> None:
        """It is an error on reading alone: rows load, list, save, dump and go, and Vault is not asked."""
        sound, row = Credential.objects.create(token="s3cr3t"), Credential.objects.create(token="other")
        vault.delete_object(column(row).split(":")[0])
        put(row, text)
        held, before = column(row), requests_made()
        row = Credential.objects.get(pk=row.pk)
        assert isinstance(Credential.objects.values_list("token", flat=True).get(pk=row.pk), ObjectReference)
        assert Credential.objects.defer("token").get(pk=row.pk).name
        row.name = "renamed"
        row.save()
        row.save(update_fields=["name", "token"])
        row.refresh_from_db()
        row.full_clean()
        assert str(row._meta.get_field("token").held_by(row).reference) in (held, repr(held))
        dumped = serializers.serialize("json", Credential.objects.order_by("pk"))
        for page in ("/admin/app/credential/", f"/admin/app/credential/{row.pk}/change/"):
            assert admin_client.get(page).status_code == 200
        url = f"/admin/app/credential/{row.pk}/change/"
        assert admin_client.post(url, {"name": "again", "token": ""}).status_code == 302
        assert column(row) == held
        assert requests_made() == before
        refused(row)
        assert loaded(sound).token == "s3cr3t"
        Credential.objects.get(pk=row.pk).delete()
        assert len(names()) == 1
        for item in serializers.deserialize("json", dumped):
            item.save()
        refused(row)
        assert loaded(sound).token == "s3cr3t"

    @pytest.mark.parametrize("value", ["new", None])
    @pytest.mark.parametrize("text", ["", "x", "../x:v", UUIDS, f"{UUIDS}:{'A' * 43}"])
    @pytest.mark.parametrize("atomic", [False, True])
    def test_can_be_replaced(self, vault: Any, text: str, value: Any, atomic: bool) -> None:
        """Assigning a value gives the row an object of its own, and NULL takes it away."""
        row = Credential.objects.create(token=None)
        put(row, text)
        row = loaded(row)
        row.token = value
        if atomic:
            with transaction.atomic():
                row.save()
        else:
            row.save()
        assert loaded(row).token == value
        assert len(names()) == (value is not None)

    @pytest.mark.skipif(connection.vendor != "sqlite", reason="other databases keep a column's type")
    @pytest.mark.parametrize("stored", [b"\x00\xff", b"a:b", 7, 1.5, "a\x00:b", "x" * 100_000])
    def test_what_sqlite_lets_in(self, vault: Any, stored: Any) -> None:
        """Values of other types and lengths are no references either."""
        row = Credential.objects.create(token=None)
        put(row, stored)
        refused(row)
        serializers.serialize("json", Credential.objects.all())
        loaded(row).delete()
        assert not Credential.objects.exists()


@pytest.mark.django_db(transaction=True)
class TestReferenceOfAnother:
    def test_row(self, vault: Any) -> None:
        """Of two rows that were swapped, neither reads the other's; overwriting and deleting spare it."""
        one, two = Credential.objects.create(token="s3cr3t"), Credential.objects.create(token="other")
        first, second = column(one), column(two)
        put(one, second)
        put(two, first)
        refused(one)
        refused(two)
        one = loaded(one)
        one.token = "mine"
        one.save()
        loaded(two).delete()
        assert len(names()) == 3
        assert loaded(one).token == "mine"

    @pytest.mark.parametrize("way", WAYS)
    def test_row_whatever_way_it_was_written(self, vault: Any, way: str) -> None:
        """However a row came about, what it refers to is no other row's."""
        if way == "bulk_create":
            with transaction.atomic():
                Credential.objects.bulk_create([Credential(name="a", token="s3cr3t")])
        elif way == "get_or_create":
            Credential.objects.get_or_create(name="a", defaults={"token": "s3cr3t"})
        elif way == "explicit":
            Credential(pk=77, name="a", token="s3cr3t").save()
        elif way == "loaded":
            text = '[{"model": "app.credential", "pk": 5, "fields": {"name": "a", "token": "s3cr3t"}}]'
            for item in serializers.deserialize("json", text):
                item.save()
        else:
            row = Credential.objects.create(name="a", token="old")
            if way == "updated":
                row.token = "s3cr3t"
                with transaction.atomic():
                    row.save()
            else:
                row.delete()
                Credential.objects.create(name="a", token="s3cr3t")
        row = Credential.objects.get(name="a")
        assert row.token == "s3cr3t"
        another = Credential.objects.create(token=None)
        put(another, column(row))
        refused(another)
        loaded(another).delete()
        assert loaded(row).token == "s3cr3t"
        row.token = "newer"
        row.save()
        assert loaded(row).token == "newer"
        assert len(names()) == 1

    def test_field(self, vault: Any) -> None:
        """A reference of another column names nothing here, even where both have one key."""
        row = Credential.objects.create(token="s3cr3t")
        acme = Organization.objects.create(name="Acme", workos_id="org_acme")
        contract = Contract.objects.create(pk=row.pk, organization=acme, terms="theirs")
        put(contract, column(row), "terms")
        refused(contract, "terms")
        contract = loaded(contract)
        contract.terms = "mine"
        contract.save()
        assert loaded(row).token == "s3cr3t"
        assert loaded(contract).terms == "mine"

    @pytest.mark.parametrize("moved", ["reference", "row", "organization"])
    def test_tenant(self, vault: Any, moved: str) -> None:
        """Neither a reference moved to another tenant's row, nor a row or a tenant's id moved, reads it."""
        acme = Organization.objects.create(name="Acme", workos_id="org_acme")
        apex = Organization.objects.create(name="Apex", workos_id="org_apex")
        theirs = Contract.objects.create(organization=acme, terms="s3cr3t")
        mine = Contract.objects.create(organization=apex, terms="mine")
        if moved == "row":
            Contract.objects.filter(pk=theirs.pk).update(organization=apex)
            refused(theirs, "terms")
        else:
            put(mine, column(theirs, "terms"), "terms")
            if moved == "organization":
                Organization.objects.filter(pk=apex.pk).update(workos_id="org_acme")
            refused(mine, "terms")
            loaded(mine).delete()
        assert len(names()) == 2

    def test_a_row_moved_by_the_program_keeps_a_reference_that_is_not_its_own(self, vault: Any) -> None:
        """Such a row still saves, and reads no better afterwards."""
        acme = Organization.objects.create(name="Acme", workos_id="org_acme")
        apex = Organization.objects.create(name="Apex", workos_id="org_apex")
        row = Contract.objects.create(organization=acme, terms="s3cr3t")
        put(row, UUIDS, "terms")
        row = loaded(row)
        row.organization = apex
        row.save()
        assert column(row, "terms") == UUIDS
        refused(row, "terms")

    @pytest.mark.parametrize(
        "name",
        [
            "partner/token",
            "app.Credential.token",
            "app.Credential.token/",
            "app.Credential.token/0",
            f"app.Credential.token/{'0' * 32}",
            f"app.Credential.token/{'0' * 32}/before-{'0' * 16}",
            f"app.Credential.tokens/{'0' * 32}",
            f"other.Credential.token/{'0' * 32}",
        ],
    )
    @pytest.mark.parametrize("proof", ["", ":" + "A" * 43])
    def test_object_made_by_hand(self, vault: Any, name: str, proof: str) -> None:
        """Whatever an object is called, a reference that we did not write leads to none."""
        made = vault.create_object(name, "s3cr3t", {"app": "tests"})
        row = Credential.objects.create(token=None)
        put(row, f"{made.id}:{made.version_id}{proof}")
        refused(row)
        row = loaded(row)
        row.token = "mine"
        row.save()
        put(row, f"{made.id}:{made.version_id}{proof}")
        loaded(row).delete()
        assert vault.read_object(made.id).value == "s3cr3t"

    def test_parts_of_a_reference(self, vault: Any) -> None:
        """Another version, another kind of value, or a proof cut short is not what was written."""
        row = Credential.objects.create(token='{"a": 1}')
        object_id, version, proof = column(row).split(":")
        for text in (
            f"{object_id}:{version}:json:{proof}",
            f"{object_id}:{object_id}:{proof}",
            f"{version}:{version}:{proof}",
            f"{object_id.upper()}:{version}:{proof}",
            f"{object_id}:{version}:{proof[:-1]}",
            f"{object_id}:{version}:{proof.swapcase()}",
        ):
            put(row, text)
            refused(row)


@pytest.mark.django_db(transaction=True)
class TestVaultsAnswer:
    """A proof is not enough: what Vault says of the object has to fit, before it is used."""

    def forge(self, row: Any, object_id: str, version: str) -> None:
        """Sign a reference as somebody would who stole the key of the proofs."""
        field = row._meta.get_field("token")
        sign = field.scheme.signer(field.scheme.row_of(row), KeyContext({"app": "tests"}))
        put(row, str(sign(ObjectReference(object_id, version))))

    @pytest.mark.parametrize(
        ("name", "context"),
        [
            ("partner/token", {"app": "tests"}),
            (f"app.Credential.tokens/{'0' * 32}", {"app": "tests"}),
            (f"app.Credential.token/{'0' * 32}/before-{'0' * 16}", {"app": "tests"}),
            (f"app.Credential.token/{'0' * 32}", {"app": "other"}),
            (f"app.Credential.token/{'0' * 32}", {"app": "tests", "organization_id": "org_1"}),
        ],
    )
    def test_name_and_context_are_compared(
        self, vault: Any, name: str, context: dict[str, str], caplog: pytest.LogCaptureFixture
    ) -> None:
        """An object with another name or context is neither read, nor changed, nor deleted."""
        made = vault.create_object(name, "s3cr3t", context)
        row = Credential.objects.create(token=None)
        self.forge(row, made.id, made.version_id)
        for read in (lambda: loaded(row).token, lambda: loaded(row).history("token")):
            with pytest.raises(UntrustedReference, match="left alone"):
                read()
        for atomic in (False, True):
            self.forge(row, made.id, made.version_id)
            mine = loaded(row)
            mine.token = "mine"
            if atomic:
                with transaction.atomic():
                    mine.save()
            else:
                mine.save()
            assert loaded(row).token == "mine"
        self.forge(row, made.id, made.version_id)
        caplog.set_level(logging.WARNING)
        loaded(row).delete()
        assert vault.list_object_versions(made.id)[0].id == made.version_id
        assert "could not be deleted" in caplog.text or "/before-" in name
        assert "s3cr3t" not in caplog.text


@pytest.mark.django_db(transaction=True)
class TestAsync:
    async def test_a_fault_stays_with_its_own_row(self, vault: Any) -> None:
        """Of rows loaded together, one that is forged raises, and the others are read."""
        for number in range(3):
            await Credential.objects.acreate(name=str(number), token=str(number))
        await sync_to_async(put)(await Credential.objects.aget(name="1"), UUIDS)
        await sync_to_async(vaults["default"].index_keys.forget)()
        rows = Credential.objects.order_by("name")
        await aload_objects(rows)
        assert (rows[0].token, rows[2].token) == ("0", "2")
        with pytest.raises(UntrustedReference):
            _ = rows[1].token
        with pytest.raises(UntrustedReference):
            await aobject_history(rows[1], "token")
        assert len(await aobject_history(rows[0], "token")) == 1
        await sync_to_async(connections.close_all)()


@pytest.mark.django_db(transaction=True)
class TestCost:
    def test_requests_and_queries(self, vault: Any, django_assert_num_queries: Any) -> None:
        """A proof costs no request once its key is in memory: reading asks for the object alone."""
        Credential.objects.create(token="s3cr3t")
        rows = [Credential.objects.create(name=str(number), token=str(number)) for number in range(5)]
        before = requests_made()
        with django_assert_num_queries(1):
            read = [row.token for row in Credential.objects.filter(pk__in=[row.pk for row in rows])]
        assert sorted(read) == ["0", "1", "2", "3", "4"]
        assert requests_made() == before + 5
        rows[0].delete()
        assert requests_made() == before + 7  # describe, delete
