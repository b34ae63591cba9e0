"""The HTTP server: odd requests, connections, and how it goes away."""

import socket
import threading
import time
from contextlib import closing

import httpx
import pytest

from django_workos_vault.backends.local import LocalVault
from django_workos_vault.emulator import Emulator, EmulatorServer, run_emulator
from tests.emulator.asking import JSON, connect, create_data_key, refused


def test_another_content_type_is_400(http):
    """A form is not taken for JSON."""
    assert refused(http.post("/vault/v1/keys/data-key", data={"context": "x"}), 400)


def test_a_body_that_is_too_large_is_400_and_the_connection_goes_on(http):
    """The rest of the body is not taken for the next request."""
    assert refused(http.post("/vault/v1/keys/data-key", content=b"x" * 5_000_000, headers=JSON), 400)
    create_data_key(http)


def test_a_body_without_a_length_is_400(http):
    """A chunked body is refused in words."""
    assert refused(http.post("/vault/v1/keys/data-key", content=iter([b"{}"]), headers=JSON), 400)
    create_data_key(http)


def test_unknown_paths_and_methods(http):
    """404 for a path that is not there, 405 with the right method for one that is."""
    assert refused(http.get("/vault/v1/keys"), 404)
    assert refused(http.get("/vault/v1/keys/%FF"), 404)
    wrong_method = http.get("/vault/v1/keys/decrypt")
    assert refused(wrong_method, 405)
    assert wrong_method.headers["Allow"] == "POST"
    assert http.head("/vault/v1/keys/decrypt").status_code == 405
    assert refused(http.request("BREW", "/vault/v1/keys/decrypt"), 405)


def test_garbage_instead_of_http_is_answered_and_forgotten(vault_emulator, http):
    """What is not HTTP gets an error body and the end of its connection; the server lives on."""
    head = f"POST / HTTP/1.1\r\nAuthorization: Bearer {vault_emulator.api_key}\r\nContent-Length: ".encode()
    for noise in (b"sesame open now please", b"x" * 70_000, head + b"9" * 5000, head + b"-1", head + b"1_0"):
        with socket.create_connection(httpx.URL(vault_emulator.url).netloc.decode().split(":")) as connection:
            connection.sendall(noise + b"\r\n\r\n")
            answer = connection.makefile("rb").read()
        assert b'{"error": ' in answer
    create_data_key(http)


def test_one_connection_carries_many_requests(vault_emulator, http):
    """Keep-alive: the emulator does not hang up after an answer."""
    for _ in range(5):
        create_data_key(http)
    connections = http._transport._pool.connections
    assert len(connections) == 1


def test_stopping_does_not_wait_for_a_slow_answer():
    """A test that lets its client run into a timeout does not pay for the latency at its end."""
    with run_emulator() as emulator, connect(emulator.url, emulator.api_key) as http:
        emulator.faults.latency = 60
        with pytest.raises(httpx.ReadTimeout):
            http.get("/", timeout=0.05)
        stopping = time.monotonic()
    assert time.monotonic() - stopping < 30


def test_stopping_leaves_nothing_behind():
    """After an emulator its port is closed and its threads are gone."""
    before = threading.active_count()
    with run_emulator() as emulator:
        http = connect(emulator.url, emulator.api_key)
        create_data_key(http)
        assert threading.active_count() > before
    assert threading.active_count() == before
    with closing(http), pytest.raises(httpx.ConnectError):
        create_data_key(http)


def test_it_serves_on_ipv6_too():
    """The URL of an IPv6 address carries brackets."""
    app = Emulator(LocalVault(master_key=bytes(32), objects_file=":memory:"), ["sk_test_one"])
    try:
        server = EmulatorServer(app, "::1")
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    with server, connect(server.url, "sk_test_one") as http:
        create_data_key(http)
