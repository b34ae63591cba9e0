"""A server on loopback that takes multipart uploads as S3 does, and keeps nothing of them."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


class _Sink(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    taken: list[int]

    def do_POST(self) -> None:
        self._drain()
        if self.path.endswith("?uploads"):
            body = b"<InitiateMultipartUploadResult><UploadId>one</UploadId></InitiateMultipartUploadResult>"
        else:
            body = b"<CompleteMultipartUploadResult><ETag>one</ETag></CompleteMultipartUploadResult>"
        self._answer(200, body)

    def do_PUT(self) -> None:
        self.taken.append(self._drain())  # of several threads
        self._answer(200)

    def do_HEAD(self) -> None:
        self._answer(404)

    def log_message(self, *args: Any) -> None:
        pass

    def _answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("ETag", '"one"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _drain(self) -> int:
        """Read the body, also in the chunks that botocore sends. Return how many bytes it had."""
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            length = left = int(self.headers.get("Content-Length") or 0)
            while left and (piece := self.rfile.read(min(left, 1 << 16))):
                left -= len(piece)
            return int(self.headers.get("X-Amz-Decoded-Content-Length") or length)
        taken = 0
        while match := re.match(rb"([0-9a-fA-F]+)", self.rfile.readline()):
            size = int(match[1], 16)
            self.rfile.read(size)
            taken += size
            if size == 0:
                while self.rfile.readline().strip():
                    pass
                break
            self.rfile.readline()
        return int(self.headers.get("X-Amz-Decoded-Content-Length") or taken)


@contextmanager
def sink() -> Iterator[tuple[str, Callable[[], int]]]:
    """Yield the server's URL, and what tells how many bytes it has taken."""
    handler = type("Sink", (_Sink,), {"taken": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", lambda: sum(handler.taken)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
