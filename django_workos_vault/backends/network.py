"""Connections of threads that keep to a call's deadline, however slowly the other side sends.

httpcore gives each read the same time again, and a server that drips bytes, sends provisional answers
without end, or takes a step in the handshake now and then, never lets one run out. Here each step of a
connection is cut to what is left.
"""

import socket
import ssl
from collections.abc import Iterable
from functools import partial
from typing import Any

import httpcore

from django_workos_vault.backends.retries import Deadline
from django_workos_vault.backends.waiting import within

#: Bytes that are sent in one step. A socket that takes any takes this many, so a step is one wait.
_AT_ONCE = 16 * 1024


class StepTimeout(float):
    """The seconds that one step may take, which travel through httpcore along with the deadline."""

    deadline: Deadline

    def __new__(cls, seconds: float, deadline: Deadline) -> "StepTimeout":
        timeout = super().__new__(cls, max(0.001, min(seconds, deadline.remaining())))
        timeout.deadline = deadline
        return timeout


def keep_deadlines(pool: httpcore.ConnectionPool) -> None:
    """Have the connections of ``pool``, which has none yet, keep to the deadline in each StepTimeout."""
    if not isinstance(vars(pool).get("_network_backend"), httpcore.NetworkBackend):
        raise TypeError("this release of httpcore keeps its network elsewhere")
    pool._network_backend = _DeadlineBackend()


class _DeadlineBackend(httpcore.SyncBackend):
    """httpcore's network, with an end to every step."""

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first address of ``host`` that answers, which is looked up in time as well."""
        look_up = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        try:
            addresses = within(_left(timeout, httpcore.ConnectTimeout), look_up)
        except TimeoutError as exc:
            raise httpcore.ConnectTimeout("looking up the address takes too long") from exc
        except (OSError, UnicodeError) as exc:
            raise httpcore.ConnectError(str(exc)) from exc
        failure: Exception = httpcore.ConnectError("the host has no address")
        for *_, address in addresses:
            left = _left(timeout, httpcore.ConnectTimeout)
            try:
                stream = super().connect_tcp(str(address[0]), port, left, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as exc:
                failure = exc
            else:
                return _DeadlineStream(stream, timeout)
        raise failure


class _DeadlineStream(httpcore.NetworkStream):
    """A connection whose reads and writes end by the deadline that comes with their timeout."""

    def __init__(self, stream: httpcore.NetworkStream, timeout: float | None) -> None:
        self._stream = stream
        self._latest = timeout

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), _AT_ONCE):
            part = buffer[start : start + _AT_ONCE]
            self._stream.write(part, self._left(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        left = self._left(timeout, httpcore.ConnectTimeout)
        return _DeadlineStream(self._stream.start_tls(ssl_context, server_hostname, left), self._latest)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)

    def _left(self, timeout: float | None, too_late: type[Exception]) -> float:
        # A SOCKS proxy is talked to without any timeout: what it was connected with holds on.
        self._latest = timeout or self._latest
        return _left(self._latest, too_late)


def _left(timeout: float | None, too_late: type[Exception]) -> float:
    """Return the seconds for a step that begins now. Raises ``too_late`` when there are none."""
    if not isinstance(timeout, StepTimeout):
        raise TypeError("every step of a connection here comes with its deadline")
    left = min(float(timeout), timeout.deadline.remaining())
    if left <= 0:
        raise too_late("the deadline has passed")
    return left
