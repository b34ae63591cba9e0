"""What every backend promises: LocalVault, and WorkOSVault with the emulator behind it, near and far."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from django_workos_vault.backends.local import LocalVault
from django_workos_vault.backends.workos import WorkOSVault
from django_workos_vault.exceptions import (
    InvalidVaultConfiguration,
    VaultConflict,
    VaultNotFound,
    VaultPermissionDenied,
    VaultRequestError,
)

CONTEXT = {"organization_id": "org_1"}
NAMES = [
    "my-secret",
    "a/b",
    "a?b#c%d e",
    "%2F",
    "ünï ∑ 😀",
    "metadata",
    "name",
    "new\nline",
    "x" * 200,
    "'\";--",
]


@pytest.fixture(params=["local", "http", "in-process"])
def vault(request):
    if request.param == "local":
        vault = LocalVault(master_key=bytes(range(32)), objects_file=":memory:")
        vault.withdraw = vault.revoke
    else:
        emulator = request.getfixturevalue("vault_emulator")
        transport = httpx.WSGITransport(emulator.app) if request.param == "in-process" else None
        vault = WorkOSVault(api_key=emulator.api_key, base_url=emulator.url, transport=transport)
        vault.withdraw = emulator.revoke
    yield vault
    vault.close()


def test_the_key_calls(vault):
    """Create, decrypt and rekey hand back the same data key, and each is one request."""
    created = vault.create_data_key(CONTEXT)
    opened = vault.decrypt_data_key(created.wrapped)
    moved = vault.rekey_data_key(created.wrapped, {"app": "clinic"})
    assert (opened.id, opened.plaintext) == (created.id, created.plaintext)
    assert (moved.id, moved.plaintext, moved.context) == (created.id, created.plaintext, {"app": "clinic"})
    assert len(created.wrapped) == 206
    assert vault.requests_made == 3


def test_many_keys_at_once(vault):
    """A batch hands back its keys in order, and a bad blob fails alone."""
    keys = vault.create_data_keys([{"organization_id": f"org_{index}"} for index in range(20)])
    opened = vault.decrypt_data_keys([*(key.wrapped for key in keys), b"sesame"])
    assert [key.plaintext for key in opened[:-1]] == [key.plaintext for key in keys]
    assert isinstance(opened[-1], VaultRequestError)


def test_a_blob_that_is_none(vault):
    """Noise is a VaultRequestError."""
    with pytest.raises(VaultRequestError):
        vault.decrypt_data_key(b"WOS.EKM.v1\x00 and so on")


def test_a_withdrawn_key(vault):
    """What it alone wraps is refused, what another key wraps too still opens."""
    alone = vault.create_data_key(CONTEXT)
    together = vault.create_data_key({**CONTEXT, "app": "clinic"})
    stored = vault.create_object("a", "secret", CONTEXT)
    vault.withdraw("organization_id", "org_1")
    for refused in (
        lambda: vault.decrypt_data_key(alone.wrapped),
        lambda: vault.create_data_key(CONTEXT),
        lambda: vault.read_object(stored.id),
        lambda: vault.update_object(stored.id, "new"),
        lambda: vault.create_object("b", "secret", CONTEXT),
    ):
        with pytest.raises((VaultPermissionDenied, VaultRequestError)):
            refused()
    assert vault.decrypt_data_key(together.wrapped).plaintext == together.plaintext
    assert vault.describe_object(stored.id).name == "a"
    with pytest.raises(VaultNotFound):
        vault.read_object_by_name("b")


def test_an_object_from_its_creation_to_its_end(vault):
    """Created, read by id and name, updated, described, listed, deleted."""
    created = vault.create_object("my-secret", "first ü", CONTEXT)
    assert created.context == CONTEXT
    assert datetime.now(UTC) - created.updated_at < timedelta(minutes=1)
    read = vault.read_object(created.id)
    assert (read.id, read.name, read.value, read.metadata) == (created.id, "my-secret", "first ü", created)
    assert vault.read_object_by_name("my-secret") == read

    updated = vault.update_object(created.id, "second")
    assert updated.metadata.version_id != created.version_id
    assert vault.read_object(created.id).value == "second"
    assert vault.describe_object(created.id) == updated

    versions = vault.list_object_versions(created.id)
    assert [version.id for version in versions] == [updated.metadata.version_id, created.version_id]
    assert [version.current_version for version in versions] == [True, False]
    assert [version.size for version in versions] == [6, 8]
    assert versions[0].etag != versions[1].etag

    assert vault.delete_object(created.id).name == "my-secret"
    assert list(vault.iter_objects()) == []
    for missing in (
        vault.read_object,
        vault.describe_object,
        vault.list_object_versions,
        vault.delete_object,
    ):
        with pytest.raises(VaultNotFound):
            missing(created.id)
    with pytest.raises(VaultNotFound):
        vault.read_object_by_name("my-secret")


@pytest.mark.parametrize("name", NAMES)
def test_a_name_may_be_any_text(vault, name):
    """Slashes, escapes, other alphabets, line breaks, 200 characters."""
    created = vault.create_object(name, "secret", CONTEXT)
    assert vault.read_object_by_name(name).id == created.id
    assert vault.describe_object(created.id).name == name


@pytest.mark.parametrize("value", ["", "\x00", "😀" * 1000, "x" * 1_000_000])
def test_a_value_may_be_any_text(vault, value):
    """Empty, NUL, long: it comes back as it was."""
    assert vault.read_object(vault.create_object("a", value, CONTEXT).id).value == value


def test_a_name_belongs_to_one_object(vault):
    """A taken name is a VaultConflict until its object is deleted."""
    created = vault.create_object("my-secret", "1", CONTEXT)
    with pytest.raises(VaultConflict):
        vault.create_object("my-secret", "2", CONTEXT)
    assert vault.read_object(created.id).value == "1"
    vault.delete_object(created.id)
    assert vault.create_object("my-secret", "3", CONTEXT).id != created.id


def test_a_stale_version_changes_nothing(vault):
    """``version_check`` guards update and delete against lost updates."""
    created = vault.create_object("my-secret", "1", CONTEXT)
    updated = vault.update_object(created.id, "2", version_check=created.version_id)
    with pytest.raises(VaultConflict):
        vault.update_object(created.id, "3", version_check=created.version_id)
    with pytest.raises(VaultConflict):
        vault.delete_object(created.id, version_check=created.version_id)
    assert vault.read_object(created.id).value == "2"
    assert vault.delete_object(created.id, version_check=updated.metadata.version_id)


def test_of_many_writers_with_the_same_version_one_wins(vault):
    """Optimistic locking holds under concurrency."""
    created = vault.create_object("my-secret", "0", CONTEXT)

    def write(index):
        try:
            vault.update_object(created.id, str(index), version_check=created.version_id)
        except VaultConflict:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(write, range(16))) == 1
    assert len(vault.list_object_versions(created.id)) == 2


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_a_list_is_walked_in_both_directions(vault, order):
    """Cursors lead forwards to the end and back to the beginning, through the same pages."""
    names = [f"object {index}" for index in range(7)]
    for name in names:
        vault.create_object(name, "secret", CONTEXT)
    expected = names if order == "asc" else names[::-1]

    pages = [vault.list_objects(limit=3, order=order)]
    while pages[-1].after:
        pages.append(vault.list_objects(limit=3, order=order, after=pages[-1].after))
    assert [[item.name for item in page.items] for page in pages] == [
        expected[:3],
        expected[3:6],
        expected[6:],
    ]
    assert pages[0].before is None

    back = [pages[-1]]
    while back[-1].before:
        back.append(vault.list_objects(limit=3, order=order, before=back[-1].before))
    assert back == pages[::-1]
    assert [item.name for item in vault.iter_objects(limit=2, order=order)] == expected


def test_a_list_goes_on_when_its_cursor_is_deleted(vault):
    """Deleting while listing neither breaks the list nor skips an object."""
    for index in range(5):
        vault.create_object(f"object {index}", "secret", CONTEXT)
    seen = []
    for item in vault.iter_objects(limit=1):
        seen.append(item.name)
        vault.delete_object(item.id)
    assert seen == [f"object {index}" for index in range(4, -1, -1)]


def test_a_list_has_ten_objects_unless_told(vault):
    """The default of the API description, newest first."""
    for index in range(12):
        vault.create_object(f"object {index}", "secret", CONTEXT)
    page = vault.list_objects()
    assert [item.name for item in page.items] == [f"object {index}" for index in range(11, 1, -1)]


def test_searching_by_name_and_by_time(vault):
    """``search`` finds a part of the name in any case; ``updated_after`` what changed since."""
    first = vault.create_object("Müller/ssn", "1", CONTEXT)
    second = vault.create_object("meier/ssn", "2", CONTEXT)
    vault.create_object("100%_sure", "3", CONTEXT)
    assert [item.name for item in vault.iter_objects(search="SSN", limit=1)] == ["meier/ssn", "Müller/ssn"]
    assert [item.name for item in vault.iter_objects(search="mÜ")] == ["Müller/ssn"]
    assert [item.name for item in vault.iter_objects(search="%")] == ["100%_sure"]
    vault.update_object(first.id, "4")
    changed = vault.list_objects(updated_after=second.updated_at)
    assert [item.name for item in changed.items] == ["100%_sure", "Müller/ssn"]
    assert changed.before is None
    assert changed.after is None
    assert vault.list_objects(updated_after=datetime.now(UTC) + timedelta(days=1)).items == ()


@pytest.mark.parametrize(
    "query", [{"limit": 0}, {"after": "sesame"}, {"before": "sesame"}, {"order": "up"}, {"search": "\ud800"}]
)
def test_a_list_that_cannot_be(vault, query):
    """Limits and cursors that are none are VaultRequestErrors."""
    with pytest.raises(VaultRequestError):
        vault.list_objects(**query)


def test_limits_are_checked_before_any_request(vault):
    """A name of 201 characters, half a character and a context that is none never leave."""
    for bad in (("x" * 201, "v"), ("", "v"), ("a", "\ud800"), ("a", None)):
        with pytest.raises(VaultRequestError):
            vault.create_object(*bad, CONTEXT)
    with pytest.raises(InvalidVaultConfiguration):
        vault.create_object("a", "v", {})
    assert vault.requests_made == 0


def test_the_async_object_calls_do_the_same(vault):
    """Each object call has an async twin."""

    async def run():
        created = await vault.acreate_object("a", "1", CONTEXT)
        await vault.aupdate_object(created.id, "2", created.version_id)
        read = await vault.aread_object(created.id)
        assert read == await vault.aread_object_by_name("a")
        assert (await vault.adescribe_object(created.id)).metadata == read.metadata
        assert len(await vault.alist_object_versions(created.id)) == 2
        assert [item.name async for item in vault.aiter_objects()] == ["a"]
        await vault.adelete_object(created.id, read.metadata.version_id)
        return read.value

    assert asyncio.run(run()) == "2"
