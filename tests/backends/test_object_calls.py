"""The eight object calls of the HTTP client: what is sent, what is read, what is refused."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone

import pytest
import stamina

from django_workos_vault.backends.objects import Actor, DeletedObject, ObjectSummary, Page
from django_workos_vault.backends.workos import WorkOSVault
from django_workos_vault.exceptions import (
    InvalidVaultConfiguration,
    VaultConflict,
    VaultRequestError,
    VaultUnavailable,
)
from tests.scripted import Reply, hang_up, scripted_server

VALUE = "4111 1111 1111 1111"
MOMENT = "2026-06-15T10:30:00.125Z"
METADATA = {
    "id": "obj_1",
    "environment_id": "environment_1",
    "key_id": "kek_1",
    "context": {"app": "clinic"},
    "updated_at": MOMENT,
    "updated_by": {"id": "key_1", "name": "My API key"},
    "version_id": "version_1",
}
WITHOUT_VALUE = {"id": "obj_1", "name": "card/1", "metadata": METADATA}
OBJECT = WITHOUT_VALUE | {"value": VALUE}
VERSION = {"id": "version_1", "created_at": MOMENT, "current_version": True, "size": 19, "etag": "d41d8cd9"}
ENDS = {"before": None, "after": None}
AWKWARD = [
    "a/b",
    "a?b",
    "a#b",
    "50% off",
    "100%25",
    "../kv",
    "Zürich ☃",
    "a b+c",
    ";a=b",
    "a\\b",
    "...",
    "%2e%2e",
]


@pytest.fixture
def server():
    with scripted_server() as server:
        yield server


class Blocking:
    """The sync calls of a vault, so that one test can run both kinds."""

    def __init__(self, vault):
        self.vault = vault

    def __getattr__(self, name):
        async def call(*args, **kwargs):
            return await asyncio.to_thread(getattr(self.vault, name), *args, **kwargs)

        return call


class Awaiting(Blocking):
    """The async calls of a vault, under the names of the sync ones."""

    def __getattr__(self, name):
        return getattr(self.vault, f"a{name}")


@pytest.fixture(params=[Blocking, Awaiting], ids=["sync", "async"])
def vault(server, request):
    vault = WorkOSVault(api_key="sk_test_objects", base_url=server.url, timeout=2, deadline=5)
    yield request.param(vault)
    vault.close()


class TestCalls:
    async def test_create(self, server, vault):
        """Creating sends name, value and context, and returns the metadata of the new object."""
        server.answer(Reply(METADATA, 201))
        metadata = await vault.create_object("card/1", VALUE, {"app": "clinic"})
        assert (metadata.id, metadata.version_id, metadata.key_id) == ("obj_1", "version_1", "kek_1")
        assert metadata.updated_at == datetime(2026, 6, 15, 10, 30, 0, 125000, tzinfo=UTC)
        assert metadata.updated_by == Actor("key_1", "My API key")
        (asked,) = server.asked
        assert (asked.method, asked.target) == ("POST", "/vault/v1/kv")
        assert asked.json == {"name": "card/1", "value": VALUE, "key_context": {"app": "clinic"}}

    async def test_read(self, server, vault):
        """Reading by id and by name returns the value, which no repr shows."""
        server.answer(Reply(OBJECT))
        for call, key in (vault.read_object, "obj_1"), (vault.read_object_by_name, "card/1"):
            found = await call(key)
            assert found.value == VALUE
            assert VALUE not in repr(found)
            assert found.metadata.context == {"app": "clinic"}
        assert [(asked.method, asked.target) for asked in server.asked] == [
            ("GET", "/vault/v1/kv/obj_1"),
            ("GET", "/vault/v1/kv/name/card%2F1"),
        ]

    async def test_update(self, server, vault):
        """Updating sends the value, and the expected version only when one is given."""
        server.answer(Reply(WITHOUT_VALUE, 201))
        assert (await vault.update_object("obj_1", "new")).metadata.version_id == "version_1"
        await vault.update_object("obj_1", "new", version_check="version_0")
        assert [(asked.method, asked.target, asked.json) for asked in server.asked] == [
            ("PUT", "/vault/v1/kv/obj_1", {"value": "new"}),
            ("PUT", "/vault/v1/kv/obj_1", {"value": "new", "version_check": "version_0"}),
        ]

    async def test_delete(self, server, vault):
        """Deleting sends the expected version in the query when one is given."""
        server.answer(Reply({"success": True, "name": "card/1"}))
        assert await vault.delete_object("obj_1") == DeletedObject("card/1")
        await vault.delete_object("obj_1", version_check="v&1")
        assert [(asked.method, asked.target) for asked in server.asked] == [
            ("DELETE", "/vault/v1/kv/obj_1"),
            ("DELETE", "/vault/v1/kv/obj_1?version_check=v%261"),
        ]

    async def test_describe(self, server, vault):
        """Describing returns name and metadata without the value; a missing version id is None."""
        bare = {name: member for name, member in METADATA.items() if name != "version_id"}
        server.answer(Reply(WITHOUT_VALUE | {"metadata": bare}))
        described = await vault.describe_object("obj_1")
        assert (described.name, described.metadata.version_id) == ("card/1", None)
        assert server.asked[0].target == "/vault/v1/kv/obj_1/metadata"

    async def test_versions(self, server, vault):
        """The versions come in Vault's order; a version's etag, a hash of the value, is in no repr."""
        server.answer(Reply({"data": [VERSION, VERSION | {"current_version": False}], "list_metadata": ENDS}))
        versions = await vault.list_object_versions("obj_1")
        assert [(version.size, version.current_version) for version in versions] == [(19, True), (19, False)]
        assert versions[0].etag not in repr(versions)
        assert server.asked[0].target == "/vault/v1/kv/obj_1/versions"

    async def test_list(self, server, vault):
        """A list sends the filters that are given, a moment in UTC, and returns the page with its cursors."""
        items = [{"id": "1", "name": "a"}, {"id": "2", "name": "b", "updated_at": None}]
        server.answer(Reply({"data": items, "list_metadata": {"after": "2"}}))
        assert await vault.list_objects() == Page(
            (ObjectSummary("1", "a"), ObjectSummary("2", "b")), None, "2"
        )
        await vault.list_objects(
            limit=2,
            before="b",
            after="a",
            order="desc",
            search="x&y/ü",
            updated_after=datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))),
        )
        assert [asked.target for asked in server.asked] == [
            "/vault/v1/kv",
            "/vault/v1/kv?limit=2&before=b&after=a&order=desc&search=x%26y%2F%C3%BC"
            "&updatedAfter=2026-01-01T00%3A00%3A00Z",
        ]

    @pytest.mark.parametrize("name", AWKWARD)
    async def test_awkward_names(self, server, vault, name):
        """A name or an id is one escaped segment of the path, whatever it holds."""
        server.answer(Reply(OBJECT))
        await vault.read_object_by_name(name)
        await vault.read_object(name)
        for asked, prefix in zip(server.asked, ("/vault/v1/kv/name/", "/vault/v1/kv/"), strict=True):
            assert asked.target.startswith(prefix)
            segment = asked.target.removeprefix(prefix)
            assert not set(segment) & set("/?# ")
            assert bytes.fromhex("".join(_unescaped(segment))).decode() == name


def _unescaped(segment):
    position = 0
    while position < len(segment):
        if segment[position] == "%":
            yield segment[position + 1 : position + 3]
            position += 3
        else:
            yield f"{ord(segment[position]):02x}"
            position += 1


class TestIteration:
    PAGES = [
        Reply(
            {"data": [{"id": "1", "name": "a"}, {"id": "2", "name": "b"}], "list_metadata": {"after": "2"}}
        ),
        Reply({"data": [{"id": "3", "name": "c"}], "list_metadata": {"after": None}}),
    ]

    async def test_follows_cursors(self, server, vault):
        """Iterating asks for page after page, with the same filters, until there is no next one."""
        server.answer(*self.PAGES)
        assert [summary.name for summary in await _all(vault, limit=2, search="x")] == ["a", "b", "c"]
        assert [asked.target for asked in server.asked] == [
            "/vault/v1/kv?limit=2&search=x",
            "/vault/v1/kv?limit=2&after=2&search=x",
        ]

    async def test_endless_list(self, server, vault):
        """A cursor that comes back a second time is an error, not a loop."""
        server.answer(self.PAGES[0])
        with pytest.raises(VaultUnavailable, match="does not end"):
            await _all(vault)
        assert len(server.asked) == 2


async def _all(vault, **filters):
    if type(vault) is Blocking:
        return await asyncio.to_thread(lambda: list(vault.vault.iter_objects(**filters)))
    return [summary async for summary in vault.vault.aiter_objects(**filters)]


class TestRefusedBeforeSending:
    @pytest.mark.parametrize(
        ("error", "call"),
        [
            (VaultRequestError, lambda vault: vault.create_object("", "v", {"app": "x"})),
            (VaultRequestError, lambda vault: vault.create_object("n" * 201, "v", {"app": "x"})),
            (VaultRequestError, lambda vault: vault.create_object("..", "v", {"app": "x"})),
            (VaultRequestError, lambda vault: vault.create_object("n", b"v", {"app": "x"})),
            (VaultRequestError, lambda vault: vault.create_object("n", "\ud800", {"app": "x"})),
            (InvalidVaultConfiguration, lambda vault: vault.create_object("n", "v", {})),
            (VaultRequestError, lambda vault: vault.read_object("")),
            (VaultRequestError, lambda vault: vault.read_object("..")),
            (VaultRequestError, lambda vault: vault.delete_object(".")),
            (VaultRequestError, lambda vault: vault.read_object(None)),
            (VaultRequestError, lambda vault: vault.update_object("obj_1", 5)),
            (VaultRequestError, lambda vault: vault.update_object("obj_1", "v", 5)),
            (VaultRequestError, lambda vault: vault.list_objects(limit=0)),
            (VaultRequestError, lambda vault: vault.list_objects(order="up")),
            (VaultRequestError, lambda vault: vault.list_objects(updated_after=datetime(2026, 1, 1))),
        ],
    )
    async def test_refused(self, server, vault, error, call):
        """What the API description rules out is an error before any request."""
        with pytest.raises(error):
            await call(vault)
        assert server.asked == []


@pytest.mark.usefixtures("vault")
class TestMalformed:
    @pytest.mark.parametrize(
        ("call", "answer", "message"),
        [
            ("read_object", WITHOUT_VALUE, "value is missing"),
            ("read_object", OBJECT | {"value": [VALUE]}, "value is a list, not a string"),
            (
                "read_object",
                OBJECT | {"metadata": METADATA | {"context": {"a": 1}}},
                r"metadata\.context has a value",
            ),
            (
                "read_object",
                OBJECT | {"metadata": METADATA | {"updated_at": "soon"}},
                r"metadata\.updated_at is not an",
            ),
            (
                "read_object",
                OBJECT | {"metadata": METADATA | {"updated_at": "2026-01-01T00:00:00"}},
                "RFC 3339",
            ),
            (
                "describe_object",
                WITHOUT_VALUE | {"metadata": METADATA | {"version_id": 7}},
                "version_id is an integer",
            ),
            ("delete_object", {"success": False, "name": "x"}, "success is false"),
            ("delete_object", {"success": "yes", "name": "x"}, "success is a string"),
            (
                "list_object_versions",
                {"data": [VERSION | {"size": True}], "list_metadata": {}},
                r"data\[0\]\.size",
            ),
            (
                "list_object_versions",
                {"data": [VERSION | {"size": -1}], "list_metadata": {}},
                "size is not a count",
            ),
            ("list_object_versions", {"data": {}, "list_metadata": {}}, "data is an object, not a list"),
            ("list_object_versions", {"data": []}, "list_metadata is missing"),
            (
                "list_object_versions",
                {"data": [3], "list_metadata": {}},
                r"data\[0\] is an integer, not an object",
            ),
        ],
    )
    async def test_answer(self, server, vault, call, answer, message):
        """An answer of another shape is an error that names the member and quotes nothing."""
        server.answer(Reply(answer))
        with pytest.raises(VaultUnavailable, match=message) as caught:
            await getattr(vault, call)("obj_1")
        assert VALUE not in str(caught.value)


WRITES = {
    "create": lambda vault: vault.create_object("n", VALUE, {"app": "x"}),
    "update": lambda vault: vault.update_object("obj_1", VALUE),
    "delete": lambda vault: vault.delete_object("obj_1"),
}


class TestWritesAreNotRepeated:
    @pytest.fixture(autouse=True)
    def _no_backoff(self):
        with stamina.set_testing(True, attempts=3):
            yield

    @pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
    @pytest.mark.parametrize(
        "failure", [Reply(status=500), Reply(status=503), Reply(act=hang_up), Reply(b"<p>", 201)]
    )
    async def test_doubtful(self, server, vault, write, failure):
        """A write that Vault may have carried out is sent once, and the error says that nobody knows."""
        server.answer(failure)
        with pytest.raises(VaultUnavailable, match="may have carried it out"):
            await write(vault)
        assert len(server.asked) == 1

    @pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
    async def test_turned_away(self, server, vault, write):
        """A write that Vault has turned away unread is sent again."""
        answers = {
            "POST": METADATA | {"context": {"app": "x"}},
            "PUT": WITHOUT_VALUE,
            "DELETE": {"success": True, "name": "n"},
        }
        server.answer(Reply(status=429), *(Reply(answers[method], 201) for method in _methods(write)))
        await write(vault)
        assert len(server.asked) == 2

    async def test_unreachable(self, vault):
        """A write that could not be sent is tried again, and the error leaves no doubt."""
        inner = WorkOSVault(api_key="sk_test_x", base_url="http://127.0.0.1:9", timeout=1)
        with pytest.raises(VaultUnavailable, match=r"cannot be reached .*\)\.$"):
            await type(vault)(inner).create_object("n", VALUE, {"app": "x"})
        assert inner.requests_made == 3

    @pytest.mark.parametrize("write", [WRITES["create"], WRITES["update"]])
    async def test_error_text_may_echo(self, server, vault, write):
        """Vault's error text is not quoted where it might echo the value."""
        server.answer(Reply({"error": f"bad value {VALUE}"}, 422), Reply({"error": VALUE}, 409))
        with pytest.raises(VaultRequestError) as invalid:
            await write(vault)
        with pytest.raises(VaultConflict) as conflict:
            await write(vault)
        assert VALUE not in f"{invalid.value} {conflict.value}"


def _methods(write):
    names = {"create": "POST", "update": "PUT", "delete": "DELETE"}
    return [names[name] for name, candidate in WRITES.items() if candidate is write]
