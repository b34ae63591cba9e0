"""WorkOS Vault over HTTP: the only module that knows httpx.

Requests go to an httpx transport rather than through ``httpx.Client``. A client would write each URL, and
with it the names of objects, to the log; it could also follow a redirect, keep cookies or send a netrc
file's credentials. Here the API key goes to ``base_url`` and nowhere else.
"""

import logging
import ssl
import threading
import urllib.request
from hashlib import sha256
from typing import TypeVar, cast

import httpx
import stamina

from django_workos_vault.backends import errors, forks, options
from django_workos_vault.backends.base import VaultBackend
from django_workos_vault.backends.breaker import Breaker
from django_workos_vault.backends.carried import Arguments, Carried
from django_workos_vault.backends.causes import caused_by, without_frames
from django_workos_vault.backends.errors import Answer, Body, TooLong
from django_workos_vault.backends.fleet import FleetLimiter
from django_workos_vault.backends.health import Health
from django_workos_vault.backends.network import StepTimeout, keep_deadlines
from django_workos_vault.backends.observing import Observed
from django_workos_vault.backends.operations import Operation
from django_workos_vault.backends.rate_limit import REQUESTS, RateLimiter
from django_workos_vault.backends.retries import About, AttemptFailed, Deadline, RetryRule
from django_workos_vault.backends.threads import is_awaited, waited
from django_workos_vault.exceptions import InvalidVaultConfiguration, VaultUnavailable
from django_workos_vault.version import __version__

__all__ = ["WorkOSVault"]

# Its message is its event's name, and all else an attribute of the record: no line for a terminal of a
# project that configures no logging.
logging.getLogger("stamina").addHandler(logging.NullHandler())

Result = TypeVar("Result")

#: Failures that come before the request has left: Vault cannot have acted on it.
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)


class WorkOSVault(VaultBackend):
    """WorkOS Vault, or anything that speaks its API, at ``base_url``.

    ``timeout`` is in seconds for each step of one attempt (connect, send, each read of the answer),
    ``deadline`` in seconds for the whole call with its retries and waits. ``max_connections`` bounds the
    pool that all threads share, and the threads in which the calls of async code run. ``rate_limit_share``
    (over 0, at most 1) is the part of Vault's 6,000 requests per minute that this process may use; with
    ``rate_limit_store``, a Redis address, it is the part of all processes together that use this key, store
    and share.
    ``api_key`` may be missing until the first call, which raises InvalidVaultConfiguration then.
    ``transport`` takes the network's place in tests (``httpx.WSGITransport``). Raises
    InvalidVaultConfiguration, naming the option that is wrong.

    Retries: a call that may be repeated without harm (keys, reads) is; creating, updating and deleting an
    object only when the request cannot have been carried out. See ``docs/decisions.md``.
    """

    #: without a trailing slash; empty until it has been checked, as an error then may show the repr
    base_url: str = ""

    def __init__(
        self,
        *,
        api_key: str | None = None,
        base_url: str = "https://api.workos.com",
        timeout: float = 5.0,
        deadline: float = 15.0,
        max_connections: int = 10,
        rate_limit_share: float = 0.5,
        rate_limit_store: str | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        key, store = Carried(api_key), Carried(rate_limit_store)
        del api_key, rate_limit_store  # a traceback shows the locals of this frame
        options.check_api_key(key)
        self.api_key_environment = options.environment(key)
        if not key.text:
            self.lacks = "api_key is missing: give the WorkOS API key, for example from the environment."
        # httpx.Headers hides the key in its repr.
        self._headers = httpx.Headers(
            {
                "Authorization": f"Bearer {key.text}",
                "Accept": "application/json",
                "Accept-Encoding": "identity",
                "User-Agent": f"django-workos-vault/{__version__}",
            }
        )
        self.base_url = options.base_url(base_url)
        self._timeout = options.positive("timeout", timeout)
        self.deadline = self._deadline = options.positive("deadline", deadline)
        self.async_threads = options.count("max_connections", max_connections)
        self._limits = httpx.Limits(max_connections=max_connections)
        self._requests_allowed = max(1, int(REQUESTS * options.share("rate_limit_share", rate_limit_share)))
        self._store = store
        self._budget = sha256(f"django_workos_vault {key.text}".encode()).hexdigest()[:16]
        self._transport = transport
        self._begin()
        forks.watch(self)

    def __repr__(self) -> str:
        return f"<WorkOSVault {self.base_url}>"

    def _begin(self) -> None:
        """Start with no connections, in a new object or in a forked process."""
        self.requests_made = 0
        self._lock = threading.Lock()
        own = self._own_limiter = RateLimiter(self._requests_allowed)
        self._limiter = own if self._store.text is None else FleetLimiter(own, self._store, self._budget)
        self._breaker = Breaker(self._deadline)
        self._connections = _Connections(self.base_url, self._limits, self._transport)

    def close(self) -> None:
        super().close()
        self._connections.close()

    def asks_again_in(self) -> float:
        return self._breaker.asks_again_in()

    def health(self) -> Health:
        failure, failed_at = self._breaker.last_failure
        return Health(
            asks_again_in=self._breaker.asks_again_in(),
            last_failure=failure,
            failed_at=failed_at,
            requests=self._own_limiter.begun() if self._store.text is None else None,
            requests_allowed=self._requests_allowed,
        )

    def forget_outage(self) -> None:
        self._breaker.forget()

    def call(self, operation: Operation[Result], arguments: Arguments) -> Result:
        operation.check(arguments)
        if self.lacks:
            raise InvalidVaultConfiguration(self.lacks)
        deadline = Deadline(self._deadline, begun=waited())
        with Observed(self.observer, operation.name), self._breaker.enter(operation.purpose) as passage:
            rule = RetryRule(
                deadline, repeatable=operation.repeatable, once=passage.is_probe, is_awaited=is_awaited
            )
            try:
                for attempt in stamina.retry_context(rule, **RetryRule.BACKOFF):
                    rule.next_wait = attempt.next_wait
                    with attempt:
                        answer = self._attempt(operation, arguments, deadline)
                        result = errors.result(operation, arguments, answer)
                        passage.answered()
                        return result
            except AttemptFailed as failed:
                # One that nobody awaits has not been tried again, and may have met a hiccup.
                if is_awaited() or not deadline.remaining():
                    passage.failed(failed)
                raise failed.error from failed.__cause__
        raise AssertionError("unreachable")

    def _attempt(self, operation: Operation[Result], arguments: Arguments, deadline: Deadline) -> Answer:
        if not deadline.remaining():
            raise self._failed(operation, httpx.PoolTimeout("spent waiting for a thread"))
        self._limiter.acquire(deadline)
        self._count_request()
        try:
            return self._exchange(operation, arguments, deadline)
        except (httpx.HTTPError, TimeoutError, TooLong) as exc:
            raise self._failed(operation, exc) from without_frames(exc)

    def _exchange(self, operation: Operation[Result], arguments: Arguments, deadline: Deadline) -> Answer:
        # No frame of ours holds the request: its repr shows the URL, and with it the name of an object.
        transport = self._connections.transport()
        response = transport.handle_request(self._request(operation, arguments, deadline))
        try:
            body = Body(operation.longest_answer, deadline)
            # Not iter_raw(), which refuses when a transport in a test has read the answer already.
            for part in cast(httpx.SyncByteStream, response.stream):
                body.add(part)
            return Answer(response.status_code, dict(response.headers), bytes(body.collected))
        finally:
            response.close()

    def _request(
        self, operation: Operation[Result], arguments: Arguments, deadline: Deadline
    ) -> httpx.Request:
        headers = httpx.Headers(self._headers)
        if operation.has_body:
            headers["Content-Type"] = "application/json"
        return httpx.Request(
            operation.method,
            f"{self.base_url}{operation.target(arguments)}",
            headers=headers,
            content=operation.content(arguments),
            extensions={"timeout": _StepTimeouts(self._timeout, deadline)},
        )

    def _count_request(self) -> None:
        with self._lock:
            self.requests_made += 1

    def _failed(self, operation: Operation[Result], exc: Exception) -> AttemptFailed:
        """Return what ``exc`` means: the one place where httpx's errors become ours."""
        carried_out: bool | None = not isinstance(exc, _NOT_SENT)
        about: About = "vault"
        if isinstance(exc, TooLong):
            about = "request"
            carried_out, what = None, f"the answer is longer than {operation.longest_answer} bytes"
        elif isinstance(exc, httpx.PoolTimeout):
            about = "nothing"
            what = f"no connection to {self.base_url} was free in time (max_connections)"
        elif isinstance(exc, httpx.TimeoutException | TimeoutError):
            what = f"{self.base_url} did not answer in time"
        elif isinstance(exc, httpx.ConnectError):
            what = f"{self.base_url} cannot be reached ({errors.printable(str(exc))})"
            if caused_by(exc, ssl.SSLCertVerificationError):
                carried_out = None
        elif isinstance(exc, httpx.ProxyError):
            what = "the HTTPS proxy of this environment refused the connection"
        else:
            about = "vault" if operation.repeatable else "nothing"
            what = f"{self.base_url} broke off, or does not speak HTTP ({type(exc).__name__})"
        return AttemptFailed(
            VaultUnavailable(errors.sentence(operation, what, doubtful=carried_out is not False)),
            carried_out=carried_out,
            about=about,
        )


class _StepTimeouts(dict[str, float]):
    """httpx's timeouts of one attempt, each cut to what the deadline leaves when its step begins."""

    def __init__(self, seconds: float, deadline: Deadline) -> None:
        self._deadline = deadline
        super().__init__(dict.fromkeys(("connect", "read", "write", "pool"), seconds))

    def get(self, step: str, default: object = None) -> StepTimeout:
        return StepTimeout(self[step], self._deadline)


class _Connections:
    """The pool of connections that all threads of one process share, opened when it is needed."""

    def __init__(self, base_url: str, limits: httpx.Limits, transport: httpx.BaseTransport | None) -> None:
        self._base_url = httpx.URL(base_url)
        self._limits = limits
        self._given = transport
        self._lock = threading.Lock()
        self._pool: httpx.HTTPTransport | None = None

    def transport(self) -> httpx.BaseTransport:
        if self._given is not None:
            return self._given
        with self._lock:
            if self._pool is None:
                # Making a context for https reads all the certificates, which plain http has no use for.
                https = self._base_url.scheme == "https"
                tls = httpx.create_ssl_context() if https else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                self._pool = httpx.HTTPTransport(verify=tls, limits=self._limits, proxy=self._proxy())
                keep_deadlines(self._pool._pool)
            return self._pool

    def close(self) -> None:
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()

    def _proxy(self) -> str | None:
        # Over plain HTTP, which is allowed on loopback alone, a proxy would see the API key.
        if self._base_url.scheme != "https" or urllib.request.proxy_bypass(self._base_url.host):
            return None
        return urllib.request.getproxies().get("https")
