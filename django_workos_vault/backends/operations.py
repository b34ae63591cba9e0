"""The eleven operations of the Vault API, each described once.

From these the HTTP client makes its requests and reads their answers, the local vault knows what it is asked
for, and the emulator routes, reads and answers. Source: the published API description.
"""

import json
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar
from urllib.parse import quote, urlencode

from django_workos_vault.backends import answers
from django_workos_vault.backends.answers import Shape
from django_workos_vault.backends.arguments import (
    CONTEXT,
    ID,
    LIMIT,
    MOMENT,
    NAME,
    NAMED,
    ORDER,
    TEXT,
    WRAPPED,
    Argument,
)
from django_workos_vault.backends.carried import Arguments
from django_workos_vault.backends.objects import (
    DeletedObject,
    ObjectMetadata,
    ObjectSummary,
    ObjectVersion,
    ObjectWithoutValue,
    Page,
    VaultObject,
)
from django_workos_vault.datakey import DataKey
from django_workos_vault.exceptions import InvalidVaultConfiguration, VaultRequestError

Result = TypeVar("Result")

MAX_KEY_ANSWER = 64 * 1024
MAX_OBJECT_ANSWER = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True, eq=False)
class Operation(Generic[Result]):
    """One operation. ``name`` is that of the method of :class:`VaultBackend`; ``purpose`` completes "to ...".

    ``repeatable`` says that doing it twice does no harm, so it may be sent again when nobody can tell
    whether it was carried out. ``quotable`` says that Vault's error text cannot echo a value or a name.
    ``status`` is that of a success, ``missing`` that of an object which is not there.
    """

    name: str
    purpose: str
    method: Literal["GET", "POST", "PUT", "DELETE"]
    path: str
    arguments: tuple[Argument, ...]
    answer: Shape[Result]
    status: int = 200
    missing: int = 404
    repeatable: bool = True
    quotable: bool = True
    longest_answer: int = MAX_OBJECT_ANSWER

    @property
    def is_about_keys(self) -> bool:
        return self.path.startswith("/vault/v1/keys/")

    @property
    def has_body(self) -> bool:
        return any(argument.place == "body" for argument in self.arguments)

    def check(self, arguments: Arguments) -> None:
        """Raise VaultRequestError, or InvalidVaultConfiguration, for what the API description rules out."""
        try:
            deque(self._sent(arguments, "path", "query", "body"), maxlen=0)
            return
        except (VaultRequestError, InvalidVaultConfiguration) as error:
            refusal = error.with_traceback(None)
        raise refusal  # from no frames: those of a check hold what was checked

    def target(self, arguments: Arguments) -> str:
        """Return the path and query of the request, escaped (RFC 3986, sections 3.3 and 3.4)."""
        segments = {name: quote(text, safe="") for name, text in self._sent(arguments, "path")}
        query = urlencode(dict(self._sent(arguments, "query")), quote_via=quote)
        return self.path.format_map(segments) + (f"?{query}" if query else "")

    def content(self, arguments: Arguments) -> bytes | None:
        """Return the body of the request, None where it has none."""
        if not self.has_body:
            return None
        return json.dumps(dict(self._sent(arguments, "body"))).encode()

    def _sent(self, arguments: Arguments, *places: str) -> Iterator[tuple[str, Any]]:
        for argument in self.arguments:
            if argument.place in places and (argument.required or arguments[argument.name] is not None):
                yield argument.member, argument.kind.check(arguments[argument.name], argument.member)


_CONTEXT = Argument("context", CONTEXT, "context", wrong=422)
_ID = Argument("object_id", ID, "id", "path")

CREATE_DATA_KEY: Operation[DataKey] = Operation(
    "create_data_key",
    "create a data key",
    "POST",
    "/vault/v1/keys/data-key",
    (_CONTEXT,),
    answers.CREATED_KEY,
    longest_answer=MAX_KEY_ANSWER,
)
DECRYPT_DATA_KEY: Operation[DataKey] = Operation(
    "decrypt_data_key",
    "decrypt a data key",
    "POST",
    "/vault/v1/keys/decrypt",
    (Argument("wrapped", WRAPPED, "keys"),),
    answers.DECRYPTED_KEY,
    longest_answer=MAX_KEY_ANSWER,
)
REKEY_DATA_KEY: Operation[DataKey] = Operation(
    "rekey_data_key",
    "rekey a data key",
    "POST",
    "/vault/v1/keys/rekey",
    (_CONTEXT, Argument("wrapped", WRAPPED, "encrypted_keys", wrong=422)),
    answers.CREATED_KEY,
    longest_answer=MAX_KEY_ANSWER,
)
CREATE_OBJECT: Operation[ObjectMetadata] = Operation(
    "create_object",
    "create an object",
    "POST",
    "/vault/v1/kv",
    (
        Argument("name", NAME, "name", wrong=422),
        Argument("value", TEXT, "value", wrong=422),
        Argument("key_context", CONTEXT, "key_context", wrong=422),
    ),
    answers.STORED_OBJECT,
    status=201,
    repeatable=False,
    quotable=False,
)
READ_OBJECT_BY_NAME: Operation[VaultObject] = Operation(
    "read_object_by_name",
    "read an object by name",
    "GET",
    "/vault/v1/kv/name/{name}",
    (Argument("name", NAMED, "name", "path"),),
    answers.OBJECT,
    quotable=False,
)
READ_OBJECT: Operation[VaultObject] = Operation(
    "read_object", "read an object", "GET", "/vault/v1/kv/{id}", (_ID,), answers.OBJECT
)
UPDATE_OBJECT: Operation[ObjectWithoutValue] = Operation(
    "update_object",
    "update an object",
    "PUT",
    "/vault/v1/kv/{id}",
    (_ID, Argument("value", TEXT, "value"), Argument("version_check", TEXT, "version_check", required=False)),
    answers.OBJECT_WITHOUT_VALUE,
    status=201,
    missing=400,
    repeatable=False,
    quotable=False,
)
DELETE_OBJECT: Operation[DeletedObject] = Operation(
    "delete_object",
    "delete an object",
    "DELETE",
    "/vault/v1/kv/{id}",
    (_ID, Argument("version_check", TEXT, "version_check", "query", required=False)),
    answers.DELETED,
    repeatable=False,
)
DESCRIBE_OBJECT: Operation[ObjectWithoutValue] = Operation(
    "describe_object",
    "describe an object",
    "GET",
    "/vault/v1/kv/{id}/metadata",
    (_ID,),
    answers.OBJECT_WITHOUT_VALUE,
)
LIST_OBJECT_VERSIONS: Operation[tuple[ObjectVersion, ...]] = Operation(
    "list_object_versions",
    "list an object's versions",
    "GET",
    "/vault/v1/kv/{id}/versions",
    (_ID,),
    answers.VERSIONS,
)
LIST_OBJECTS: Operation[Page[ObjectSummary]] = Operation(
    "list_objects",
    "list objects",
    "GET",
    "/vault/v1/kv",
    (
        Argument("limit", LIMIT, "limit", "query", required=False),
        Argument("before", TEXT, "before", "query", required=False),
        Argument("after", TEXT, "after", "query", required=False),
        Argument("order", ORDER, "order", "query", required=False),
        Argument("search", TEXT, "search", "query", required=False),
        Argument("updated_after", MOMENT, "updatedAfter", "query", required=False),
    ),
    answers.OBJECTS,
    quotable=False,
)

#: all of them; of two paths that both match a request, the one that comes first is meant
ALL: tuple[Operation[Any], ...] = (
    CREATE_DATA_KEY,
    DECRYPT_DATA_KEY,
    REKEY_DATA_KEY,
    LIST_OBJECTS,
    CREATE_OBJECT,
    READ_OBJECT_BY_NAME,
    DESCRIBE_OBJECT,
    LIST_OBJECT_VERSIONS,
    READ_OBJECT,
    UPDATE_OBJECT,
    DELETE_OBJECT,
)
