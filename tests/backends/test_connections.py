"""Connections of the HTTP client: kept, shared, given back, and made anew in a forked process."""

import asyncio
import json
import os
import signal
import ssl
import threading
from datetime import UTC, datetime, timedelta

import httpx
import pytest
import stamina
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from django_workos_vault.backends.workos import WorkOSVault
from django_workos_vault.exceptions import VaultUnavailable
from tests.backends.replies import API_KEY, DECRYPTED, connections
from tests.scripted import Reply, hang_up, scripted_server


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
