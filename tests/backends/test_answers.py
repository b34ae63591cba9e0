"""Whatever Vault's answers say, the client returns what was asked for or raises an error of ours."""

import json
from base64 import b64encode
from copy import deepcopy

import httpx
import pytest
import stamina
from hypothesis import example, given, settings
from hypothesis import strategies as st

from django_workos_vault.backends.local import LocalVault
from django_workos_vault.backends.retries import retry_after_seconds
from django_workos_vault.backends.workos import WorkOSVault
from django_workos_vault.exceptions import (
    InvalidVaultConfiguration,
    VaultContextMismatch,
    VaultError,
    VaultUnavailable,
)
from tests.scripted import Reply, scripted_server

SECRET = b64encode(b"s" * 32).decode()
WRAPPED = b"WOS.EKM.v1\x00blob"
CONTEXT = {"organization_id": "org_asked", "region": "eu"}
CREATED = {
    "id": "key_1",
    "data_key": SECRET,
    "encrypted_keys": b64encode(WRAPPED).decode(),
    "context": CONTEXT,
}
DECRYPTED = {"id": "key_1", "data_key": SECRET}
METADATA = {
    "id": "object_1",
    "environment_id": "environment_1",
    "key_id": "key_1",
    "context": CONTEXT,
    "updated_at": "2026-01-01T00:00:00Z",
    "updated_by": {"id": "key_2", "name": "Somebody"},
    "version_id": "version_1",
}
OBJECT = {"id": "object_1", "name": "the name", "value": "the value", "metadata": METADATA}

WITH_CONTEXT = {
    "create": ("create_data_key", (CONTEXT,), CREATED),
    "rekey": ("rekey_data_key", (WRAPPED, CONTEXT), CREATED),
    "object": ("create_object", ("the name", "the value", CONTEXT), METADATA),
}
OTHER_CONTEXTS = {
    "another value": ({"organization_id": "org_other", "region": "eu"}, "item 'organization_id' has another"),
    "an item less": ({"region": "eu"}, "item 'organization_id' is missing"),
    "an item more": (CONTEXT | {"app": "shared"}, "it has 1 items that were not asked for"),
    "another name": (
        {"Organization_id": "org_asked", "region": "eu"},
        "item 'organization_id' is missing; it",
    ),
    "nothing": ({}, "'organization_id' is missing; item 'region' is missing"),
    "another case": ({"organization_id": "ORG_asked", "region": "eu"}, "item 'organization_id' has another"),
}
CALLS = {
    **WITH_CONTEXT,
    "decrypt": ("decrypt_data_key", (WRAPPED,), DECRYPTED),
    "read": ("read_object", ("object_1",), OBJECT),
    "by name": ("read_object_by_name", ("the name",), OBJECT),
    "describe": ("describe_object", ("object_1",), OBJECT),
    "update": ("update_object", ("object_1", "the value"), OBJECT),
    "delete": ("delete_object", ("object_1",), {"success": True, "name": "the name"}),
    "list": (
        "list_objects",
        (),
        {
            "data": [{"id": "object_1", "name": "the name", "updated_at": None}],
            "list_metadata": {"before": None, "after": "object_1"},
        },
    ),
    "versions": (
        "list_object_versions",
        ("object_1",),
        {
            "data": [
                {
                    "id": "version_1",
                    "created_at": "2026-01-01T00:00:00Z",
                    "current_version": True,
                    "size": 9,
                    "etag": "e",
                }
            ],
            "list_metadata": {},
        },
    ),
}


@pytest.fixture
def server():
    with scripted_server() as server:
        yield server


@pytest.fixture
def vault(server):
    vault = WorkOSVault(api_key="sk_test_x", base_url=server.url)
    yield vault
    vault.close()


async def called(vault, name, arguments, kind):
    """Make the call in sync, async or batch form; return its result or raise its error."""
    if kind == "sync":
        return getattr(vault, name)(*arguments)
    if kind == "async":
        return await getattr(vault, f"a{name}")(*arguments)
    many = [arguments[0]] * 3
    outcomes = vault.create_data_keys(many) if kind == "batch" else await vault.acreate_data_keys(many)
    errors = [outcome for outcome in outcomes if isinstance(outcome, VaultError)]
    if errors:
        assert len(errors) == 3
        raise errors[0]
    return outcomes


KINDS = [(name, kind) for name in WITH_CONTEXT for kind in ("sync", "async")] + [
    ("create", "batch"),
    ("create", "async batch"),
]


class TestContext:
    @pytest.mark.parametrize(("name", "kind"), KINDS)
    @pytest.mark.parametrize("other", OTHER_CONTEXTS)
    async def test_other(self, server, vault, name, kind, other):
        """A key or object that Vault made under another context is refused; the error names items alone."""
        call, arguments, answer = WITH_CONTEXT[name]
        context, message = OTHER_CONTEXTS[other]
        server.answer(Reply(answer | {"context": context}))
        with pytest.raises(VaultContextMismatch, match=message) as caught:
            await called(vault, call, arguments, kind)
        for secret in (SECRET, "org_other", "org_asked", "the value", "Organization_id"):
            assert secret not in str(caught.value)
        assert len(server.asked) == (3 if "batch" in kind else 1)
        if name == "object":
            assert "Object object_1 lies there: delete it" in str(caught.value)

    @pytest.mark.parametrize(("name", "kind"), KINDS)
    async def test_same(self, server, vault, name, kind):
        """The context asked for is taken, in any order."""
        call, arguments, answer = WITH_CONTEXT[name]
        server.answer(Reply(answer | {"context": dict(reversed(CONTEXT.items()))}))
        await called(vault, call, arguments, kind)

    @pytest.mark.parametrize("text", ["a\x00b", "a\ud800b"])
    def test_no_text(self, text):
        """A key context that no database could keep is refused before any request."""
        for context in ({"app": text}, {text: "app"}):
            with pytest.raises(InvalidVaultConfiguration, match="names no key"):
                LocalVault(master_key=b"m" * 32).create_data_key(context)


BAD_IDS = [
    "",
    "i" * 201,
    "i" * 40_000,
    "a\x00b",
    "a\nb",
    "a\ud800b",
    "a\u202eb",
    1,
    None,
    True,
    1e400,
    [],
    {},
]


class TestIds:
    @pytest.mark.parametrize("bad", BAD_IDS, ids=lambda bad: repr(bad)[:12])
    @pytest.mark.parametrize(
        ("call", "path"),
        [
            ("create", ("id",)),
            ("decrypt", ("id",)),
            ("object", ("id",)),
            ("object", ("key_id",)),
            ("object", ("environment_id",)),
            ("object", ("updated_by", "id")),
            ("read", ("metadata", "key_id")),
            ("list", ("data", 0, "id")),
            ("versions", ("data", 0, "id")),
        ],
    )
    def test_refused(self, call, path, bad):
        """What cannot be an id is refused, wherever one stands, and never quoted."""
        with pytest.raises(VaultUnavailable) as caught:
            _answered(call, _changed(CALLS[call][2], path, bad))
        assert len(str(caught.value)) < 300
        assert str(caught.value).isprintable()

    @pytest.mark.parametrize(
        ("key", "message"),
        [(bytes(32), "all zeros"), (b"", "0 bytes"), (b"k" * 31, "31 bytes"), (b"k" * 33, "33 bytes")],
    )
    @pytest.mark.parametrize("call", ["create", "rekey", "decrypt"])
    def test_keys(self, call, key, message):
        """A data key that is none is refused."""
        with pytest.raises(VaultUnavailable, match=message):
            _answered(call, CALLS[call][2] | {"data_key": b64encode(key).decode()})


MEMBERS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["0001-01-01T00:00:00+14:00"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
DATES = [
    "Sun, 22 Nov 99999 10:00:00 GMT",
    "Sun, 22 Nov 2026 10:00:00 +99999999999999",
    "Sun, 22 Nov 2026 10:00:00 -9999",
    "Fri, 31 Dec 9999 23:59:59 -2359",
    "Mon, 01 Jan 0001 00:00:00 +2359",
    "Sun, 22 Nov 2026 99:99:99 GMT",
    "0 0 0 0 0",
    "9" * 500,
    "1\x00",
    "\u0661",
    "Sun, 22 Nov 2026 10:00:00",
]
BODIES = {
    "NaN": b'{"data": NaN}',
    "Infinity": b'{"data": -Infinity}',
    "huge integer": b'{"id": ' + b"9" * 20_000 + b"}",
    "huge float": b'{"size": 1e999999}',
    "deep list": b"[" * 60_000,
    "deep object": b'{"a":' * 12_000,
    "UTF-16": json.dumps(CREATED).encode("utf-16"),
    "invalid UTF-8": b'{"id": "\xff\xfe"}',
    "surrogate bytes": b'{"id": "\xed\xa0\x80"}',
    "BOM": b"\xef\xbb\xbf{}",
    "NUL": b"\x00",
    "two values": b"{}{}",
}


class TestAnything:
    @pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
    @pytest.mark.parametrize("call", CALLS)
    def test_bodies(self, call, body):
        """A body that is no answer is an error of ours, for every call."""
        with pytest.raises(VaultError):
            _answered(call, body)

    @pytest.mark.parametrize("call", CALLS)
    def test_sound(self, call):
        """The answers that the tests here begin with are taken."""
        _answered(call, CALLS[call][2])

    @settings(max_examples=60, deadline=None)
    @given(data=st.data())
    @pytest.mark.parametrize("call", CALLS)
    def test_members(self, call, data):
        """Any member may be anything: the answer is taken or refused with an error of ours."""
        answer = CALLS[call][2]
        path = data.draw(st.sampled_from(list(_paths(answer))))
        _tried(call, _changed(answer, path, data.draw(MEMBERS)))

    @settings(max_examples=150, deadline=None)
    @given(
        status=st.integers(200, 599),
        headers=st.lists(
            st.tuples(
                st.sampled_from(["retry-after", "date", "location", "content-type"]),
                st.text(max_size=40) | st.sampled_from(DATES),
            ),
            max_size=6,
        ),
        body=st.binary(max_size=40) | st.sampled_from([b'{"error": "\\ud800\\u0000"}', b'{"error": 1}']),
    )
    def test_responses(self, status, headers, body):
        """Any status with any headers, some of them twice, is an error of ours that can be printed."""
        _tried("decrypt", body, status, [(name, value.encode("utf-8", "replace")) for name, value in headers])


class TestDates:
    @pytest.mark.parametrize("text", DATES, ids=range(len(DATES)))
    def test_odd(self, text):
        """A date that is none, or of another age of the world, is no wish to wait and no error."""
        for wait in (retry_after_seconds(text, DATES[-1]), retry_after_seconds(DATES[-1], text)):
            assert wait is None or wait >= 0

    @settings(max_examples=500, deadline=None)
    @given(st.text(), st.none() | st.text())
    @example("0\x1f", None)  # white space to str.strip(), and none to float()
    def test_any(self, header, date):
        """Whatever the headers say."""
        wait = retry_after_seconds(header, date)
        assert wait is None or wait >= 0


def _answered(call, body, status=200, headers=()):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    transport = httpx.MockTransport(
        lambda request: httpx.Response(status, headers=list(headers), content=content)
    )
    vault = WorkOSVault(api_key="sk_test_x", base_url="https://vault.example", transport=transport)
    name, arguments, _ = CALLS[call]
    with stamina.set_testing(True, attempts=1):
        return getattr(vault, name)(*arguments)


def _tried(call, body, status=200, headers=()):
    message = ""
    try:
        _answered(call, body, status, headers)
    except VaultError as error:
        message = str(error)
    assert message.isprintable()


def _changed(answer, path, value):
    answer = deepcopy(answer)
    inner = answer
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return answer


def _paths(answer, path=()):
    if path:
        yield path
    for step, inner in answer.items() if isinstance(answer, dict) else enumerate(answer):
        if isinstance(inner, dict | list):
            yield from _paths(inner, (*path, step))
        else:
            yield (*path, step)
