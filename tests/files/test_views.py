"""The plaintext over HTTP: whole, in ranges, and only for those who may see it."""

import os
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Permission, User
from django.core.files.base import ContentFile
from django.test import AsyncClient, Client, RequestFactory, override_settings
from django.urls import reverse

from django_workos_vault.exceptions import TamperedEnvelope
from django_workos_vault.files import EncryptedStorage
from django_workos_vault.files.ranges import wanted_range
from django_workos_vault.files.views import file_response
from tests.files.models import Report, Scan

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.files.urls")]

TEXT = os.urandom(200_000)


@pytest.fixture
def url() -> str:
    scan = Scan.objects.create(file=ContentFile(TEXT, name="Röntgen 1.mp4"))
    return reverse("scan", args=[scan.pk])


def body(response: Any) -> bytes:
    return b"".join(response.streaming_content) if response.streaming else response.content


def test_the_whole_file(client: Client, url: str) -> None:
    """Without a range the file is sent whole, as a download with the name it was uploaded with."""
    response = client.get(url)
    assert response.status_code == 200
    assert response["Content-Length"] == str(len(TEXT))
    assert response["Content-Type"] == "video/mp4"
    assert response["Accept-Ranges"] == "bytes"
    assert response["Cache-Control"] == "private, no-store"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Content-Disposition"] == "attachment; filename*=utf-8''R%C3%B6ntgen%201.mp4"
    assert body(response) == TEXT


RANGES = {
    "bytes=0-0": (0, 1),
    "bytes=0-": (0, 200_000),
    "bytes=65535-65537": (65535, 65538),
    "bytes=199999-": (199_999, 200_000),
    "bytes=199999-5000000": (199_999, 200_000),
    "bytes=-1": (199_999, 200_000),
    "bytes=-5000000": (0, 200_000),
    "BYTES = 5 - 9": (5, 10),
}


@pytest.mark.parametrize("asked", RANGES)
def test_ranges(client: Client, url: str, asked: str) -> None:
    """A range is 206 with those bytes, and says where they are."""
    start, stop = RANGES[asked]
    response = client.get(url, headers={"range": asked})
    assert response.status_code == 206
    assert response["Content-Range"] == f"bytes {start}-{stop - 1}/200000"
    assert response["Content-Length"] == str(stop - start)
    assert body(response) == TEXT[start:stop]


@pytest.mark.parametrize("asked", ["bytes=200000-", "bytes=200000-200001", "bytes=-0", "bytes=9999999999-"])
def test_ranges_outside(client: Client, url: str, asked: str) -> None:
    """A range of which nothing is there is 416, and says how long the file is."""
    response = client.get(url, headers={"range": asked})
    assert (response.status_code, response["Content-Range"]) == (416, "bytes */200000")
    assert response.content == b""


@pytest.mark.parametrize(
    "asked",
    ["", "bytes=", "bytes=-", "bytes=b-", "lines=0-1", "bytes=0-1,5-6", "bytes=5-4", "bytes=" + "9" * 5000],
)
def test_what_is_no_single_range(client: Client, url: str, asked: str) -> None:
    """Several ranges, other units and nonsense are answered with the whole file, as a server may."""
    response = client.get(url, headers={"range": asked})
    assert response.status_code == 200
    assert body(response) == TEXT


def test_an_empty_file(client: Client) -> None:
    """A file of no bytes is sent, and no range is in it."""
    scan = Scan.objects.create(file=ContentFile(b"", name="nothing"))
    url = reverse("scan", args=[scan.pk])
    assert body(client.get(url)) == b""
    for asked in ("bytes=0-", "bytes=-1", "bytes=0-0"):
        assert client.get(url, headers={"range": asked}).status_code == 416
    with pytest.raises(ValueError, match="not in the file"):
        wanted_range("bytes=0-", 0)


def test_conditions(client: Client, url: str) -> None:
    """If-Range gives the range of the same sealing alone, If-None-Match spares a copy, HEAD sends no byte."""
    etag = client.head(url).headers["ETag"]
    pk = int(url.split("/")[-2])
    same = client.get(url, headers={"range": "bytes=0-9", "if-range": etag})
    assert (same.status_code, body(same)) == (206, TEXT[:10])
    for other in ('"other"', "Wed, 21 Oct 2026 07:28:00 GMT", f"W/{etag}"):
        response = client.get(url, headers={"range": "bytes=0-9", "if-range": other})
        assert (response.status_code, body(response)) == (200, TEXT)
    assert client.get(url, headers={"if-none-match": etag}).status_code == 304
    head = client.head(url, headers={"range": "bytes=0-9"})
    assert (head.status_code, head["Content-Length"], head.content) == (200, "200000", b"")
    Scan.objects.get(pk=pk).file.save("b.mp4", ContentFile(TEXT))
    for headers in ({"if-none-match": etag}, {"range": "bytes=0-9", "if-range": etag}):
        response = client.get(url, headers=headers)
        assert (response.status_code, body(response)) == (200, TEXT)


@pytest.mark.parametrize(
    ("kind", "shown"),
    [
        ("image/png", True),
        ("application/pdf", True),
        ("video/mp4", True),
        ("text/html", False),
        ("image/svg+xml", False),
        ("application/xhtml+xml", False),
        ("text/xml", False),
    ],
)
def test_only_what_cannot_run_is_shown(client: Client, url: str, kind: str, shown: bool) -> None:
    """Asked to be shown, what could run scripts on the site is a download all the same."""
    response = client.get(url, {"inline": "1", "type": kind})
    assert response["Content-Disposition"].startswith("inline" if shown else "attachment")
    assert body(response) == TEXT


def test_who_may_see_it(client: Client) -> None:
    """The view wants the model's view permission; without, visitors log in and users are refused."""
    report = Report.objects.create(clinic="org_1", file=ContentFile(TEXT, name="Befund.pdf"))
    url = report.file.url
    assert url == reverse("report", args=[report.pk])
    assert client.get(url).status_code == 302
    user = User.objects.create_user("ada")
    client.force_login(user)
    assert client.get(url).status_code == 403
    user.user_permissions.add(Permission.objects.get(codename="view_report"))
    response = client.get(url, headers={"range": "bytes=-5"})
    assert (response.status_code, body(response)) == (206, TEXT[-5:])
    assert "Befund.pdf" in response["Content-Disposition"]
    assert client.post(url).status_code == 405
    other = Report.objects.create(clinic="org_1")
    assert client.get(reverse("report", args=[other.pk])).status_code == 404
    report.file.storage.delete(report.file.name)
    assert client.get(url).status_code == 404


def test_an_outage(client: Client, remote_vault: Any, settings: Any) -> None:
    """While Vault answers nobody, or not this API key, the file is a 503, which says no more."""
    scan = Scan.objects.create(file=ContentFile(TEXT, name="a"))
    refused = dict(settings.WORKOS_VAULTS["default"])
    refused["OPTIONS"] = {**refused["OPTIONS"], "api_key": "sk_test_wrong"}
    with override_settings(WORKOS_VAULTS={"default": refused}):
        response = client.get(reverse("scan", args=[scan.pk]))
    assert (response.status_code, response.content) == (503, b"The file cannot be opened right now.")
    assert body(client.get(reverse("scan", args=[scan.pk]))) == TEXT


def test_a_file_at_fault(client: Client, url: str, media: Any) -> None:
    """A frame that was changed ends the answer before a byte of it is sent."""
    stored = media / Scan.objects.get().file.name
    raw = bytearray(stored.read_bytes())
    raw[1024 + 65552 + 5] ^= 1
    stored.write_bytes(raw)
    response = client.get(url)
    pieces = iter(response.streaming_content)  # type: ignore[attr-defined]
    assert next(pieces) == TEXT[:65536]
    with pytest.raises(TamperedEnvelope, match="Frame 1"):
        next(pieces)
    response = client.get(url, headers={"range": "bytes=140000-"})
    assert body(response) == TEXT[140_000:]


def test_an_async_server(url: str) -> None:
    """Under ASGI the file is streamed without a synchronous iterator."""

    async def ask() -> bytes:
        response = await AsyncClient().get(url, headers={"range": "bytes=100000-"})
        assert response.is_async
        return b"".join([piece async for piece in response])  # type: ignore[attr-defined]

    assert async_to_sync(ask)() == TEXT[100_000:]


def test_middleware_that_compresses(client: Client, url: str, settings: Any) -> None:
    """GZipMiddleware leaves ranges and lengths alone."""
    settings.MIDDLEWARE = ["django.middleware.gzip.GZipMiddleware", *settings.MIDDLEWARE]
    response = client.get(url, headers={"range": "bytes=0-999", "accept-encoding": "gzip"})
    assert (response.status_code, response["Content-Length"]) == (206, "1000")
    assert body(response) == TEXT[:1000]


def test_other_files(rf: RequestFactory, media: Any) -> None:
    """What a storage opened is served too; a plain file is refused."""
    storage = EncryptedStorage("default")
    name = storage.save("a.txt", ContentFile(b"text"))
    response = file_response(rf.get("/"), storage.open(name), filename="b.txt", as_attachment=False)
    assert body(response) == b"text"
    assert response["Content-Disposition"] == 'inline; filename="b.txt"'
    scan = Scan.objects.create(plain=ContentFile(b"x", name="x"))
    with pytest.raises((AttributeError, TypeError)):
        file_response(rf.get("/"), scan.plain)
