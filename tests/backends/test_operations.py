"""The operations as data, held against the published API description."""

import inspect
import re
from datetime import UTC, datetime

import pytest

from django_workos_vault.backends import operations
from django_workos_vault.backends.arguments import MAX_NAME_LENGTH
from django_workos_vault.backends.base import VaultBackend
from django_workos_vault.backends.carried import Arguments, Carried
from django_workos_vault.backends.key_context import MAX_CONTEXT_ITEMS, MAX_CONTEXT_VALUE_LENGTH
from django_workos_vault.exceptions import InvalidVaultConfiguration, VaultRequestError
from tests.contract import description

DESCRIPTION = description()
CONTEXT = {"app": "clinic"}
LONG = {f"n{n}": "x" * 500 for n in range(10)}
#: for each argument, one that is at its limit and those that are beyond it
LIMITS = {
    "name": ("n" * 200, ["", "n" * 201, ".", "..", None, 5, "\ud800"]),
    "value": ("", [None, b"v", 5, "\udfff"]),
    "context": (
        {f"n{n}": "x" * 500 for n in range(10)},
        [{}, {"a": "x" * 501}, {str(n): "x" for n in range(11)}],
    ),
    "key_context": (LONG, [{}, {"a": "x" * 501}, {"a": 1}, {"a": ""}]),
    "wrapped": (b"w" * 8192, [b"", b"w" * 8193]),
    "object_id": ("o", ["", ".", "..", None, 5, "\ud800"]),
    "version_check": ("v", [5, "\ud800"]),
    "limit": (1, [0, -1, True, 1.5, "1"]),
    "before": ("b", [5]),
    "after": ("a", [5]),
    "order": ("asc", ["up", 1]),
    "search": ("s", [5, "\ud800"]),
    "updated_after": (datetime(2026, 1, 1, tzinfo=UTC), [datetime(2026, 1, 1)]),
}
ARGUMENTS = [(operation, argument) for operation in operations.ALL for argument in operation.arguments]
EACH = pytest.mark.parametrize("operation", operations.ALL, ids=lambda operation: operation.name)
EACH_ARGUMENT = pytest.mark.parametrize(
    ("operation", "argument"),
    ARGUMENTS,
    ids=[f"{operation.name} {argument.name}" for operation, argument in ARGUMENTS],
)


def described(operation):
    return DESCRIPTION["paths"][operation.path][operation.method.lower()]


def schema(operation):
    body = described(operation).get("requestBody")
    if body is None:
        return {"properties": {}, "required": []}
    reference = body["content"]["application/json"]["schema"]["$ref"]
    return DESCRIPTION["components"]["schemas"][reference.rpartition("/")[2]]


def sound(operation, **changed):
    given = {argument.name: LIMITS[argument.name][0] for argument in operation.arguments}
    return Arguments(**given | changed)


def test_all_of_them():
    """Every operation of the description is there, once."""
    paths = DESCRIPTION["paths"]
    assert sorted((operation.path, operation.method.lower()) for operation in operations.ALL) == sorted(
        (path, method) for path in paths for method in paths[path]
    )


@EACH
def test_members(operation):
    """A request has the members of the description, each in its place and required where it says so."""
    members = {(argument.member, argument.place, argument.required) for argument in operation.arguments}
    wanted = {
        (parameter["name"], parameter["in"], parameter["required"])
        for parameter in described(operation).get("parameters", [])
    }
    body = schema(operation)
    wanted |= {(name, "body", name in body["required"]) for name in body["properties"]}
    assert members == wanted


def test_limits():
    """The limits are those of the description."""
    members = DESCRIPTION["components"]["schemas"]["CreateObjectRequest"]["properties"]
    assert members["name"]["maxLength"] == MAX_NAME_LENGTH
    assert members["key_context"]["maxProperties"] == MAX_CONTEXT_ITEMS
    assert members["key_context"]["additionalProperties"]["maxLength"] == MAX_CONTEXT_VALUE_LENGTH


@EACH
def test_statuses(operation):
    """The statuses are those of the description."""
    statuses = set(described(operation)["responses"])
    assert str(operation.status) in statuses
    assert {str(argument.wrong) for argument in operation.arguments if argument.place == "body"} <= statuses
    if any(argument.member == "id" for argument in operation.arguments):
        assert str(operation.missing) in statuses


@EACH
def test_method(operation):
    """The backend's method and its async twin take the operation's arguments, and pass them on."""
    for name in (operation.name, f"a{operation.name}"):
        _, *parameters = inspect.signature(getattr(VaultBackend, name)).parameters
        assert set(parameters) == {argument.name for argument in operation.arguments}
    seen = []

    class Noting(VaultBackend):
        def call(self, operation, arguments):
            seen.append((operation, arguments))

    given = {argument.name: LIMITS[argument.name][0] for argument in operation.arguments}
    getattr(Noting(), operation.name)(**given)
    ((called, arguments),) = seen
    assert called is operation
    assert {name: arguments[name] for name in given} == given


@EACH
def test_limits_themselves(operation):
    """What is at a limit is sent."""
    operation.check(sound(operation))
    assert "{" not in operation.target(sound(operation))
    assert (operation.content(sound(operation)) is None) == (operation.method in ("GET", "DELETE"))


@EACH_ARGUMENT
def test_beyond_the_limits(operation, argument):
    """What is beyond it is refused, and no frame of the error holds it."""
    for wrong in LIMITS[argument.name][1]:
        if wrong is None and not argument.required:
            continue
        with pytest.raises((VaultRequestError, InvalidVaultConfiguration)) as caught:
            operation.check(sound(operation, **{argument.name: wrong}))
        assert [frame.name for frame in caught.traceback[1:]] == ["check"]


@EACH_ARGUMENT
def test_there_and_back(operation, argument):
    """Whoever answers reads the argument that was sent."""
    value = LIMITS[argument.name][0]
    assert argument.kind.read(argument.kind.check(value, argument.member), argument.member) == value


@EACH
def test_only_what_may_be_sent_twice_is(operation):
    """Writes of objects are not. An error text that may echo a value is not quoted."""
    writes = operation.path.startswith("/vault/v1/kv") and operation.method != "GET"
    assert operation.repeatable is not writes
    carries = {argument.name for argument in operation.arguments} & {"name", "value", "search"}
    assert operation.quotable is not bool(carries)


def test_reprs():
    """Nothing on its way shows itself."""
    arguments = Arguments(name="n", value="plaintext 4711", key_context=CONTEXT)
    assert repr(arguments) == "<Arguments name, value, key_context>"
    assert "4711" not in repr(Carried("plaintext 4711"))


def test_a_backend_of_the_keys_alone():
    """A backend has the operations that it overrides; the others say that it has not."""

    class KeysAlone(VaultBackend):
        def create_data_key(self, context):
            return context

    assert KeysAlone().create_data_key(CONTEXT) == CONTEXT
    with pytest.raises(VaultRequestError, match="KeysAlone cannot decrypt a data key"):
        KeysAlone().decrypt_data_key(b"x")
    with pytest.raises(VaultRequestError, match="KeysAlone makes data keys but keeps no objects"):
        KeysAlone().read_object("o")


async def test_a_backend_of_its_own_and_async_code():
    """The async twin of a method that a backend overrides runs it."""

    class Mine(VaultBackend):
        def read_object(self, object_id):
            return object_id.upper()

    mine = Mine()
    assert await mine.aread_object("o") == "O"
    mine.close()


def test_targets():
    """A path's member is one escaped segment, whatever it holds."""
    target = operations.READ_OBJECT_BY_NAME.target(Arguments(name="a/b?c#d e%2F"))
    assert target == "/vault/v1/kv/name/a%2Fb%3Fc%23d%20e%252F"
    assert re.fullmatch(
        r"/vault/v1/kv/[^/?#]+", operations.READ_OBJECT.target(Arguments(object_id="{name}/.."))
    )
