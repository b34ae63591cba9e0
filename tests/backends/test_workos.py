"""The HTTP client against a real server on loopback that answers well, badly or not at all."""

import asyncio
import base64
import time

import pytest
import stamina

from django_workos_vault.backends.workos import WorkOSVault
from django_workos_vault.exceptions import (
    InvalidVaultConfiguration,
    VaultAuthenticationError,
    VaultConflict,
    VaultError,
    VaultNotFound,
    VaultPermissionDenied,
    VaultRateLimited,
    VaultRequestError,
    VaultUnavailable,
)
from tests.scripted import Reply, cut_short, hang_up, not_http, scripted_server

API_KEY = "sk_test_5ecretApiKey"
PLAINTEXT = bytes(range(32))
DATA_KEY = base64.b64encode(PLAINTEXT).decode()
WRAPPED = b"WOS.EKM.v1\x00blob"
CREATED = {
    "id": "key_1",
    "data_key": DATA_KEY,
    "encrypted_keys": base64.b64encode(WRAPPED).decode(),
    "context": {"app": "clinic"},
}
DECRYPTED = {"id": "key_1", "data_key": DATA_KEY}


@pytest.fixture
def server():
    with scripted_server() as server:
        yield server


@pytest.fixture
def vault(server):
    vault = WorkOSVault(api_key=API_KEY, base_url=server.url, timeout=2, deadline=5)
    yield vault
    vault.close()


@pytest.fixture
def no_backoff():
    """Retries follow each other without a pause."""
    with stamina.set_testing(True, attempts=3):
        yield


class TestKeyCalls:
    def test_create(self, server, vault):
        """A data key is asked for with its context and the API key, and comes back whole."""
        server.answer(Reply(CREATED))
        key = vault.create_data_key({"app": "clinic"})
        assert (key.id, bytes(key.plaintext), key.wrapped, key.context) == (
            "key_1",
            PLAINTEXT,
            WRAPPED,
            {"app": "clinic"},
        )
        (asked,) = server.asked
        assert (asked.method, asked.target) == ("POST", "/vault/v1/keys/data-key")
        assert asked.json == {"context": {"app": "clinic"}}
        assert asked.headers["Authorization"] == f"Bearer {API_KEY}"
        assert asked.headers["Content-Type"] == "application/json"
        assert vault.requests_made == 1

    def test_decrypt(self, server, vault):
        """A wrapped key is sent as base64 and comes back with the bytes it wraps."""
        server.answer(Reply(DECRYPTED))
        key = vault.decrypt_data_key(WRAPPED)
        assert (bytes(key.plaintext), key.wrapped, key.context) == (PLAINTEXT, WRAPPED, None)
        assert server.asked[0].target == "/vault/v1/keys/decrypt"
        assert server.asked[0].json == {"keys": CREATED["encrypted_keys"]}

    def test_rekey(self, server, vault):
        """Rekeying sends the blob and the new context."""
        server.answer(Reply(CREATED | {"context": {"app": "new"}}))
        assert vault.rekey_data_key(b"old", {"app": "new"}).wrapped == WRAPPED
        assert server.asked[0].target == "/vault/v1/keys/rekey"
        assert server.asked[0].json == {"context": {"app": "new"}, "encrypted_keys": "b2xk"}

    async def test_async(self, server, vault):
        """The async twins send the same requests and read the same answers."""
        server.answer(Reply(CREATED), Reply(CREATED), Reply(DECRYPTED))
        assert (await vault.acreate_data_key({"app": "clinic"})).wrapped == WRAPPED
        assert (await vault.arekey_data_key(WRAPPED, {"app": "clinic"})).wrapped == WRAPPED
        assert bytes((await vault.adecrypt_data_key(WRAPPED)).plaintext) == PLAINTEXT
        assert [asked.target.rpartition("/")[2] for asked in server.asked] == ["data-key", "rekey", "decrypt"]

    def test_bad_context_is_never_sent(self, server, vault):
        """A context that Vault would refuse is a configuration error before any request."""
        with pytest.raises(InvalidVaultConfiguration):
            vault.create_data_key({str(n): "x" for n in range(11)})
        with pytest.raises(VaultRequestError):
            vault.decrypt_data_key(b"")
        assert server.asked == []
        assert vault.requests_made == 0


@pytest.mark.usefixtures("no_backoff")
class TestStatuses:
    @pytest.mark.parametrize(
        ("status", "error", "requests"),
        [
            (400, VaultRequestError, 1),
            (401, VaultAuthenticationError, 1),
            (403, VaultPermissionDenied, 1),
            (404, VaultNotFound, 1),
            (409, VaultConflict, 1),
            (418, VaultRequestError, 1),
            (422, VaultRequestError, 1),
            (408, VaultUnavailable, 3),
            (429, VaultRateLimited, 3),
            (500, VaultUnavailable, 3),
            (503, VaultUnavailable, 3),
        ],
    )
    def test_error(self, server, vault, status, error, requests):
        """Each status is one kind of error; only what may pass is tried again."""
        server.answer(Reply({"error": "No such luck"}, status))
        with pytest.raises(
            VaultError, match=rf"decrypt a data key: .*status {status}.*No such luck"
        ) as caught:
            vault.decrypt_data_key(WRAPPED)
        assert type(caught.value) is error
        assert vault.requests_made == len(server.asked) == requests

    def test_recovers(self, server, vault):
        """A failure that passes is not noticed."""
        server.answer(Reply(status=503), Reply(act=hang_up), Reply(DECRYPTED))
        assert vault.decrypt_data_key(WRAPPED).id == "key_1"
        assert vault.requests_made == 3

    async def test_recovers_async(self, server, vault):
        """A failure that passes is not noticed by async code either."""
        server.answer(Reply(status=503), Reply(act=hang_up), Reply(DECRYPTED))
        assert (await vault.adecrypt_data_key(WRAPPED)).id == "key_1"
        assert vault.requests_made == 3

    def test_redirect(self, server, vault):
        """A redirect is not followed: the API key goes nowhere else."""
        with scripted_server() as elsewhere:
            server.answer(Reply(status=307, headers={"Location": f"{elsewhere.url}/vault"}))
            with pytest.raises(VaultUnavailable, match=r"redirect to 127\.0\.0\.1 \(status 307\)"):
                vault.decrypt_data_key(WRAPPED)
            assert elsewhere.asked == []
        assert vault.requests_made == 1


GARBAGE = {
    "html": (Reply(b"<html>", headers={"Content-Type": "text/html"}), "not JSON .*text/html.*proxy"),
    "empty": (Reply(b""), "not JSON"),
    "list": (Reply([]), "the answer is a list, not an object"),
    "deep": (Reply(b"[" * 50_000), "not JSON"),
    "no key": (Reply({"id": "key_1"}), "data_key is missing"),
    "null key": (Reply({"id": "key_1", "data_key": None}), "data_key is null, not a string"),
    "not base64": (Reply({"id": "key_1", "data_key": "é!"}), "data_key is not base64"),
    "short key": (Reply({"id": "key_1", "data_key": "YWJj"}), "data_key has 3 bytes, not 32"),
    "numeric id": (Reply({"id": 1, "data_key": DATA_KEY}), "id is an integer, not a string"),
    "too long": (Reply(b" " * 70_000), "longer than 65536 bytes"),
    "cut short": (Reply(act=cut_short), "broke off"),
    "not http": (Reply(act=not_http), "does not speak HTTP"),
}


@pytest.mark.usefixtures("no_backoff")
class TestGarbage:
    @pytest.mark.parametrize(("reply", "message"), GARBAGE.values(), ids=GARBAGE)
    def test_sync(self, server, vault, reply, message):
        """An answer that is not Vault's is an error that says what was wrong, without quoting it."""
        server.answer(reply)
        with pytest.raises(VaultUnavailable, match=message) as caught:
            vault.decrypt_data_key(WRAPPED)
        assert DATA_KEY not in str(caught.value)

    @pytest.mark.parametrize(("reply", "message"), GARBAGE.values(), ids=GARBAGE)
    async def test_async(self, server, vault, reply, message):
        """Async code gets the same errors."""
        server.answer(reply)
        with pytest.raises(VaultUnavailable, match=message):
            await vault.adecrypt_data_key(WRAPPED)

    @pytest.mark.parametrize(
        ("member", "value", "message"),
        [
            ("encrypted_keys", "", "encrypted_keys has 0 bytes"),
            ("encrypted_keys", "A" * 12_000, "encrypted_keys has 9000 bytes"),
            ("context", [], "context is a list, not an object"),
            ("context", {"app": 1}, "context has a value that is not a string"),
        ],
    )
    def test_created_key(self, server, vault, member, value, message):
        """What create and rekey answer is checked as closely."""
        server.answer(Reply(CREATED | {member: value}))
        with pytest.raises(VaultUnavailable, match=message):
            vault.create_data_key({"app": "clinic"})


class TestDownAndSlow:
    @pytest.mark.usefixtures("no_backoff")
    def test_down(self, server):
        """A vault that is down is an error that names the address."""
        vault = WorkOSVault(api_key=API_KEY, base_url="http://127.0.0.1:9", timeout=1)
        with pytest.raises(VaultUnavailable, match=r"http://127\.0\.0\.1:9 cannot be reached"):
            vault.create_data_key({"app": "clinic"})
        assert vault.requests_made == 3
        vault.forget_outage()
        with pytest.raises(VaultUnavailable, match="cannot be reached"):
            asyncio.run(vault.acreate_data_key({"app": "clinic"}))

    def test_slow_in_parts(self, server):
        """A vault that begins to answer and then stops fails within the deadline as well."""

        def begin(handler):
            server.released.wait(0.3)
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{")
            server.released.wait()

        server.answer(Reply(act=begin))
        vault = WorkOSVault(api_key=API_KEY, base_url=server.url, timeout=5, deadline=0.5)
        began = time.monotonic()
        with pytest.raises(VaultUnavailable, match="did not answer in time"):
            vault.create_data_key({"app": "clinic"})
        assert time.monotonic() - began < 5
        vault.close()

    def test_slow(self, server):
        """A vault that does not answer fails within the deadline."""
        server.answer(server.silent())
        vault = WorkOSVault(api_key=API_KEY, base_url=server.url, timeout=5, deadline=0.2)
        with pytest.raises(VaultUnavailable, match="did not answer in time"):
            vault.create_data_key({"app": "clinic"})
        vault.forget_outage()
        with pytest.raises(VaultUnavailable, match="did not answer in time"):
            asyncio.run(vault.acreate_data_key({"app": "clinic"}))
        assert vault.requests_made == 2
        vault.close()
