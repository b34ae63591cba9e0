"""Requests in and answers out: the HTTP side of the emulator, on top of WSGI (PEP 3333)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from typing import IO, Any
from urllib.parse import parse_qsl

import msgspec

MAX_BODY_BYTES = 4 * 1024 * 1024


class Refused(Exception):
    """A request that gets the error answer ``{"error": message}``."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})


@dataclass(frozen=True)
class Answer:
    """One answer: ``body`` goes out as JSON, or is that already."""

    status: int
    body: Mapping[str, Any] | bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def status_line(self) -> str:
        """The status with its phrase, as WSGI wants it."""
        try:
            return f"{self.status} {HTTPStatus(self.status).phrase}"
        except ValueError:
            return f"{self.status} Unknown"


class Request:
    """One request, read from a WSGI environ."""

    def __init__(self, environ: Mapping[str, Any]) -> None:
        self._environ = environ
        self.method: str = environ["REQUEST_METHOD"]

    @cached_property
    def path(self) -> str:
        """The percent-decoded path."""
        path: str = self._environ.get("PATH_INFO", "")
        try:
            return path.encode("latin-1").decode()
        except UnicodeError:
            return path  # httpx.WSGITransport has decoded it already

    @cached_property
    def query(self) -> dict[str, str]:
        """The query parameters. Raises Refused (400) when they are not UTF-8."""
        try:
            pairs = parse_qsl(self._environ.get("QUERY_STRING", ""), keep_blank_values=True, errors="strict")
        except ValueError:
            raise Refused(400, "The query string cannot be read.") from None
        return dict(pairs)

    @property
    def bearer_token(self) -> bytes:
        """The token of the Authorization header, empty when there is none (RFC 6750, section 2.1)."""
        scheme, _, token = self._environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        return token.strip().encode() if scheme.lower() == "bearer" else b""

    def json(self) -> dict[str, Any]:
        """Return the body, a JSON object. Raises Refused (400) for anything else."""
        content_type = self._environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
        if content_type != "application/json":
            raise Refused(400, "The body must be sent as application/json.")
        try:
            body = msgspec.json.decode(self._read())
        except (msgspec.DecodeError, ValueError, RecursionError):
            raise Refused(400, "The body is not JSON.") from None
        if not isinstance(body, dict):
            raise Refused(400, "The body must be a JSON object.")
        return body

    def _read(self) -> bytes:
        declared: str = self._environ.get("CONTENT_LENGTH") or ""
        if not is_length(declared):
            raise Refused(400, "The body must come with a Content-Length.")
        length = int(declared)
        if length > MAX_BODY_BYTES:
            raise Refused(400, f"The body has more than {MAX_BODY_BYTES} bytes.")
        stream: IO[bytes] = self._environ["wsgi.input"]
        return stream.read(length)


def json_body(answer: Answer) -> bytes:
    """Return the bytes of ``answer``."""
    return answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()


def is_length(text: str) -> bool:
    """Return whether ``text`` can be a Content-Length (RFC 9110, section 8.6), of no absurd size."""
    return text.isascii() and text.isdecimal() and len(text) < 16
