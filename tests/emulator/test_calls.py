"""The calls over HTTP: shapes, limits, refusals, withdrawn keys."""

from base64 import b64decode, b64encode

import pytest

from django_workos_vault.backends.local import LocalVault
from django_workos_vault.emulator import Emulator
from tests.emulator.asking import CONTEXT, JSON, create_data_key, refused


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


def test_an_emulator_without_objects_is_refused():
    """Its LocalVault must keep objects: the error says how."""
    with pytest.raises(ValueError, match="objects_file"):
        Emulator(LocalVault(master_key=bytes(32)), ["sk_test_one"])


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
