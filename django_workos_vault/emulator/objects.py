"""The eight object calls of the API description, under ``/vault/v1/kv``."""

from datetime import UTC, datetime
from typing import Any

from django_workos_vault.backends.base import MAX_NAME_LENGTH, validate_key_context
from django_workos_vault.backends.objects import ObjectMetadata, ObjectWithoutValue, VaultObject
from django_workos_vault.emulator.call import Call
from django_workos_vault.emulator.messages import Answer, Refused, text
from django_workos_vault.exceptions import VaultNotFound


def create(call: Call) -> Answer:
    """``CreateObjectRequest`` to ``ObjectMetadata``."""
    body = call.request.json()
    name = text(body, "name", status=422, max_length=MAX_NAME_LENGTH)
    value = text(body, "value", status=422)
    context = validate_key_context(body.get("key_context"))
    metadata = call.objects.create(name, value, context, call.actor)
    call.record("vault.data.created", kv_name=name, key_id=metadata.key_id, key_context=context)
    return Answer(201, _metadata(metadata))


def read(call: Call, object_id: str) -> Answer:
    """An id to ``Object``."""
    return _read(call, call.objects.read(object_id))


def read_by_name(call: Call, name: str) -> Answer:
    """A name to ``Object``. A name may hold slashes, as the path is unescaped before it is matched."""
    return _read(call, call.objects.read_by_name(name))


def update(call: Call, object_id: str) -> Answer:
    """``UpdateObjectRequest`` to ``ObjectWithoutValue``."""
    body = call.request.json()
    value = text(body, "value", status=400)
    version_check = None
    if body.get("version_check") is not None:
        version_check = text(body, "version_check", status=400)
    try:
        updated = call.objects.update(object_id, value, version_check, call.actor)
    except VaultNotFound as error:
        raise Refused(400, str(error)) from error  # the API description has no 404 here
    metadata = updated.metadata
    call.record(
        "vault.data.updated", kv_name=updated.name, key_id=metadata.key_id, key_context=metadata.context
    )
    return Answer(201, _without_value(updated))


def delete(call: Call, object_id: str) -> Answer:
    """An id to ``DeleteObjectResponse``."""
    deleted = call.objects.delete(object_id, call.request.query.get("version_check"))
    call.record("vault.data.deleted", kv_name=deleted.name)
    return Answer(200, {"success": True, "name": deleted.name})


def describe(call: Call, object_id: str) -> Answer:
    """An id to ``ObjectWithoutValue``."""
    described = call.objects.describe(object_id)
    call.record("vault.metadata.read", kv_name=described.name)
    return Answer(200, _without_value(described))


def list_versions(call: Call, object_id: str) -> Answer:
    """An id to ``VersionListResponse``, newest version first."""
    data = [
        {
            "id": version.id,
            "created_at": _timestamp(version.created_at),
            "current_version": version.current_version,
            "size": version.size,
            "etag": version.etag,
        }
        for version in call.objects.versions(object_id)
    ]
    return Answer(200, {"data": data, "list_metadata": {"before": None, "after": None}})


def list_objects(call: Call) -> Answer:
    """The query parameters to ``ObjectListResponse``."""
    query = call.request.query
    order = query.get("order", "desc")
    if order not in ("asc", "desc"):
        raise Refused(400, "order is asc or desc.")
    if query.get("search", "").lstrip().startswith("{"):
        raise Refused(400, "The emulator searches by name: structured search has no published description.")
    page = call.objects.list(
        limit=_limit(query.get("limit")),
        before=query.get("before"),
        after=query.get("after"),
        ascending=order == "asc",
        search=query.get("search"),
        updated_after=_moment(query.get("updatedAfter")),
    )
    call.record("vault.names.listed")
    data = [
        {
            "id": item.id,
            "name": item.name,
            "updated_at": None if item.updated_at is None else _timestamp(item.updated_at),
        }
        for item in page.items
    ]
    return Answer(200, {"data": data, "list_metadata": {"before": page.before, "after": page.after}})


def _read(call: Call, found: VaultObject) -> Answer:
    call.record("vault.data.read", kv_name=found.name, key_id=found.metadata.key_id)
    metadata = _metadata(found.metadata)
    return Answer(200, {"id": found.id, "name": found.name, "value": found.value, "metadata": metadata})


def _without_value(found: ObjectWithoutValue) -> dict[str, Any]:
    return {"id": found.id, "name": found.name, "metadata": _metadata(found.metadata)}


def _metadata(metadata: ObjectMetadata) -> dict[str, Any]:
    return {
        "id": metadata.id,
        "environment_id": metadata.environment_id,
        "key_id": metadata.key_id,
        "context": metadata.context,
        "updated_at": _timestamp(metadata.updated_at),
        "updated_by": {"id": metadata.updated_by.id, "name": metadata.updated_by.name},
        "version_id": metadata.version_id,
    }


def _limit(parameter: str | None) -> int | None:
    if parameter is None:
        return None
    if not (parameter.isascii() and parameter.isdecimal() and parameter.strip("0")):
        raise Refused(400, "limit is a whole number, 1 or more.")
    return int(parameter) if len(parameter) < 10 else 10**9


def _moment(parameter: str | None) -> datetime | None:
    if parameter is None:
        return None
    try:
        moment = datetime.fromisoformat(parameter)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise Refused(400, "updatedAfter is an ISO 8601 timestamp.") from None


def _timestamp(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
