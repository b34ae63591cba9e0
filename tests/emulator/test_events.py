"""The audit list."""

import json

import httpx

from django_workos_vault.backends.local import LocalVault
from django_workos_vault.emulator import Emulator
from tests.emulator.asking import CONTEXT, create_data_key


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
