"""Serve the plaintext of an encrypted file: downloads, previews, and video that a browser jumps about in."""

import mimetypes
from collections.abc import AsyncIterator, Iterator
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth.mixins import PermissionRequiredMixin
from django.core.handlers.asgi import ASGIRequest
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.utils.cache import get_conditional_response
from django.utils.http import content_disposition_header
from django.views.generic import View
from django.views.generic.detail import SingleObjectMixin

from django_workos_vault.exceptions import OUTAGES
from django_workos_vault.files.ranges import range_in_any_file, wanted_range
from django_workos_vault.streams.reader import SealedFile

__all__ = ["EncryptedFileView", "afile_response", "file_response"]

#: What a browser shows without running it. All else is a download, whatever was asked for.
_SHOWN = ("image/", "video/", "audio/", "application/pdf", "text/plain")
_NOT_SHOWN = ("image/svg+xml",)

_NOT_NOW = (FileNotFoundError, *OUTAGES)


class EncryptedFileView(PermissionRequiredMixin, SingleObjectMixin, View):
    """Serves the file of one row, found by ``pk`` or ``slug`` as any detail view does.

    ``field`` names the file field. A visitor needs ``permission_required``, the model's view permission
    unless given; narrow ``get_queryset()`` or extend ``has_permission()`` where rows have owners. Files are
    downloads, with the name they were uploaded with, unless ``as_attachment`` is False.
    """

    http_method_names = ["get", "head", "options"]
    field = ""
    as_attachment = True

    def get_permission_required(self) -> Any:
        """Return the permissions needed."""
        if self.permission_required is None:
            model = self.get_queryset().model
            return (f"{model._meta.app_label}.view_{model._meta.model_name}",)
        return super().get_permission_required()

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Answer with the file."""
        file = getattr(self.get_object(), self.field)
        if not file:
            raise Http404("There is no file.")
        return file_response(request, file, as_attachment=self.as_attachment)

    head = get


def file_response(
    request: HttpRequest,
    file: Any,
    *,
    filename: str | None = None,
    content_type: str | None = None,
    as_attachment: bool = True,
) -> HttpResponseBase:
    """Return a response with the plaintext of ``file``, or with the range of it that is asked for.

    ``file`` is a row's encrypted file, or what ``EncryptedStorage.open()`` or ``decrypt_stream()`` gave. It
    is closed with the response. ``Range``, ``If-Range``, ``If-None-Match`` and HEAD are honoured. A file that
    is not there is a 404, an outage of Vault a 503; one that cannot be opened raises EnvelopeError. Whether
    the visitor may see it is for the caller to know.
    """
    try:
        sealed = _sealed(file, request)
    except _NOT_NOW as exc:
        return _without_file(exc)
    return _closing_on_failure(request, sealed, filename, content_type, as_attachment)


async def afile_response(
    request: HttpRequest,
    file: Any,
    *,
    filename: str | None = None,
    content_type: str | None = None,
    as_attachment: bool = True,
) -> HttpResponseBase:
    """:func:`file_response` for async views: neither the storage nor Vault blocks the event loop."""
    try:
        if hasattr(file, "storage"):
            sealed = await file.storage.aopened(file.name, range_in_any_file(request.headers.get("Range")))
        else:
            sealed = await sync_to_async(_sealed)(file, request)
    except _NOT_NOW as exc:
        return _without_file(exc)
    answer = sync_to_async(_closing_on_failure)
    return await answer(request, _checked(sealed, file), filename, content_type, as_attachment)


def _without_file(failure: Exception) -> HttpResponse:
    if isinstance(failure, FileNotFoundError):
        raise Http404("There is no file.") from None
    return HttpResponse("The file cannot be opened right now.", status=503, content_type="text/plain")


def _closing_on_failure(
    request: HttpRequest, sealed: SealedFile, filename: str | None, content_type: str | None, attached: bool
) -> HttpResponseBase:
    try:
        name = "".join(c if c.isprintable() else "_" for c in filename or sealed.original_name)
        return _answer(request, sealed, name, content_type, attached)
    except BaseException:
        sealed.close()
        raise


def _answer(
    request: HttpRequest, file: SealedFile, filename: str, content_type: str | None, as_attachment: bool
) -> HttpResponseBase:
    size, etag = file.size, f'"{file.etag}"'
    kind = content_type or mimetypes.guess_type(filename)[0] or "application/octet-stream"
    shown = not as_attachment and kind.startswith(_SHOWN) and not kind.startswith(_NOT_SHOWN)
    headers = {
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-store",
        "Content-Disposition": content_disposition_header(not shown, filename or "file"),
        "Content-Encoding": "identity",  # GZipMiddleware would take the length and the ranges away
        "Content-Type": kind,
        "ETag": etag,
        "X-Content-Type-Options": "nosniff",
    }
    unchanged = get_conditional_response(request, etag=etag)
    if unchanged is not None:
        file.close()
        return unchanged
    asked = request.headers.get("Range") if request.method == "GET" else None
    if request.headers.get("If-Range", etag) != etag:
        asked = None
    try:
        part = wanted_range(asked, size)
    except ValueError:
        file.close()
        return HttpResponse(status=416, headers={**headers, "Content-Range": f"bytes */{size}"})
    start, stop = part or (0, size)
    headers["Content-Length"] = str(stop - start)
    if part:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    if request.method == "HEAD":
        file.close()
        return HttpResponse(headers=headers)
    body = (_AsyncPart if isinstance(request, ASGIRequest) else _SyncPart)(file, start, stop)
    return StreamingHttpResponse(body, status=206 if part else 200, headers=headers)


class _Part:
    """A range of a file, which is closed with the response."""

    def __init__(self, file: SealedFile, start: int, stop: int) -> None:
        self._file = file
        self._range = start, stop

    def close(self) -> None:
        self._file.close()


class _SyncPart(_Part):
    def __iter__(self) -> Iterator[bytes]:
        start, stop = self._range
        with self._file as file:
            yield from file.chunks(start=start, stop=stop)


class _AsyncPart(_Part):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        start, stop = self._range
        with self._file as file:
            async for piece in file.achunks(start=start, stop=stop):
                yield piece


def _sealed(file: Any, request: HttpRequest) -> SealedFile:
    if isinstance(file, SealedFile):
        return file
    wanted = range_in_any_file(request.headers.get("Range"))
    opened = file.storage.opened(file.name, wanted) if hasattr(file, "storage") else file.begun(wanted)
    return _checked(opened, file)


def _checked(opened: Any, file: Any) -> SealedFile:
    if not isinstance(opened, SealedFile):
        raise TypeError(f"{type(file).__name__} is no encrypted file.")
    return opened
