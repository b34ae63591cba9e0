"""Any operation of the API: a request into its arguments, its result into an answer and an audit event."""

from collections.abc import Callable, Mapping
from typing import Any

from django_workos_vault.backends.arguments import Argument
from django_workos_vault.backends.carried import Arguments
from django_workos_vault.backends.operations import Operation
from django_workos_vault.emulator.call import Call
from django_workos_vault.emulator.messages import Answer, Refused
from django_workos_vault.exceptions import VaultNotFound, VaultRequestError


def serve(operation: Operation[Any], call: Call) -> Answer:
    """Answer ``call``, which asks for ``operation``. Raises Refused, or the error of the vault."""
    places = {argument.place for argument in operation.arguments}
    given = {
        "path": call.path,
        "query": call.request.query if "query" in places else {},
        "body": call.request.json() if "body" in places else {},
    }
    arguments = Arguments(
        **{argument.name: _read(argument, given[argument.place]) for argument in operation.arguments}
    )
    if (arguments["search"] or "").lstrip().startswith("{"):
        raise Refused(400, "The emulator searches by name: structured search has no published description.")
    try:
        result = call.vault.carry_out(operation, arguments, call.actor)
    except VaultNotFound as error:
        raise Refused(operation.missing, str(error)) from error
    if operation.name in _EVENTS:
        event, told = _EVENTS[operation.name]
        call.record(event, **told(result, arguments))
    return Answer(operation.status, operation.answer.write(result))


def _read(argument: Argument, given: Mapping[str, Any]) -> Any:
    value = given.get(argument.member)
    if value is None and not argument.required:
        return None
    try:
        return argument.kind.read(value, argument.member)
    except VaultRequestError as error:
        raise Refused(argument.wrong, str(error)) from error


_Told = Callable[[Any, Arguments], dict[str, Any]]

_EVENTS: Mapping[str, tuple[str, _Told]] = {
    "create_data_key": ("vault.dek.read", lambda key, _: {"key_ids": [key.id], "key_context": key.context}),
    "decrypt_data_key": ("vault.dek.decrypted", lambda key, _: {"key_id": key.id}),
    "rekey_data_key": ("vault.dek.rekeyed", lambda key, _: {"key_ids": [key.id], "key_context": key.context}),
    "create_object": (
        "vault.data.created",
        lambda metadata, arguments: {"kv_name": arguments["name"], **_key_of(metadata)},
    ),
    "read_object": ("vault.data.read", lambda found, _: _read_event(found)),
    "read_object_by_name": ("vault.data.read", lambda found, _: _read_event(found)),
    "update_object": (
        "vault.data.updated",
        lambda updated, _: {"kv_name": updated.name, **_key_of(updated.metadata)},
    ),
    "delete_object": ("vault.data.deleted", lambda deleted, _: {"kv_name": deleted.name}),
    "describe_object": ("vault.metadata.read", lambda found, _: {"kv_name": found.name}),
    "list_objects": ("vault.names.listed", lambda page, _: {}),
}


def _key_of(metadata: Any) -> dict[str, Any]:
    return {"key_id": metadata.key_id, "key_context": metadata.context}


def _read_event(found: Any) -> dict[str, Any]:
    return {"kv_name": found.name, "key_id": found.metadata.key_id}
