"""LocalVault: Vault's semantics with no network."""

import asyncio
import errno
import os
import stat
import warnings
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from django_workos_vault.backends.local import LocalVault
from django_workos_vault.backends.local.keyfile import load_or_create_key
from django_workos_vault.backends.local.wrapping import KeyWrapper
from django_workos_vault.exceptions import (
    InvalidVaultConfiguration,
    VaultPermissionDenied,
    VaultRequestError,
    VaultUnavailable,
)

MASTER_KEY = bytes(range(32))
ONE_ITEM = {"organization_id": "org_1"}
TWO_ITEMS = {"organization_id": "org_1", "app": "clinic"}


@pytest.fixture
def vault():
    return LocalVault(master_key=MASTER_KEY)


def test_a_data_key_comes_back_from_its_blob(vault):
    """Unwrapping gives the id and the 32 bytes that were created."""
    created = vault.create_data_key(TWO_ITEMS)
    opened = vault.decrypt_data_key(created.wrapped)
    assert (opened.id, opened.plaintext) == (created.id, created.plaintext)
    assert created.context == TWO_ITEMS
    assert len(created.plaintext) == 32


@pytest.mark.parametrize(("items", "size"), [(1, 206), (2, 362), (10, 1611)])
def test_a_blob_has_the_size_of_workos_vaults(vault, items, size):
    """One context item makes 206 bytes, each further one 156 more."""
    blob = vault.create_data_key({f"name{index}": "value" for index in range(items)}).wrapped
    assert len(blob) == size
    assert blob.startswith(b"WOS.EKM.v1\x00")


def test_a_blob_has_the_layout_of_the_published_example(vault):
    """The bytes between the ids are those of the example in the API description."""
    key = vault.create_data_key(ONE_ITEM)
    assert key.wrapped[11:47].decode() == key.id
    assert key.wrapped[47:52] == b"\x01\x011\x01$"
    assert key.wrapped[88:90] == b"\x01t"


def test_a_blob_tells_nothing_about_the_context(vault):
    """Neither a name nor a value of the context stands in the blob, and the same item has the same key id."""
    first, second = (vault.create_data_key(ONE_ITEM).wrapped for _ in range(2))
    assert b"org" not in first
    assert first[52:88] == second[52:88]
    assert LocalVault(master_key=bytes(32)).create_data_key(ONE_ITEM).wrapped[52:88] != first[52:88]


@given(
    st.tuples(st.text(max_size=5), st.text(max_size=5)),
    st.tuples(st.text(max_size=5), st.text(max_size=5)),
)
@example(("a", "bc"), ("ab", "c"))
@example(("", "a"), ("a", ""))
@example(("\ud83d", "\ude00"), ("", "😀"))
def test_different_context_items_have_different_keys(one, other):
    """No two (name, value) pairs share a key, however their texts join up."""
    wrapper = KeyWrapper(MASTER_KEY)
    assert (wrapper.kek_id(*one) == wrapper.kek_id(*other)) == (one == other)


def test_rekeying_keeps_the_data_key(vault):
    """The same key and id come back, wrapped under the new context only."""
    created = vault.create_data_key(ONE_ITEM)
    moved = vault.rekey_data_key(created.wrapped, {"app": "clinic"})
    assert (moved.id, moved.plaintext, moved.context) == (created.id, created.plaintext, {"app": "clinic"})
    vault.revoke("organization_id", "org_1")
    assert vault.decrypt_data_key(moved.wrapped).plaintext == created.plaintext


def test_a_revoked_key_opens_nothing(vault):
    """What only the revoked key wraps stays closed; the error says that it was revoked."""
    wrapped = vault.create_data_key(ONE_ITEM).wrapped
    vault.revoke("organization_id", "org_1")
    with pytest.raises(VaultPermissionDenied, match="revoked"):
        vault.decrypt_data_key(wrapped)
    with pytest.raises(VaultPermissionDenied, match="revoked"):
        vault.rekey_data_key(wrapped, {"app": "clinic"})
    with pytest.raises(VaultPermissionDenied, match="organization_id"):
        vault.create_data_key(TWO_ITEMS)
    assert vault.create_data_key({"organization_id": "org_2"}).id


@pytest.mark.parametrize(("name", "value"), TWO_ITEMS.items())
def test_any_other_item_still_opens_what_a_revoked_key_wraps(vault, name, value):
    """A data key wrapped by two keys opens with either."""
    created = vault.create_data_key(TWO_ITEMS)
    vault.revoke(name, value)
    assert vault.decrypt_data_key(created.wrapped).plaintext == created.plaintext


def test_every_changed_byte_is_noticed(vault):
    """A blob with any one bit flipped, cut anywhere, or extended is a VaultRequestError."""
    blob = vault.create_data_key(ONE_ITEM).wrapped
    flipped = [bytes((*blob[:at], blob[at] ^ 1, *blob[at + 1 :])) for at in range(len(blob))]
    cut = [blob[:length] for length in range(len(blob))]
    for damaged in (*flipped, *cut, blob + b"\x00", blob + b"\x01\x00"):
        with pytest.raises(VaultRequestError):
            vault.decrypt_data_key(damaged)


@given(st.binary(max_size=300), st.integers(0, 206))
def test_no_blob_breaks_the_parser(noise, keep):
    """Whatever follows a good beginning, the one error is VaultRequestError."""
    vault = LocalVault(master_key=MASTER_KEY)
    blob = vault.create_data_key(ONE_ITEM).wrapped[:keep] + noise
    try:
        vault.decrypt_data_key(blob)
    except VaultRequestError:
        return
    assert (keep, noise) == (206, b"")


def test_another_master_key_opens_nothing(vault):
    """A blob belongs to its master key."""
    with pytest.raises(VaultRequestError, match="another master key"):
        LocalVault(master_key=bytes(32)).decrypt_data_key(vault.create_data_key(ONE_ITEM).wrapped)


def test_the_async_calls_do_the_same(vault):
    """Each call has an async twin, counted like the others."""

    async def run():
        created = await vault.acreate_data_key(ONE_ITEM)
        moved = await vault.arekey_data_key(created.wrapped, {"app": "clinic"})
        return created, await vault.adecrypt_data_key(moved.wrapped)

    created, opened = asyncio.run(run())
    assert created.plaintext == opened.plaintext
    assert vault.requests_made == 3


def test_a_bad_context_is_refused_before_any_request(vault):
    """The contract's limits hold here too."""
    for context in ({}, {"a": "x" * 501}, {str(index): "x" for index in range(11)}):
        with pytest.raises(InvalidVaultConfiguration):
            vault.create_data_key(context)
    assert vault.requests_made == 0


def test_no_key_in_a_repr(vault):
    """Neither the vault nor what it returns shows a key."""
    created = vault.create_data_key(ONE_ITEM)
    shown = repr((vault, vars(vault).keys(), created))
    assert repr(bytes(created.plaintext))[2:-1] not in shown
    assert repr(MASTER_KEY)[2:-1] not in repr(vault)


@pytest.mark.parametrize("options", [{}, {"master_key": MASTER_KEY, "key_file": "x"}])
def test_exactly_one_source_of_the_master_key(options):
    """Neither or both is a configuration error."""
    with pytest.raises(InvalidVaultConfiguration, match="either master_key or key_file"):
        LocalVault(**options)


@pytest.mark.parametrize("bad", ["", "sesame", b"short", b64encode(bytes(31)).decode(), "ü" * 44, bytes(33)])
def test_a_master_key_that_is_none(bad):
    """Anything but 32 bytes is refused, and not repeated in the message."""
    with pytest.raises(InvalidVaultConfiguration, match="32 bytes") as caught:
        LocalVault(master_key=bad)
    assert not bad or str(bad) not in str(caught.value)


def test_a_master_key_as_text_is_the_same_key(vault):
    """Base64 and raw bytes name the same key."""
    wrapped = vault.create_data_key(ONE_ITEM).wrapped
    assert LocalVault(master_key=b64encode(MASTER_KEY).decode()).decrypt_data_key(wrapped).id


def test_the_key_file_is_made_on_first_use(tmp_path):
    """Nothing is written before; then the owner alone can read it, and it holds from then on."""
    path = tmp_path / "vault.key"
    vault = LocalVault(key_file=path)
    assert not path.exists()
    wrapped = vault.create_data_key(ONE_ITEM).wrapped
    assert path.stat().st_mode & 0o777 == 0o600
    assert LocalVault(key_file=str(path)).decrypt_data_key(wrapped).id
    assert os.listdir(tmp_path) == ["vault.key"]


def test_a_key_file_made_by_many_at_once_holds_one_key(tmp_path):
    """All who start together end with the same key."""
    path = tmp_path / "vault.key"
    with ThreadPoolExecutor(16) as pool:
        keys = set(pool.map(load_or_create_key, [path] * 32))
    assert len(keys) == 1
    assert os.listdir(tmp_path) == ["vault.key"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_file_that_others_can_read_is_refused(tmp_path, mode):
    """The error says what is wrong and what to do."""
    path = tmp_path / "vault.key"
    LocalVault(key_file=path).create_data_key(ONE_ITEM)
    path.chmod(mode)
    with pytest.raises(InvalidVaultConfiguration, match="chmod 600"):
        LocalVault(key_file=path).create_data_key(ONE_ITEM)


def test_a_key_file_that_cannot_be_used(tmp_path):
    """A damaged file, a directory and a place that does not exist are named."""
    damaged = tmp_path / "damaged.key"
    damaged.touch(mode=0o600)
    for path in (damaged, tmp_path, tmp_path / "missing" / "vault.key"):
        with pytest.raises(InvalidVaultConfiguration, match=str(path)):
            LocalVault(key_file=path).create_data_key(ONE_ITEM)


def test_objects_and_revocations_survive_in_their_file(tmp_path):
    """A second vault on the same files goes on where the first one stopped; the values are not readable."""
    files = {"key_file": tmp_path / "vault.key", "objects_file": tmp_path / "objects.sqlite3"}
    first = LocalVault(**files)
    created = first.create_object("a", "a secret value", ONE_ITEM)
    wrapped = first.create_data_key({"organization_id": "org_2"}).wrapped
    first.revoke("organization_id", "org_2")
    first.close()
    assert first.read_object(created.id).value == "a secret value"
    first.close()
    second = LocalVault(**files)
    assert second.read_object_by_name("a").value == "a secret value"
    with pytest.raises(VaultPermissionDenied):
        second.decrypt_data_key(wrapped)
    second.close()
    assert files["objects_file"].stat().st_mode & 0o777 == 0o600
    assert b"secret value" not in files["objects_file"].read_bytes()


def test_without_a_file_for_objects_there_are_none(vault):
    """Objects that would vanish with the process are refused, with the option that keeps them."""
    with pytest.raises(VaultRequestError, match="objects_file"):
        vault.create_object("a", "secret", ONE_ITEM)


def test_a_file_that_holds_no_objects(tmp_path):
    """A file that is something else is VaultUnavailable and names the file."""
    path = tmp_path / "objects.sqlite3"
    path.write_text("this is a shopping list, not a database")
    with pytest.raises(VaultUnavailable, match=r"objects\.sqlite3"):
        LocalVault(master_key=MASTER_KEY, objects_file=path).create_object("a", "secret", ONE_ITEM)
    with pytest.raises(VaultUnavailable, match=str(tmp_path)):
        LocalVault(master_key=MASTER_KEY, objects_file=tmp_path).create_object("a", "secret", ONE_ITEM)


def test_two_processes_share_the_objects(tmp_path):
    """Writers in a forked process and in its parent take turns, and neither loses the other's version."""
    vault = LocalVault(master_key=MASTER_KEY, objects_file=tmp_path / "objects.sqlite3")
    created = vault.create_object("a", "secret", ONE_ITEM)
    with warnings.catch_warnings():
        # From Python 3.12 on it warns of threads, which other tests may have left behind.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        status = 1
        try:
            for index in range(30):
                vault.update_object(created.id, f"child {index}")
            status = 0
        finally:
            os._exit(status)
    for index in range(30):
        vault.update_object(created.id, f"parent {index}")
    assert os.waitpid(child, 0)[1] == 0
    assert len(vault.list_object_versions(created.id)) == 61
    vault.close()


# No such file system can be mounted where the tests run, so what it answers is put in at the calls to the
# system: link() and open() of Linux's vfat, which refuses the one and gives every file the mount's mode.


@pytest.fixture
def without_links(monkeypatch):
    def link(*_args, **_kwargs):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)


@pytest.fixture
def without_modes(monkeypatch):
    real = os.open
    monkeypatch.setattr(os, "open", lambda path, flags, mode=0o777, **more: real(path, flags, 0o755, **more))
    before = os.umask(0)
    yield
    os.umask(before)


def test_a_file_system_without_links(tmp_path, without_links):
    """Many that start together end with one key there too, and none sees half of one."""
    path = tmp_path / "vault.key"
    with ThreadPoolExecutor(8) as pool:
        vaults = [LocalVault(key_file=path) for _ in range(16)]
        wrapped = list(pool.map(lambda vault: vault.create_data_key(ONE_ITEM).wrapped, vaults))
    assert all(LocalVault(key_file=path).decrypt_data_key(blob).id for blob in wrapped)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["vault.key"]


def test_a_key_that_another_process_is_about_to_write(tmp_path, without_links):
    """A file that is empty yet is waited for; one that stays empty is told."""
    path = tmp_path / "vault.key"
    path.touch(mode=0o600)
    with ThreadPoolExecutor(1) as pool:
        opened = pool.submit(lambda: LocalVault(key_file=path).create_data_key(ONE_ITEM))
        path.write_bytes(b64encode(bytes(range(32))) + b"\n")
        assert opened.result().id
    path.write_bytes(b"")
    with pytest.raises(InvalidVaultConfiguration, match="does not hold 32 base64 bytes"):
        LocalVault(key_file=path).create_data_key(ONE_ITEM)


def test_a_file_system_without_modes(tmp_path, without_links, without_modes, caplog):
    """Where every file is everybody's the key is used, for no chmod helps; that is logged, and no key is."""
    path = tmp_path / "vault.key"
    wrapped = LocalVault(key_file=path).create_data_key(ONE_ITEM).wrapped
    assert stat.S_IMODE(path.stat().st_mode) == 0o755
    assert LocalVault(key_file=path).decrypt_data_key(wrapped).id
    assert "keeps no permissions" in caplog.text
    assert path.read_text().strip() not in caplog.text
    assert [each.name for each in tmp_path.iterdir()] == ["vault.key"]
