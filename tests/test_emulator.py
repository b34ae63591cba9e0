"""The emulator over HTTP on loopback: the key calls, errors, faults, the audit list, the command."""

import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from base64 import b64decode, b64encode
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from itertools import takewhile

import httpx
import pytest

from django_workos_vault.backends.local import LocalVault
from django_workos_vault.emulator import Emulator, EmulatorServer, run_emulator

CONTEXT = {"organization_id": "org_1"}
JSON = {"Content-Type": "application/json"}


def connect(url, api_key, **options):
    headers = {"Authorization": f"Bearer {api_key}"}
    # There is no TLS here, and loading the certificates would take longer than the tests.
    return httpx.Client(base_url=url, headers=headers, verify=False, **options)


@pytest.fixture
def http(vault_emulator):
    with connect(vault_emulator.url, vault_emulator.api_key) as client:
        yield client


def create_data_key(http, context=CONTEXT):
    answer = http.post("/vault/v1/keys/data-key", json={"context": context})
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(answer, status):
    """Whether the answer is ``status`` with the error body of the API description, and nothing else."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    assert list(answer.json()) == ["error"]
    assert isinstance(answer.json()["error"], str)
    return True


def test_create_decrypt_and_rekey(http):
    """The three key calls answer with the published shapes, and hand back the same key."""
    created = create_data_key(http)
    assert set(created) == {"id", "data_key", "encrypted_keys", "context"}
    assert len(b64decode(created["data_key"])) == 32
    assert len(b64decode(created["encrypted_keys"])) == 206
    assert created["context"] == CONTEXT

    opened = http.post("/vault/v1/keys/decrypt", json={"keys": created["encrypted_keys"]})
    assert opened.status_code == 200
    assert opened.json() == {"id": created["id"], "data_key": created["data_key"]}

    body = {"encrypted_keys": created["encrypted_keys"], "context": {"app": "clinic"}}
    moved = http.post("/vault/v1/keys/rekey", json=body).json()
    assert (moved["id"], moved["data_key"]) == (created["id"], created["data_key"])
    assert moved["context"] == {"app": "clinic"}
    assert moved["encrypted_keys"] != created["encrypted_keys"]


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer sk_test_wrong", "Basic c2s6", "Bearer ü"])
def test_a_caller_without_the_api_key_gets_401(vault_emulator, http, header):
    """No key, a wrong one, another scheme: the same answer on every path, the emulator's own too."""
    del http.headers["Authorization"]
    headers = {} if header is None else {"Authorization": header.encode()}
    for path in ("/vault/v1/keys/data-key", "/_emulator/events", "/nowhere"):
        assert refused(http.post(path, headers=headers), 401)
    assert vault_emulator.events == []


@pytest.mark.parametrize(
    "context",
    [
        None,
        [],
        "org_1",
        {},
        {"a": 1},
        {"a": None},
        {"a": {}},
        {"a": ""},
        {"a": "x" * 501},
        {f"a{index}": "x" for index in range(11)},
    ],
)
def test_a_context_that_the_contract_forbids_is_422(http, context):
    """Ten items, strings, 500 characters: for creating and for rekeying."""
    keys = create_data_key(http)["encrypted_keys"]
    assert refused(http.post("/vault/v1/keys/data-key", json={"context": context}), 422)
    assert refused(http.post("/vault/v1/keys/rekey", json={"context": context, "encrypted_keys": keys}), 422)


def test_the_limits_themselves_are_allowed(http):
    """Ten items of 500 characters, none of them ASCII, work."""
    context = {f"ü{index}": "ß" * 500 for index in range(10)}
    assert create_data_key(http, context)["context"] == context


@pytest.mark.parametrize("keys", [None, 7, "", "!", "é", "AAAA", b64encode(b"WOS.EKM.v1\x00").decode()])
def test_keys_that_are_no_wrapped_key_are_400(http, keys):
    """Whatever is wrong with the blob, decrypt has this one error."""
    assert refused(http.post("/vault/v1/keys/decrypt", json={"keys": keys}), 400)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b"\xff", b'{"context": {"a": "\\ud800"}}', b"[" * 100_000, b"9" * 5000],
)
def test_a_body_that_is_no_json_object_is_400(http, body):
    """Malformed, not an object, not UTF-8, too deep: never a 500."""
    for path in ("data-key", "decrypt", "rekey"):
        assert refused(http.post(f"/vault/v1/keys/{path}", content=body, headers=JSON), 400)


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


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"name": None}, 422),
        ({"name": ""}, 422),
        ({"name": "x" * 201}, 422),
        ({"name": 7}, 422),
        ({"value": None}, 422),
        ({"value": {}}, 422),
        ({"key_context": {}}, 422),
        ({"key_context": {"a": "x" * 501}}, 422),
    ],
)
def test_an_object_that_the_contract_forbids(http, change, status):
    """Names, values and contexts out of bounds are refused, and nothing is stored."""
    body = {"name": "a", "value": "secret", "key_context": CONTEXT, **change}
    assert refused(http.post("/vault/v1/kv", json=body), status)
    assert http.get("/vault/v1/kv").json()["data"] == []


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=-1",
        "limit=ten",
        "limit=",
        "limit=%C2%B2",
        "order=up",
        "order=",
        "after=sesame",
        "before=",
        "updatedAfter=yesterday",
        "updatedAfter=0001-01-01T00:00:00%2B14:00",
        "search=%7B%22name%22%3A1%7D",
        "search=%FF",
    ],
)
def test_a_list_that_cannot_be_is_400(http, query):
    """Bad numbers, cursors, timestamps and encodings, and the search that nobody has described."""
    assert refused(http.get(f"/vault/v1/kv?{query}"), 400)


def test_a_very_large_limit_is_a_large_page(http):
    """A limit has no upper bound in the contract; the page stays at a hundred objects."""
    assert http.get(f"/vault/v1/kv?limit={'9' * 5000}").json()["data"] == []


def test_object_errors_in_the_contracts_words(http):
    """What is not there is 404 to read and delete, 400 to update, for which the contract has no 404."""
    for path in ("/vault/v1/kv/nothing", "/vault/v1/kv/name/nothing", "/vault/v1/kv/nothing/metadata"):
        assert refused(http.get(path), 404)
    assert refused(http.delete("/vault/v1/kv/nothing"), 404)
    assert refused(http.put("/vault/v1/kv/nothing", json={"value": "x"}), 400)


def test_the_audit_list_tells_what_was_done_to_objects(vault_emulator, http):
    """Each object call is one event with the object's name, and without its value."""
    body = {"name": "a", "value": "the value itself", "key_context": CONTEXT}
    path = "/vault/v1/kv/" + http.post("/vault/v1/kv", json=body).json()["id"]
    http.get(path)
    http.get("/vault/v1/kv/name/a")
    http.put(path, json={"value": "another value"})
    http.get(path + "/metadata")
    http.get("/vault/v1/kv")
    http.delete(path)
    http.get(path)
    assert [event["event"] for event in vault_emulator.events] == [
        "vault.data.created",
        "vault.data.read",
        "vault.data.read",
        "vault.data.updated",
        "vault.metadata.read",
        "vault.names.listed",
        "vault.data.deleted",
    ]
    assert {event["data"].get("kv_name", "a") for event in vault_emulator.events} == {"a"}
    assert "value" not in json.dumps(vault_emulator.events)


def test_an_emulator_without_objects_is_refused():
    """Its LocalVault must keep objects: the error says how."""
    with pytest.raises(ValueError, match="objects_file"):
        Emulator(LocalVault(master_key=bytes(32)), ["sk_test_one"])


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


def test_a_withdrawn_key_opens_nothing_unless_another_item_wraps_too(vault_emulator, http):
    """What an application meets when an organization takes its key back, inside the contract: 400."""
    alone = create_data_key(http)
    together = create_data_key(http, {**CONTEXT, "app": "clinic"})
    vault_emulator.revoke("organization_id", "org_1")
    answer = http.post("/vault/v1/keys/decrypt", json={"keys": alone["encrypted_keys"]})
    assert refused(answer, 400)
    assert "revoked" in answer.json()["error"]
    assert refused(http.post("/vault/v1/keys/data-key", json={"context": CONTEXT}), 400)
    assert http.post("/vault/v1/keys/decrypt", json={"keys": together["encrypted_keys"]}).status_code == 200
    assert create_data_key(http, {"organization_id": "org_2"})


def test_a_key_can_be_withdrawn_over_http(http):
    """A test in another language revokes with a POST of its own."""
    keys = create_data_key(http)["encrypted_keys"]
    assert http.post("/_emulator/revoke", json={"context": CONTEXT}).status_code == 200
    assert refused(http.post("/vault/v1/keys/decrypt", json={"keys": keys}), 400)
    assert refused(http.post("/_emulator/revoke", json={"context": {"a": 1}}), 422)


def test_the_audit_list_says_which_key_and_who(vault_emulator, http):
    """Created, decrypted, rekeyed: each is one event that names the key id and the caller, no secret."""
    created = create_data_key(http)
    http.post("/vault/v1/keys/decrypt", json={"keys": created["encrypted_keys"]})
    http.post("/vault/v1/keys/decrypt", json={"keys": "AAAA"})
    http.post("/vault/v1/keys/rekey", json={"encrypted_keys": created["encrypted_keys"], "context": CONTEXT})
    events = http.get("/_emulator/events").json()["data"]
    assert events == vault_emulator.events
    assert [event["event"] for event in events] == [
        "vault.dek.read",
        "vault.dek.decrypted",
        "vault.dek.rekeyed",
    ]
    assert events[0]["data"]["key_ids"] == [created["id"]]
    assert events[0]["data"]["key_context"] == CONTEXT
    assert events[1]["data"]["key_id"] == created["id"]
    assert len({event["data"]["actor_id"] for event in events}) == 1
    written = json.dumps(events)
    assert created["data_key"] not in written
    assert vault_emulator.api_key not in written
    assert vault_emulator.api_key not in repr(vault_emulator)


def test_two_api_keys_are_two_actors():
    """The audit list tells them apart."""
    app = Emulator(LocalVault(master_key=bytes(32), objects_file=":memory:"), ["sk_test_one", "sk_test_two"])
    for key in ("sk_test_one", "sk_test_two"):
        headers = {"Authorization": f"Bearer {key}"}
        with httpx.Client(
            transport=httpx.WSGITransport(app), base_url="http://vault", headers=headers
        ) as http:
            create_data_key(http)
    assert len({event["data"]["actor_id"] for event in app.events.all()}) == 2


def test_the_next_requests_fail(vault_emulator, http):
    """``fail_next`` fails as many requests as it says, with the status and header that it is told."""
    vault_emulator.faults.fail_next = 2
    vault_emulator.faults.retry_after = "1"
    for _ in range(2):
        answer = http.post("/vault/v1/keys/data-key", json={"context": CONTEXT})
        assert refused(answer, 503)
        assert answer.headers["Retry-After"] == "1"
    create_data_key(http)


def test_a_share_of_the_requests_fails(http):
    """``fail`` is a share, evenly spread, and can be set over HTTP; reading the events never fails."""
    assert http.post("/_emulator/faults", json={"fail": 0.25, "fail_status": 500}).status_code == 200
    statuses = [http.post("/vault/v1/keys/data-key", json={"context": CONTEXT}).status_code for _ in range(8)]
    assert statuses == [200, 200, 200, 500] * 2
    http.post("/_emulator/faults", json={"fail": 1})
    assert refused(http.post("/vault/v1/keys/data-key", json={"context": CONTEXT}), 500)
    assert http.get("/_emulator/events").status_code == 200
    assert http.get("/_emulator/faults").json()["fail"] == 1


@pytest.mark.parametrize(
    "settings",
    [
        {"fail": 2},
        {"fail": "all"},
        {"latency": -1},
        {"fail_status": 200},
        {"retry_after": "∞"},
        {"speed": 1},
        {"_due": 1},
    ],
)
def test_a_fault_setting_that_does_not_exist_is_422(http, settings):
    """Names and values are checked, and nothing is changed."""
    before = http.get("/_emulator/faults").json()
    assert refused(http.post("/_emulator/faults", json={"fail_next": 1, **settings}), 422)
    assert http.get("/_emulator/faults").json() == before


def test_the_rate_limit(vault_emulator, http):
    """Requests over the limit get 429 and are told how many seconds to wait."""
    vault_emulator.faults.rate_limit = 2
    create_data_key(http)
    create_data_key(http)
    answer = http.post("/vault/v1/keys/data-key", json={"context": CONTEXT})
    assert refused(answer, 429)
    assert 1 <= int(answer.headers["Retry-After"]) <= 60


def test_latency_delays_an_answer_but_not_the_others(vault_emulator, http):
    """Slow requests wait side by side."""
    vault_emulator.faults.latency = 1
    started = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: create_data_key(http), range(8)))
    assert 1 <= time.monotonic() - started < 8


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


@pytest.mark.usefixtures("ctrl_c_works")
class TestCommand:
    """``manage.py vault_emulator``."""

    @contextmanager
    def running(self, *arguments):
        """Run the command until the block ends; yield what it printed first."""
        command = [
            sys.executable,
            "-m",
            "django",
            "vault_emulator",
            "--settings",
            "tests.settings",
            *arguments,
        ]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                lines = iter(process.stdout.readline, "")
                yield "".join(takewhile(lambda line: "Ctrl-C" not in line, lines))
            finally:
                process.send_signal(signal.SIGINT)
        assert process.returncode == 0

    @contextmanager
    def serving(self, *arguments):
        with self.running(*arguments) as output:
            yield re.search(r"http://\S+:\d+", output)[0]

    def test_it_serves_and_says_how_to_use_it(self):
        """The output has the URL, a random API key, and settings that are Python."""
        with self.running("--port", "0", "--revoke", "organization_id=org_1") as output:
            snippet = {}
            exec(output[output.index("WORKOS_VAULTS") :], snippet)
            options = snippet["WORKOS_VAULTS"]["default"]["OPTIONS"]
            with connect(options["base_url"], options["api_key"]) as http:
                create_data_key(http, {"organization_id": "org_2"})
                assert refused(http.post("/vault/v1/keys/data-key", json={"context": CONTEXT}), 400)
        assert re.match(r"Vault emulator on http://127.0.0.1:\d+, .* no place for real data", output)

    def test_it_listens_elsewhere_when_told(self):
        """With --allow-remote any address will do."""
        arguments = ("--port", "0", "--host", "0.0.0.0", "--allow-remote", "--api-key", "sk_test_one")
        with self.serving(*arguments) as url, connect(url, "sk_test_one") as http:
            create_data_key(http)

    def test_its_state_survives_a_restart(self, tmp_path):
        """With --state a second run opens what the first one wrapped and stored."""
        arguments = ("--port", "0", "--state", str(tmp_path / "state"), "--api-key", "sk_test_one")
        with self.serving(*arguments) as url, connect(url, "sk_test_one") as http:
            keys = create_data_key(http)["encrypted_keys"]
            body = {"name": "a", "value": "secret", "key_context": {"app": "clinic"}}
            assert http.post("/vault/v1/kv", json=body).status_code == 201
            http.post("/_emulator/revoke", json={"context": CONTEXT})
        with self.serving(*arguments) as url, connect(url, "sk_test_one") as http:
            assert http.get("/vault/v1/kv/name/a").json()["value"] == "secret"
            assert refused(http.post("/vault/v1/keys/decrypt", json={"keys": keys}), 400)
            opened = http.post("/vault/v1/keys/data-key", json={"context": {"app": "clinic"}})
            assert opened.status_code == 200

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--host", "0.0.0.0"], "--allow-remote"),
            (["--host", "example.com"], "--allow-remote"),
            (["--api-key", "sesame"], "sk_test_"),
            (["--api-key", "sk_prod_1"], "never a live one"),
            (["--fail", "7"], "fail"),
            (["--revoke", "org_1"], "name=value"),
            (["--port", "65536"], "0 to 65535"),
            (["--port", "http"], "0 to 65535"),
        ],
    )
    def test_it_refuses_what_is_unsafe_or_wrong(self, arguments, message):
        """Anything but loopback, a live key, nonsense: one line on what to do, and no server."""
        from django.core.management import CommandError, call_command

        with pytest.raises(CommandError, match=message):
            call_command("vault_emulator", *arguments)
