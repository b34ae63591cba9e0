"""Every call returns by its deadline, whatever a server does with the bytes of its answer."""

import asyncio
import socket
import threading
import time
from contextlib import contextmanager, suppress
from http.client import parse_headers

import pytest

from django_workos_vault.backends.workos import WorkOSVault
from django_workos_vault.exceptions import VaultUnavailable

DEADLINE = 0.3
#: What is promised is a second. A server here never ends by itself, so a slow machine may take its time.
MARGIN = 8.0
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
TLS_HANDSHAKE = b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc\x03\x03"


class RawServer:
    """Accepts connections, reads a request unless told not to, and lets ``script`` do as it likes."""

    def __init__(self, script, reads):
        self._script = script
        self._reads = reads
        self.over = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._serve)]
        self._threads[0].start()

    def _serve(self):
        with suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                self._threads.append(threading.Thread(target=self._answer, args=(connection,)))
                self._threads[-1].start()

    def _answer(self, connection):
        connection.settimeout(5)
        with connection, suppress(OSError):
            if self._reads:
                connection.recv(65536)
            self._script(self, connection)

    def drip(self, connection, first, byte=b"a", pause=0.02):
        """Send ``first``, and then ``byte`` again and again, for ever."""
        connection.sendall(first)
        while not self.over.wait(pause):
            connection.sendall(byte)

    def stop(self):
        self.over.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for thread in self._threads:
            thread.join(10)


def reads_slowly(server, connection):
    while not server.over.wait(0.02):
        connection.recv(64)


SCRIPTS = {
    "silence": lambda server, connection: server.over.wait(),
    "status line": lambda server, connection: server.drip(connection, b"HTTP/1.1 200 O"),
    "header": lambda server, connection: server.drip(connection, OK + b"X-Slow: "),
    "headers": lambda server, connection: server.drip(connection, OK, b"X-Slow: 1\r\n"),
    "body": lambda server, connection: server.drip(connection, OK + b"Content-Length: 60000\r\n\r\n", b" "),
    "body without length": lambda server, connection: server.drip(connection, OK + b"\r\n", b" "),
    "chunks": lambda server, connection: server.drip(connection, CHUNKED, b"1\r\n \r\n"),
    "chunk size": lambda server, connection: server.drip(connection, CHUNKED, b"0"),
    "chunk extension": lambda server, connection: server.drip(connection, CHUNKED + b"1;"),
    "trailer": lambda server, connection: server.drip(connection, CHUNKED + b"2\r\n{}\r\n0\r\nX-Slow: "),
    "trailers": lambda server, connection: server.drip(
        connection, CHUNKED + b"2\r\n{}\r\n0\r\n", b"X-Slow: 1\r\n"
    ),
    "continue": lambda server, connection: server.drip(connection, b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "hints at full speed": lambda server, connection: server.drip(
        connection, b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 500, 0
    ),
    "stops in the middle": lambda server, connection: (
        connection.sendall(OK + b"Content-Length: 500\r\n\r\n{"),
        server.over.wait(),
    ),
}


@contextmanager
def raw_server(script, reads=True):
    server = RawServer(script, reads)
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def in_time():
    """What is inside ends by the deadline with an error that says so."""
    began = time.monotonic()
    with pytest.raises(VaultUnavailable, match=r"did not answer in time|cannot be reached"):
        yield
    assert time.monotonic() - began < DEADLINE + MARGIN


def vault_at(port, scheme="http", **options):
    return WorkOSVault(
        api_key="sk_test_x", base_url=f"{scheme}://127.0.0.1:{port}", **{"deadline": DEADLINE} | options
    )


async def decrypts_in_time(vault, kind):
    with in_time():
        if kind == "async":
            await vault.adecrypt_data_key(b"x")
        else:
            await asyncio.to_thread(vault.decrypt_data_key, b"x")
    vault.close()


@pytest.mark.parametrize("kind", ["sync", "async"])
class TestAnswers:
    @pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
    async def test_plain(self, kind, script):
        """A server that sends its answer drop by drop, or never ends it, gets no more than the deadline."""
        with raw_server(script) as server:
            await decrypts_in_time(vault_at(server.port), kind)

    async def test_handshake(self, kind):
        """Neither does one that takes its time over the TLS handshake."""
        with raw_server(lambda server, connection: server.drip(connection, TLS_HANDSHAKE)) as server:
            await decrypts_in_time(vault_at(server.port, "https"), kind)

    async def test_reads_slowly(self, kind):
        """Nor does one that takes the request in small bites."""
        value = "v" * 8_000_000
        with raw_server(reads_slowly, reads=False) as server:
            vault = vault_at(server.port)
            with in_time():
                if kind == "async":
                    await vault.acreate_object("n", value, {"app": "x"})
                else:
                    await asyncio.to_thread(vault.create_object, "n", value, {"app": "x"})
            vault.close()


@pytest.mark.parametrize("kind", ["sync", "async"])
class TestBeforeTheRequest:
    async def test_connect(self, kind):
        """A host that does not take the connection costs a deadline as well."""
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        try:
            for one in waiting:
                one.setblocking(False)
                one.connect_ex(listener.getsockname())
            await decrypts_in_time(vault_at(listener.getsockname()[1]), kind)
        finally:
            for one in (listener, *waiting):
                one.close()

    async def test_name(self, kind, monkeypatch):
        """So does a name that cannot be looked up."""
        found = threading.Event()
        monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: found.wait(30) and [])
        vault = WorkOSVault(api_key="sk_test_x", base_url="https://vault.invalid", deadline=DEADLINE)
        try:
            await decrypts_in_time(vault, kind)
        finally:
            found.set()

    @pytest.mark.parametrize("first", [b"HTTP/1.1 200 O", b"HTTP/1.1 200 OK\r\n\r\n" + TLS_HANDSHAKE])
    async def test_proxy(self, kind, first, monkeypatch):
        """So does a proxy that takes its time, or leads to a server that does."""
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        with raw_server(lambda server, connection: server.drip(connection, first)) as proxy:
            monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.port}")
            vault = WorkOSVault(api_key="sk_test_x", base_url="https://vault.invalid", deadline=DEADLINE)
            await decrypts_in_time(vault, kind)

    async def test_pool(self, kind):
        """So does a wait for a connection that others hold."""
        with raw_server(SCRIPTS["header"]) as server:
            vault = vault_at(server.port, max_connections=1)
            began = time.monotonic()
            outcomes = (
                await vault.adecrypt_data_keys([b"a", b"b", b"c"])
                if kind == "async"
                else await asyncio.to_thread(vault.decrypt_data_keys, [b"a", b"b", b"c"])
            )
            assert time.monotonic() - began < DEADLINE + MARGIN
            assert all(isinstance(outcome, VaultUnavailable) for outcome in outcomes)
            vault.close()

    async def test_store_of_the_rate_limit(self, kind):
        """So does a Redis that takes connections and says nothing."""
        with raw_server(SCRIPTS["silence"]) as redis, raw_server(SCRIPTS["header"]) as server:
            vault = vault_at(server.port, rate_limit_store=f"redis://127.0.0.1:{redis.port}", deadline=2.0)
            began = time.monotonic()
            (outcome,) = (
                await vault.adecrypt_data_keys([b"x"])
                if kind == "async"
                else await asyncio.to_thread(vault.decrypt_data_keys, [b"x"])
            )
            assert isinstance(outcome, VaultUnavailable)
            assert time.monotonic() - began < 2.0 + MARGIN
            vault.close()


def test_one_connection_for_many_calls():
    """A connection outlives the deadline of the call that opened it."""
    answer = b'{"id": "k", "data_key": "' + b"A" * 42 + b'E="}'

    def answers(server, connection):
        # A request may come in parts. One answered before its last part came would have its next answer sent
        # before its next request, and a client gives up a connection on which something unasked for came.
        connection.settimeout(60)
        stream = connection.makefile("rb")
        while stream.readline():
            stream.read(int(parse_headers(stream)["Content-Length"]))
            connection.sendall(OK + b"Content-Length: %d\r\n\r\n" % len(answer) + answer)

    with raw_server(answers, reads=False) as server:
        vault = vault_at(server.port, deadline=15.0)
        for _ in range(3):
            assert vault.decrypt_data_key(b"x").id == "k"
        assert len(server._threads) == 2
        vault.close()
