"""Async code opens and serves files without blocking the event loop."""

import threading
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, storages
from django.http import Http404
from django.test import AsyncRequestFactory

from django_workos_vault import vaults
from django_workos_vault.emulator import RunningEmulator
from django_workos_vault.exceptions import (
    DecryptionForbidden,
    MalformedEnvelope,
    VaultUnavailable,
    WouldBlockEventLoop,
    WrongBinding,
)
from django_workos_vault.files import EncryptedStorage
from django_workos_vault.files.views import afile_response
from django_workos_vault.testing import local_vaults
from tests.admin.test_outage import fail
from tests.files.models import Report, Scan

pytestmark = pytest.mark.django_db
SECRET = b"the left hand is broken" * 10_000


def cold(model: Any = Scan, **fields: Any) -> Any:
    """A row with a file whose key is not in memory."""
    row = model.objects.create(file=ContentFile(SECRET, name="hand.txt"), **fields)
    vaults["default"].forget_keys()
    return model.objects.get(pk=row.pk)


async def whole(row: Any) -> bytes:
    await row.file.aopen()
    try:
        return b"".join([piece async for piece in row.file.file])
    finally:
        row.file.close()


async def without_await(row: Any) -> bytes:
    with row.file.open() as file:
        return file.read()  # type: ignore[no-any-return]


@pytest.mark.parametrize(("model", "fields"), [(Scan, {}), (Report, {"clinic": "org_1"})])
def test_a_view_that_forgets_to_await_fails_in_tests(model: Any, fields: Any) -> None:
    """Where a vault pretends to be remote, opening a file cold in an event loop raises; aopen() does not."""
    with local_vaults():
        row = cold(model, **fields)
        with pytest.raises(WouldBlockEventLoop):
            async_to_sync(without_await)(row)
        assert async_to_sync(whole)(row) == SECRET
        assert async_to_sync(without_await)(row) == SECRET  # the key is in memory by now


def test_the_loop_waits_for_nothing(remote_vault: RunningEmulator) -> None:
    """A file is opened in threads, with one request to Vault."""
    row = cold()
    loop_thread: list[int] = []
    asked_in: list[int] = []

    class Watched(FileSystemStorage):
        def _open(self, name: str, mode: str = "rb") -> Any:
            asked_in.append(threading.get_ident())
            return super()._open(name, mode)

    row.file.field.storage, before = Watched(), row.file.field.storage

    async def read() -> bytes:
        loop_thread.append(threading.get_ident())
        return await whole(row)

    requests = vaults["default"].stats().requests
    try:
        assert async_to_sync(read)() == SECRET
    finally:
        row.file.field.storage = before
    assert asked_in
    assert set(asked_in).isdisjoint(loop_thread)
    assert vaults["default"].stats().requests == requests + 1


def test_the_errors_are_those_of_sync_code(remote_vault: RunningEmulator, media: Any) -> None:
    """A file that is gone, foreign or another row's, a vault that is away, opening switched off."""
    cold(Report, clinic="org_1")
    row = cold()
    with vaults["default"].decryption_forbidden(), pytest.raises(DecryptionForbidden):
        async_to_sync(row.file.aopen)()
    fail(remote_vault)
    with pytest.raises(VaultUnavailable):
        async_to_sync(row.file.aopen)()
    stored = media / row.file.name
    Report.objects.update(clinic="org_2")
    with pytest.raises(WrongBinding):
        async_to_sync(Report.objects.get().file.aopen)()
    stored.write_bytes(b"%PDF-1.7")
    with pytest.raises(MalformedEnvelope):
        async_to_sync(row.file.aopen)()
    stored.unlink()
    with pytest.raises(FileNotFoundError):
        async_to_sync(row.file.aopen)()
    with pytest.raises(ValueError, match="no file"):
        async_to_sync(Scan().file.aopen)()


def test_a_storage_for_all_files() -> None:
    """EncryptedStorage has the same, and what it opens is a file like any other."""
    with local_vaults() as vault:
        storage = EncryptedStorage(storages["default"])
        name = storage.save("a.txt", ContentFile(SECRET))
        vault.forget_keys()

        async def read() -> bytes:
            with await storage.aopen(name) as file:
                assert (file.original_name, file.size) == ("a.txt", len(SECRET))
                file.seek(5)
                return file.read()  # type: ignore[no-any-return]

        assert async_to_sync(read)() == SECRET[5:]


@pytest.mark.parametrize("given", ["row", "storage"])
def test_an_async_view(given: str) -> None:
    """It awaits the answer, which is the same as a sync view's: ranges, and what is not there."""
    with local_vaults():
        row = cold()

        async def get(**headers: str) -> tuple[int, bytes]:
            request = AsyncRequestFactory().get("/", headers=headers)
            file = row.file if given == "row" else await row.file.storage.aopen(row.file.name)
            response: Any = await afile_response(request, file)
            pieces = [piece async for piece in response.streaming_content]
            return response.status_code, b"".join(pieces)

        assert async_to_sync(get)() == (200, SECRET)
        assert async_to_sync(get)(range="bytes=100000-100009") == (206, SECRET[100_000:100_010])


def test_an_async_view_without_a_file(remote_vault: RunningEmulator, media: Any) -> None:
    """No file is a 404, an outage a 503."""
    row = cold()
    fail(remote_vault)
    request = AsyncRequestFactory().get("/")
    assert async_to_sync(afile_response)(request, row.file).status_code == 503
    (media / row.file.name).unlink()
    with pytest.raises(Http404):
        async_to_sync(afile_response)(request, row.file)
