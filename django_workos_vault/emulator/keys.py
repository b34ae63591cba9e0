"""The three key calls of the API description, under ``/vault/v1/keys``."""

import binascii
from base64 import b64decode, b64encode
from typing import Any

from django_workos_vault.backends.base import validate_key_context
from django_workos_vault.datakey import DataKey
from django_workos_vault.emulator.call import Call
from django_workos_vault.emulator.messages import Answer, Refused, text


def create_data_key(call: Call) -> Answer:
    """``CreateDataKeyRequest`` to ``CreateDataKeyResponse``."""
    key = call.keys.create(validate_key_context(call.request.json().get("context")))
    call.record("vault.dek.read", key_ids=[key.id], key_context=key.context)
    return Answer(200, _created(key))


def decrypt(call: Call) -> Answer:
    """``DecryptRequest`` to ``DecryptResponse``."""
    key = call.keys.unwrap(_blob(text(call.request.json(), "keys", status=400)))
    call.record("vault.dek.decrypted", key_id=key.id)
    return Answer(200, {"id": key.id, "data_key": _base64(key.plaintext)})


def rekey(call: Call) -> Answer:
    """``RekeyRequest`` to ``CreateDataKeyResponse``."""
    body = call.request.json()
    blob = _blob(text(body, "encrypted_keys", status=422))
    key = call.keys.rekey(blob, validate_key_context(body.get("context")))
    call.record("vault.dek.rekeyed", key_ids=[key.id], key_context=key.context)
    return Answer(200, _created(key))


def _created(key: DataKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "data_key": _base64(key.plaintext),
        "encrypted_keys": _base64(key.wrapped),
        "context": key.context,
    }


def _blob(encoded: str) -> bytes:
    try:
        return b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise Refused(400, "The encrypted keys are not base64.") from None


def _base64(data: bytes | bytearray) -> str:
    return b64encode(data).decode("ascii")
