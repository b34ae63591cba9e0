"""Google's storage on loopback: an emulator, behind what notes, holds up or fails its requests."""

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from gcp_storage_emulator.server import create_server
from google.auth.credentials import AnonymousCredentials

GOOGLE = "storages.backends.gcloud.GoogleCloudStorage"


class Google:
    """Where it is, and what it was asked for: ``reads`` are the ranges, or "whole", of what was downloaded.

    ``met`` is called at each request, which takes ``delay`` seconds more; with ``fault`` none is answered
    well. It does what the emulator does not: it holds to ``ifGenerationMatch``, and tells of encodings.
    """

    def __init__(self, emulator: tuple[str, int]) -> None:
        self._emulator = emulator
        self.delay = 0.0
        self.fault = 0
        self.met: Callable[[], Any] | None = None
        self.requests: list[str] = []
        self.reads: list[str] = []
        handler = type("Handler", (_Handler,), {"google": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def options(self) -> dict[str, Any]:
        """Return those of a storage in it, where ``STORAGE_EMULATOR_HOST`` is the address."""
        return {"bucket_name": "files", "project_id": "tests", "credentials": AnonymousCredentials()}

    def ask(self, method: str, path: str, body: bytes = b"", headers: Any = ()) -> tuple[int, Any, bytes]:
        connection = http.client.HTTPConnection(*self._emulator, timeout=30)
        connection.request(method, path, body, dict(headers))
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        return answer.status, answer.getheaders(), data

    def answer(self, method: str, path: str, body: bytes, headers: Any) -> tuple[int, Any, bytes]:
        time.sleep(self.delay)
        if self.met is not None:
            self.met()
        if self.fault:
            return self.fault, [], b"{}"
        url = urlsplit(path)
        asked = parse_qs(url.query)
        self.requests.append(f"{method} {url.path}")
        if method == "GET" and asked.get("alt") == ["media"]:
            self.reads.append(headers.get("range") or "whole")
            status, _, told = self.ask("GET", url.path.removeprefix("/download"))
            if status == 200:
                found, wanted = json.loads(told), asked.get("ifGenerationMatch")
                if wanted not in (None, [found["generation"]]):
                    return 412, [], b"{}"
                encoding = (
                    [("Content-Encoding", found["contentEncoding"])] if found.get("contentEncoding") else []
                )
                status, told_with, data = self.ask(method, path, body, headers)
                return status, [*told_with, *encoding], data
        return self.ask(method, path, body, headers)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    google: Google

    def _pass_on(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(length)
        status, headers, data = self.google.answer(self.command, self.path, body, self.headers)
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in ("content-length", "transfer-encoding", "connection", "server", "date"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = _pass_on  # noqa: N815

    def log_message(self, *args: Any) -> None:
        """Nobody reads it."""


@contextmanager
def google_with_a_bucket() -> Iterator[Google]:
    server = create_server("127.0.0.1", 0, in_memory=True, default_bucket="files")
    server.start()
    google = Google(server._api._httpd.server_address[:2])
    yield google
    google.close()
    server.stop()
