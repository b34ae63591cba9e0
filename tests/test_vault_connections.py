"""Connections, processes and loops of the HTTP client; its options; and what it never shows."""

import asyncio
import base64
import json
import logging
import os
import signal
import ssl
import threading
import time
import traceback
from contextvars import ContextVar, copy_context
from datetime import UTC, datetime, timedelta

import httpx
import pytest
import stamina
from asgiref.sync import async_to_sync
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from django_workos_vault.backends import batch, threads
from django_workos_vault.backends.workos import WorkOSVault
from django_workos_vault.datakey import DataKey
from django_workos_vault.exceptions import InvalidVaultConfiguration, VaultError, VaultUnavailable
from tests.scripted import Reply, cut_short, hang_up, scripted_server

API_KEY = "sk_test_5ecretApiKey"
DATA_KEY = base64.b64encode(bytes(range(32))).decode()
DECRYPTED = {"id": "key_1", "data_key": DATA_KEY}


@pytest.fixture
def server():
    with scripted_server() as server:
        server.answer(Reply(DECRYPTED))
        yield server


@pytest.fixture
def vault(server):
    vault = WorkOSVault(api_key=API_KEY, base_url=server.url, timeout=20, deadline=30)
    yield vault
    vault.close()


@pytest.fixture
def tls_server(tmp_path):
    """A server with a certificate that nobody vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "server.pem"
    pem.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    with scripted_server() as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        yield server


tenant = ContextVar("tenant")


def say(handler, answer):
    """Have ``handler`` answer."""
    body = json.dumps(answer).encode()
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def connections(server):
    return len({asked.connection for asked in server.asked})


class TestConnections:
    def test_kept(self, server, vault):
        """Calls one after the other share a connection; after close() the vault opens another."""
        for _ in range(3):
            vault.decrypt_data_key(b"x")
        assert connections(server) == 1
        vault.close()
        vault.decrypt_data_key(b"x")
        assert connections(server) == 2

    def test_threads(self, server, vault):
        """Threads share one pool, and every request is counted."""
        threads = [threading.Thread(target=vault.decrypt_data_key, args=(b"x",)) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert vault.requests_made == len(server.asked) == 20
        assert connections(server) <= 10

    def test_loop_after_loop(self, server, vault):
        """Event loops, of which async_to_sync makes one for every call, share the connections."""

        async def twice():
            await vault.adecrypt_data_key(b"x")
            await vault.adecrypt_data_key(b"x")

        for _ in range(2):
            asyncio.run(twice())
            async_to_sync(twice)()
        assert len(server.asked) == 8
        assert connections(server) == 1

    def test_loops_at_once(self, server, vault):
        """So do loops in several threads, a connection for each call that is under way."""
        four = threading.Barrier(4)

        def answer(handler):
            four.wait(20)
            say(handler, DECRYPTED)

        server.answer(Reply(act=answer))
        threads = [
            threading.Thread(target=lambda: asyncio.run(vault.adecrypt_data_key(b"x"))) for _ in range(4)
        ]
        for _ in range(2):
            threads = [
                threading.Thread(target=lambda: asyncio.run(vault.adecrypt_data_key(b"x"))) for _ in range(4)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert len(server.asked) == 8
        assert connections(server) == 4

    async def test_threads_of_async_code(self, server):
        """However many tasks there are, their calls run in as many threads as there may be connections."""
        server.answer(Reply(DECRYPTED))
        vault = WorkOSVault(api_key=API_KEY, base_url=server.url, max_connections=3)
        await asyncio.gather(*(vault.adecrypt_data_key(b"x") for _ in range(50)))
        ours = [thread for thread in threading.enumerate() if thread.name.startswith("vault-async")]
        assert len(ours) <= 3
        assert connections(server) <= 3
        vault.close()
        for thread in ours:
            thread.join(20)
        assert (await vault.adecrypt_data_key(b"x")).id == "key_1"
        vault.close()

    async def test_context_variables(self, server):
        """A call sees the context variables of the task that awaits it, whichever thread it runs in."""
        seen = []

        class Noting(WorkOSVault):
            def decrypt_data_key(self, wrapped):
                seen.append(tenant.get())
                return super().decrypt_data_key(wrapped)

        async def call(name):
            tenant.set(name)
            await vault.adecrypt_data_key(b"x")

        server.answer(Reply(DECRYPTED))
        vault = Noting(api_key=API_KEY, base_url=server.url)
        await asyncio.gather(*(call(f"org_{number}") for number in range(20)))
        assert sorted(seen) == sorted(f"org_{number}" for number in range(20))
        vault.close()

    def test_no_thread_is_free(self, server, vault):
        """Waiting for a thread counts towards the deadline, and says nothing about Vault."""
        server.answer(Reply(DECRYPTED))

        def late():
            threads._asked_at.set(time.monotonic() - 60)
            vault.decrypt_data_key(b"x")

        with pytest.raises(VaultUnavailable, match=r"no connection .* was free in time"):
            copy_context().run(late)
        assert server.asked == []
        assert vault.asks_again_in() == 0
        assert vault.decrypt_data_key(b"x").id == "key_1"

    async def test_cancelled_before_it_began(self, server):
        """A call that is cancelled while it waits for a thread is never made."""
        server.answer(server.silent())
        vault = WorkOSVault(api_key=API_KEY, base_url=server.url, max_connections=1, deadline=5)
        first = asyncio.create_task(vault.adecrypt_data_key(b"x"))
        while not server.asked:
            await asyncio.sleep(0.001)
        others = [asyncio.create_task(vault.adecrypt_data_key(b"x")) for _ in range(5)]
        await asyncio.sleep(0)
        for task in (*others, first):
            task.cancel()
        outcomes = await asyncio.gather(first, *others, return_exceptions=True)
        assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)
        assert len(server.asked) == 1
        server.released.set()
        vault.close()

    async def test_cancelled(self, server, vault):
        """A call that is cancelled gives its connection back."""
        server.answer(server.silent(), Reply(DECRYPTED))
        task = asyncio.create_task(vault.adecrypt_data_key(b"x"))
        while not server.asked:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await vault.adecrypt_data_key(b"x")).id == "key_1"

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
    @pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
    def test_fork(self, server, vault):
        """A forked process uses connections and locks of its own, and the parent keeps its connection."""
        vault.decrypt_data_key(b"x")
        with vault._lock:  # as another thread might hold it at that moment
            child = os.fork()
            if not child:
                signal.alarm(5)
                try:
                    vault.decrypt_data_key(b"x")
                    os._exit(0 if vault.requests_made == 1 else 2)
                finally:
                    os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        vault.decrypt_data_key(b"x")
        first, in_child, last = (asked.connection for asked in server.asked)
        assert first == last != in_child

    def test_proxy_of_the_environment(self, server, vault, monkeypatch):
        """A proxy is never asked for a plain http address: it would see the API key."""
        with scripted_server() as proxy:
            for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY", "https_proxy"):
                monkeypatch.setenv(name, proxy.url)
            vault.decrypt_data_key(b"x")
            assert proxy.asked == []

    def test_certificate(self, tls_server):
        """A server that cannot prove its name is told nothing, and asked once."""
        vault = WorkOSVault(api_key=API_KEY, base_url=tls_server.url.replace("http", "https"))
        with pytest.raises(VaultUnavailable, match="certificate verify failed"):
            vault.decrypt_data_key(b"x")
        vault.forget_outage()
        with pytest.raises(VaultUnavailable, match="certificate verify failed"):
            asyncio.run(vault.adecrypt_data_key(b"x"))
        assert vault.requests_made == 2
        assert tls_server.asked == []
        vault.close()

    @pytest.mark.parametrize(
        ("reply", "message"), [(Reply(act=hang_up), "broke off"), (Reply(status=403), "proxy .* refused")]
    )
    def test_https_proxy_of_the_environment(self, monkeypatch, reply, message):
        """An https address is reached through the environment's proxy, which is told the host and no key."""
        with scripted_server() as proxy:
            proxy.answer(reply)
            monkeypatch.setenv("https_proxy", proxy.url)
            monkeypatch.delenv("no_proxy", raising=False)
            monkeypatch.delenv("NO_PROXY", raising=False)
            vault = WorkOSVault(api_key=API_KEY, base_url="https://vault.invalid", timeout=1)
            with stamina.set_testing(True), pytest.raises(VaultUnavailable, match=message):
                vault.decrypt_data_key(b"x")
            assert [(asked.method, asked.target) for asked in proxy.asked] == [
                ("CONNECT", "vault.invalid:443")
            ]
            assert API_KEY not in str(proxy.asked)
            vault.close()


class TestInProcess:
    """A transport takes the network's place."""

    def test_wsgi(self):
        """A WSGI application answers sync and async calls in the same process."""

        def application(environ, start_response):
            assert environ["HTTP_AUTHORIZATION"] == f"Bearer {API_KEY}"
            start_response("200 OK", [("Content-Type", "application/json")])
            return [json.dumps(DECRYPTED).encode()]

        vault = WorkOSVault(
            api_key=API_KEY, base_url="http://localhost", transport=httpx.WSGITransport(app=application)
        )
        assert vault.decrypt_data_key(b"x").id == "key_1"
        assert asyncio.run(vault.adecrypt_data_key(b"x")).id == "key_1"
        assert vault.requests_made == 2


class TestOptions:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"api_key": None}, "api_key is missing"),
            ({"api_key": ""}, "api_key is missing"),
            ({"api_key": 5}, "api_key must be a string"),
            ({"api_key": "pk_test_secret"}, "api_key does not begin with 'sk_'"),
            ({"api_key": "sk_test_secret\n"}, "api_key holds a space, a line break"),
            ({"base_url": "http://api.workos.com"}, "base_url must begin with https://"),
            ({"base_url": "http://127.0.0.1.example.com"}, "base_url must begin with https://"),
            ({"base_url": "https://user:secret@api.workos.com"}, "base_url takes no user name"),
            ({"base_url": "https://api.workos.com/?secret"}, "base_url takes no user name, query"),
            ({"base_url": "api.workos.com"}, "base_url must be an address"),
            ({"base_url": "ftp://api.workos.com"}, "base_url must be an address"),
            ({"base_url": "https://[::1"}, "base_url must be an address"),
            ({"base_url": "https://host:port"}, "base_url must be an address"),
            ({"base_url": None}, "base_url must be a string"),
            ({"timeout": 0}, "timeout must be a number of seconds over 0"),
            ({"timeout": "5"}, "timeout must be"),
            ({"timeout": float("nan")}, "timeout must be"),
            ({"deadline": -1}, "deadline must be"),
            ({"max_connections": 0}, "max_connections must be"),
            ({"max_connections": 2.5}, "max_connections must be"),
            ({"rate_limit_share": 0}, "rate_limit_share must be"),
            ({"rate_limit_store": "127.0.0.1/sk_test_secret"}, "rate_limit_store must be an address"),
            ({"rate_limit_store": "redis://:x@h:sk_test_secret"}, "rate_limit_store must be an address"),
            ({"rate_limit_share": 0, "rate_limit_store": "redis://:sk_test_secret@h"}, "rate_limit_share"),
            ({"rate_limit_share": 1.5}, "rate_limit_share must be"),
        ],
    )
    def test_wrong(self, options, message):
        """A wrong option is an error that names it and quotes no secret, before any request."""
        with pytest.raises(InvalidVaultConfiguration, match=message) as caught:
            WorkOSVault(**{"api_key": API_KEY} | options)
        assert "secret" not in str(caught.value)
        shown = "\n".join(shown_by(caught.value))
        assert API_KEY not in shown
        assert "test_secret" not in shown

    @pytest.mark.parametrize(
        "url",
        ["http://localhost:8200", "http://127.0.0.9", "http://[::1]:8200/", "https://eu.example/vault/"],
    )
    def test_addresses(self, url):
        """Plain http is for loopback; a path in front of the API's is kept."""
        assert WorkOSVault(api_key=API_KEY, base_url=url).base_url == url.rstrip("/")


def shown_by(error):
    """Return the texts of ``error`` and all it was raised from, and the reprs of their frames' locals."""
    shown = set()
    while error is not None:
        shown.add(str(error))
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if "/tests/" not in frame.f_code.co_filename:
                shown.update(repr(value) for value in frame.f_locals.values())
        error = error.__cause__ or error.__context__
    return shown


class TestSecrets:
    VALUE = "plaintext 4711"

    @pytest.mark.parametrize(
        "reply",
        [
            Reply(status=500, body={"error": f"{API_KEY} {DATA_KEY}"}),
            Reply(status=422, body={"error": f"no key {DATA_KEY}"}),
            Reply({"id": 5, "data_key": DATA_KEY, "value": "plaintext 4711"}),
            Reply(f"<p>{DATA_KEY} plaintext 4711</p>".encode()),
            Reply(act=hang_up),
            Reply(act=cut_short),
        ],
    )
    @pytest.mark.parametrize("kind", ["sync", "async"])
    def test_errors(self, server, vault, reply, kind):
        """No error shows a key or a value: not its text, and not the locals of any frame behind it."""
        server.answer(reply)
        calls = {
            "sync": [
                lambda: vault.decrypt_data_key(b"x"),
                lambda: vault.create_object("n", self.VALUE, {"app": "x"}),
                lambda: vault.update_object("n", self.VALUE),
                lambda: vault.create_object("", self.VALUE, {"app": "x"}),
            ],
            "async": [
                lambda: asyncio.run(vault.adecrypt_data_key(b"x")),
                lambda: asyncio.run(vault.acreate_object("n", self.VALUE, {"app": "x"})),
                lambda: asyncio.run(vault.aupdate_object("n", self.VALUE)),
                lambda: asyncio.run(vault.acreate_object("n", self.VALUE, {})),
            ],
        }
        for call in calls[kind]:
            with (
                stamina.set_testing(True, attempts=2),
                pytest.raises((VaultError, InvalidVaultConfiguration)) as caught,
            ):
                call()
            shown = "\n".join(shown_by(caught.value))
            assert API_KEY not in shown
            assert DATA_KEY not in shown
            assert self.VALUE not in shown

    def test_reprs(self, vault):
        """Neither the vault nor what it is made of shows the API key."""
        assert repr(vault) == f"<WorkOSVault {vault.base_url}>"
        assert API_KEY not in repr(vars(vault))

    def test_logs(self, server, vault, caplog):
        """At the most talkative level no log shows a key, a value, or the name of an object."""
        caplog.set_level(logging.DEBUG, logger="")
        server.answer(
            Reply(status=503), Reply({"id": "obj", "name": "jane", "value": self.VALUE}), Reply(DECRYPTED)
        )
        with stamina.set_testing(True, attempts=2), pytest.raises(VaultUnavailable):
            vault.read_object_by_name("jane doe")
        vault.decrypt_data_key(b"x")
        with pytest.raises(VaultError):
            vault.create_object("jane doe", self.VALUE, {"app": "x"})
        with pytest.raises(VaultError):
            vault.list_objects(search="jane")
        assert caplog.records
        for secret in (API_KEY, DATA_KEY, self.VALUE, "jane"):
            assert secret not in caplog.text


class TestBatch:
    def test_many(self, server, vault):
        """Many keys are unwrapped at once, each in its place; a failure is returned in its own."""
        answers = vault.decrypt_data_keys([b"a", b"", b"c"])
        assert [type(answer).__name__ for answer in answers] == ["DataKey", "VaultRequestError", "DataKey"]
        assert [answer.wrapped for answer in (answers[0], answers[2])] == [b"a", b"c"]
        assert vault.requests_made == 2
        assert vault.decrypt_data_keys([]) == []

    async def test_many_async(self, server, vault):
        """Async code gets the same."""
        answers = await vault.adecrypt_data_keys([b"a", b"", b"c"])
        assert [isinstance(answer, DataKey) for answer in answers] == [True, False, True]
        server.answer(Reply(DECRYPTED | {"encrypted_keys": "eA==", "context": {"app": "x"}}))
        created = await vault.acreate_data_keys([{"app": "x"}] * 3)
        assert [key.wrapped for key in created] == [b"x"] * 3
        assert [key.wrapped for key in await asyncio.to_thread(vault.create_data_keys, [{"app": "x"}])] == [
            b"x"
        ]

    @pytest.mark.parametrize("kind", ["sync", "async"])
    def test_concurrency(self, server, vault, kind):
        """Eight keys are asked for at a time: never more, and never fewer while there are enough."""
        eight = threading.Barrier(batch.CONCURRENCY)
        under_way, most = [], []

        def answer(handler):
            under_way.append(handler)
            eight.wait(20)  # nobody is answered before eight have asked
            most.append(len(under_way))
            eight.wait(20)
            under_way.remove(handler)
            say(handler, DECRYPTED)

        server.answer(Reply(act=answer))
        many = [b"x"] * 3 * batch.CONCURRENCY
        answers = (
            vault.decrypt_data_keys(many) if kind == "sync" else asyncio.run(vault.adecrypt_data_keys(many))
        )
        assert all(isinstance(answer, DataKey) for answer in answers)
        assert set(most) == {batch.CONCURRENCY}

    @pytest.mark.parametrize("kind", ["sync", "async"])
    def test_vault_is_down(self, server, vault, kind):
        """Once the vault cannot be used, the keys still waiting fail without a request."""
        server.answer(Reply(status=401))
        many = [b"x"] * 500
        answers = (
            vault.decrypt_data_keys(many) if kind == "sync" else asyncio.run(vault.adecrypt_data_keys(many))
        )
        assert all(isinstance(answer, VaultError) for answer in answers)
        assert vault.requests_made <= 2 * batch.CONCURRENCY
