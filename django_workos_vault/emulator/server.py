"""Serves the emulator over HTTP/1.1 with keep-alive, one thread a connection, and goes away cleanly."""

import socket
import threading
from contextlib import suppress
from email.message import Message
from io import BufferedIOBase
from socketserver import TCPServer, ThreadingMixIn
from types import TracebackType
from typing import IO, Any, Self, cast
from wsgiref.headers import Headers
from wsgiref.simple_server import ServerHandler, WSGIRequestHandler, WSGIServer

from django_workos_vault.emulator.app import Emulator
from django_workos_vault.emulator.messages import is_length

_IDLE_SECONDS = 60.0
_LINGER_SECONDS = 1.0
_MAX_DRAINED_BYTES = 16 * 1024 * 1024
_CHUNK_BYTES = 65536


class EmulatorServer:
    """Serves ``app`` on ``host`` and ``port`` (0 takes a free one) in a thread, from start to stop.

    Works as a context manager.
    """

    def __init__(self, app: Emulator, host: str = "127.0.0.1", port: int = 0) -> None:
        self._server = _Server((host, port), app)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        """The base URL, without a slash at its end."""
        host, port = self._server.server_name, self._server.server_port
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def start(self) -> Self:
        """Begin to answer."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Close every connection, and return when no thread is left."""
        self._server.app.faults.end_latency()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._server.close_connections()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class _Server(ThreadingMixIn, WSGIServer):
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], app: Emulator) -> None:
        self.connections: dict[threading.Thread, socket.socket] = {}
        self.app = app
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        # HTTPServer would look the host's name up, which can take seconds.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()

    def process_request(self, request: Any, client_address: Any) -> None:
        thread = threading.Thread(
            target=self.process_request_thread, args=(request, client_address), daemon=True
        )
        self.connections[thread] = request
        thread.start()

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.connections.pop(threading.current_thread(), None)

    def close_connections(self) -> None:
        for thread, connection in list(self.connections.items()):
            with suppress(OSError):  # the client may have been faster
                connection.shutdown(socket.SHUT_RDWR)
            thread.join()


class _Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _IDLE_SECONDS
    wbufsize = -1
    disable_nagle_algorithm = True
    error_content_type = "application/json"
    error_message_format = '{"error": "%(explain)s"}'
    server: _Server

    def finish(self) -> None:
        with suppress(OSError):  # the client may have hung up
            super().finish()

    def handle(self) -> None:
        self.close_connection = False
        while not self.close_connection:
            try:
                self.handle_one_request()
            except (ConnectionError, TimeoutError):
                self.close_connection = True

    def handle_one_request(self) -> None:
        self.raw_requestline = self.rfile.readline(65537)
        if len(self.raw_requestline) > 65536:
            self.requestline = self.request_version = self.command = ""
            self.send_error(414)
            self.close_connection = True
        elif not self.raw_requestline or not self.parse_request():
            self.close_connection = True
        else:
            self._run_app()

    def _run_app(self) -> None:
        # A body that the application did not read would be taken for the next request.
        body = _Body(self.rfile, self.headers)
        stdin, stdout = cast(IO[bytes], body), cast(IO[bytes], self.wfile)
        responder = _Responder(stdin, stdout, self.get_stderr(), self.get_environ(), multithread=True)
        responder.request_handler = self
        responder.body = body
        responder.run(self.server.app)
        self.wfile.flush()
        if not body.drain():
            self.close_connection = True
            self._close_after_reading()

    def _close_after_reading(self) -> None:
        # Closing with bytes unread resets the connection, and the client may lose the answer: RFC 9112,
        # section 9.6.
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            self.connection.settimeout(_LINGER_SECONDS)
            for _ in range(_MAX_DRAINED_BYTES // _CHUNK_BYTES):
                if not self.connection.recv(_CHUNK_BYTES):
                    break

    def handle_expect_100(self) -> bool:
        answered = super().handle_expect_100()
        self.wfile.flush()
        return answered

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing: a request line may hold an object's name."""


class _Responder(ServerHandler):
    http_version = "1.1"
    request_handler: WSGIRequestHandler
    headers: Headers
    body: "_Body"

    def cleanup_headers(self) -> None:
        super().cleanup_headers()
        if not self.body.ends_where_the_next_begins():
            self.headers["Connection"] = "close"


class _Body:
    """The body of one request: reading it ends where the next request begins."""

    def __init__(self, stream: BufferedIOBase, headers: Message) -> None:
        self._stream = stream
        length = headers.get("Content-Length", "0")
        self._framed = is_length(length) and "Transfer-Encoding" not in headers
        self._left = int(length) if self._framed else 0

    def read(self, size: int = -1) -> bytes:
        wanted = self._left if size < 0 else min(size, self._left)
        self._left -= wanted
        return self._stream.read(wanted)

    def drain(self) -> bool:
        """Read what is left. Return whether the connection can take another request."""
        if not self.ends_where_the_next_begins():
            return False
        while self._left:
            if not self.read(_CHUNK_BYTES):
                return False
        return True

    def ends_where_the_next_begins(self) -> bool:
        """Whether the end of this body is known, and near enough to read up to it."""
        return self._framed and self._left <= _MAX_DRAINED_BYTES
