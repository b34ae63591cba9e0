"""A value larger than one object in Vault holds: parts and a manifest, read and written as one."""

import json
import threading
from typing import Any

import pytest
from django.core import serializers
from django.db import transaction

from django_workos_vault.exceptions import UntrustedReference, VaultConflict, VaultError, VaultNotFound
from django_workos_vault.fields import adopt_object, aload_objects
from django_workos_vault.fields.object_value import StoredObject
from tests.app.models import Contract, Credential, Organization
from tests.objects.rows import column, loaded, names, requests_made
from tests.objects.test_references import put, refused

# ruff: noqa: PT012 - a transaction is rolled back by what is raised in its block

pytestmark = pytest.mark.django_db(transaction=True)

LOCAL = pytest.mark.parametrize("vault", ["local"], indirect=True)
MIB = 1024 * 1024
#: values by the number of parts, 0 for what one object holds
VALUES: dict[str, tuple[Any, int]] = {
    "a text of the limit": ("x" * MIB, 0),
    "a text over it": ("x" * MIB + "y", 2),
    "characters over the edge": ("x" + "ä€😀" * 250_000, 3),
    "a dict": ({"pages": ["a" * MIB, "ł" * MIB], "number": 1.5, "none": None}, 4),
    "a list": ([["row", n, True] for n in range(80_000)], 2),
    "a text like a manifest": ('{"parts":[{"id":"' + "a" * MIB + '"}]}', 2),
}
LARGE, LARGER, SMALL = ["a" * MIB], ["b" * MIB, "c" * MIB], ["d"]


def parts() -> list[str]:
    return [name for name in names() if "/part-" in name]


def save(row: Any, atomic: bool) -> None:
    if atomic:
        with transaction.atomic():
            row.save()
    else:
        row.save()


@pytest.mark.parametrize("described", VALUES)
async def test_round_trip(vault: Any, described: str) -> None:
    """A value of any size comes back as it was, in as many requests as it has objects; async code too."""
    value, count = VALUES[described]
    row = await Credential.objects.acreate(token=value)
    assert len(parts()) == count
    assert [name.partition("/part-")[0] for name in parts()] == [
        max(names(), key=lambda n: "/part-" not in n)
    ] * count
    before = requests_made()
    (row,) = [row async for row in Credential.objects.all()]
    await aload_objects([row])
    assert requests_made() - before == count + 1
    assert row.token == value
    assert {vault.read_object_by_name(name).metadata.context["app"] for name in names()} == {"tests"}


def test_a_manifest_that_a_user_typed_is_text(vault: Any) -> None:
    """What looks like a manifest is a value: only a signed reference says that an object holds one."""
    row = Credential.objects.create(token=LARGE)
    typed = vault.read_object(column(row).split(":")[0]).value
    other = Credential.objects.create(token=json.loads(typed))
    assert loaded(other).token == json.loads(typed)
    put(other, column(other).replace(":json:", ":json-parts:"))
    refused(other)
    put(row, column(row).replace(":json-parts:", ":json:"))
    refused(row)


@LOCAL
@pytest.mark.parametrize("atomic", [False, True])
@pytest.mark.parametrize(
    "before", [None, SMALL, LARGE, "x" * MIB + "y"], ids=["null", "small", "large", "text"]
)
@pytest.mark.parametrize(
    "after", [None, SMALL, LARGE, LARGER, "text"], ids=["null", "small", "same", "larger", "text"]
)
def test_every_change_of_size(vault: Any, before: Any, after: Any, atomic: bool) -> None:
    """After each change the new value is there, with its own parts alone; after a deletion nothing is."""
    row = Credential.objects.create(token=before)
    row = loaded(row)
    row.token = after
    save(row, atomic)
    assert loaded(row).token == after
    stored = json.dumps(after) if isinstance(after, list) else after or ""
    assert len(parts()) == (-(-len(stored) // MIB) if len(stored) > MIB else 0)
    assert len(names()) - len(parts()) == (after is not None)
    loaded(row).delete()
    assert names() == []


def test_rolled_back(vault: Any) -> None:
    """The row has its old parts until the commit, however often a transaction is rolled back."""
    row = Credential.objects.create(token=LARGE)
    row.token = LARGER
    for _ in range(2):
        with pytest.raises(RuntimeError), transaction.atomic():
            row.save()
            assert loaded(row).token == LARGER
            raise RuntimeError
        assert loaded(row).token == LARGE
    save(row, atomic=True)
    assert loaded(row).token == LARGER
    again = loaded(row)
    with transaction.atomic():
        again.token = LARGE
        again.save()
        inner = loaded(row)
        with pytest.raises(RuntimeError), transaction.atomic():
            inner.token = ["e" * MIB]
            inner.save()
            raise RuntimeError
    assert loaded(row).token == LARGE


@LOCAL
@pytest.mark.parametrize("atomic", [False, True])
def test_two_writers(vault: Any, atomic: bool) -> None:
    """The second to save gets a conflict, and leaves no parts."""
    row = Credential.objects.create(token=LARGE)
    first, second = loaded(row), loaded(row)
    first.token = LARGER
    save(first, atomic)
    second.token = ["e" * MIB]
    with pytest.raises(VaultConflict, match="refresh_from_db"):
        save(second, atomic)
    assert loaded(row).token == LARGER
    assert len(names()) == 4


@pytest.mark.parametrize("atomic", [False, True])
def test_a_reader_sees_one_value_or_the_other(vault: Any, atomic: bool) -> None:
    """Readers that hold a reference of any age see whole values while a writer replaces them."""
    row = Credential.objects.create(token=["0" * MIB])
    field = row._meta.get_field("token")
    held = loaded(row).__dict__["token"]
    seen: list[Any] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            try:
                seen.append(StoredObject(held.reference, field, held.row).open())
            except VaultNotFound:
                seen.append(None)  # writers were faster five times over

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        for digit in "123456":
            row.token = [digit * MIB, digit]
            save(row, atomic)
    finally:
        done.set()
        for reader in readers:
            reader.join()
    values = [value for value in seen if value is not None]
    assert values
    assert all(len(set("".join(value))) == 1 for value in values)
    assert len(parts()) == 2


@LOCAL
@pytest.mark.parametrize(
    "kind", ["value", "order", "another row's", "another field's", "gone", "manifest", "id"]
)
def test_what_something_else_did_to_parts(vault: Any, kind: str) -> None:
    """Nothing but what was stored is read: parts changed, moved, exchanged, or a manifest that is none."""
    row, other = Credential.objects.create(token=LARGER), Credential.objects.create(token=LARGER)
    manifest, others = (vault.read_object(column(each).split(":")[0]) for each in (row, other))
    named = json.loads(manifest.value)
    foreign = vault.create_object("partner", "s3cr3t", {"app": "tests"}).id
    error: Any = UntrustedReference
    if kind == "value":
        vault.update_object(named["parts"][0]["id"], "s3cr3t")
    elif kind == "order":
        named["parts"].reverse()
        error = VaultError
    elif kind == "another row's":
        named["parts"] = json.loads(others.value)["parts"]
    elif kind == "another field's":
        named["parts"][0]["id"] = foreign
    elif kind == "gone":
        vault.delete_object(named["parts"][1]["id"])
        error = VaultNotFound
    elif kind == "manifest":
        named, error = {"s3cr3t": 1}, VaultError
    else:
        named["parts"][0]["id"] = "../s3cr3t"
        error = VaultError
    if named != json.loads(manifest.value):
        vault.update_object(manifest.id, json.dumps(named))
    with pytest.raises(error) as caught:
        _ = loaded(row).token
    assert "s3cr3t" not in str(caught.value)
    assert loaded(other).token == LARGER
    loaded(row).delete()
    assert vault.read_object(foreign).value == "s3cr3t"
    assert loaded(other).token == LARGER


def test_fixtures_and_adoption(vault: Any) -> None:
    """A fixture refers to the parts, and a row that moved to another key takes them along."""
    row = Credential.objects.create(token=LARGE)
    (dumped,) = serializers.deserialize("json", serializers.serialize("json", Credential.objects.all()))
    dumped.save()
    assert loaded(row).token == LARGE
    acme = Organization.objects.create(name="Acme", workos_id="org_old")
    contract = Contract.objects.create(organization=acme, terms=LARGER)
    Organization.objects.update(workos_id="org_new")
    assert adopt_object(loaded(contract), "terms", {"organization_id": "org_old"})
    assert loaded(contract).terms == LARGER
    contexts = [vault.read_object_by_name(name).metadata.context for name in names() if "terms" in name]
    assert contexts == [{"organization_id": "org_new"}] * 4
