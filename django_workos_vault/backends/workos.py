"""WorkOS Vault over HTTP: the only module that knows httpx.

Requests go to an httpx transport rather than through ``httpx.Client``. A client would write each URL, and
with it the names of objects, to the log; it could also follow a redirect, keep cookies or send a netrc
file's credentials. Here the API key goes to ``base_url`` and nowhere else.
"""

import asyncio
import ssl
import threading
import urllib.request
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from hashlib import sha256
from typing import TypeVar, cast
from urllib.parse import quote, urlencode

import httpx
import stamina

from django_workos_vault import __version__
from django_workos_vault.backends import forks, options, refusals
from django_workos_vault.backends.breaker import Breaker
from django_workos_vault.backends.calls import Call, Carried
from django_workos_vault.backends.causes import caused_by, without_frames
from django_workos_vault.backends.fleet import FleetLimiter
from django_workos_vault.backends.limiter import REQUESTS, RateLimiter
from django_workos_vault.backends.network import StepTimeout, keep_deadlines
from django_workos_vault.backends.refusals import Answer, Body, TooLong
from django_workos_vault.backends.remote import RemoteVault
from django_workos_vault.backends.retries import About, AttemptFailed, Deadline, RetryRule
from django_workos_vault.exceptions import VaultUnavailable

Result = TypeVar("Result")

#: Seconds after the deadline at which a task is cancelled: httpcore closes a connection whose handshake ran
#: out of time, but not one whose handshake was cancelled.
_LAST_STEP = 0.1

#: Failures that come before the request has left: Vault cannot have acted on it.
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)


class WorkOSVault(RemoteVault):
    """WorkOS Vault, or anything that speaks its API, at ``base_url``.

    ``timeout`` is in seconds for each step of one attempt (connect, send, each read of the answer),
    ``deadline`` in seconds for the whole call with its retries and waits. ``max_connections`` bounds the
    pool that all threads share, and that of each event loop. ``rate_limit_share`` (over 0, at most 1) is
    the part of Vault's 6,000 requests per minute that this process may use; with ``rate_limit_store``, a
    Redis address, it is the part of all processes together that use this key, store and share.
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
        self._limits = httpx.Limits(max_connections=options.count("max_connections", max_connections))
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
        own = RateLimiter(self._requests_allowed)
        self._limiter = own if self._store.text is None else FleetLimiter(own, self._store, self._budget)
        self._breaker = Breaker(self._deadline)
        self._pools = _Pools(self.base_url, self._limits, self._transport)

    def close(self) -> None:
        self._pools.close()

    def asks_again_in(self) -> float:
        return self._breaker.asks_again_in()

    def forget_outage(self) -> None:
        self._breaker.forget()

    def _send(self, call: Call[Result]) -> Result:
        deadline = Deadline(self._deadline)
        with self._breaker.enter(call.purpose) as passage:
            rule = RetryRule(deadline, repeatable=call.repeatable, once=passage.is_probe)
            try:
                for attempt in stamina.retry_context(rule, **RetryRule.BACKOFF):
                    rule.next_wait = attempt.next_wait
                    with attempt:
                        result = refusals.result(call, self._attempt(call, deadline))
                        passage.answered()
                        return result
            except AttemptFailed as failed:
                passage.failed(failed)
                raise failed.error from failed.__cause__
        raise AssertionError("unreachable")

    async def _asend(self, call: Call[Result]) -> Result:
        if self._transport is not None and not isinstance(self._transport, httpx.AsyncBaseTransport):
            return await asyncio.to_thread(self._send, call)
        deadline = Deadline(self._deadline)
        with self._breaker.enter(call.purpose) as passage:
            rule = RetryRule(deadline, repeatable=call.repeatable, once=passage.is_probe)
            try:
                async for attempt in stamina.retry_context(rule, **RetryRule.BACKOFF):
                    rule.next_wait = attempt.next_wait
                    with attempt:
                        result = refusals.result(call, await self._aattempt(call, deadline))
                        passage.answered()
                        return result
            except AttemptFailed as failed:
                passage.failed(failed)
                raise failed.error from failed.__cause__
        raise AssertionError("unreachable")

    def _attempt(self, call: Call[Result], deadline: Deadline) -> Answer:
        self._limiter.acquire(deadline)
        self._count_request()
        try:
            return self._exchange(call, deadline)
        except (httpx.HTTPError, TimeoutError, TooLong) as exc:
            raise self._failed(call, exc) from without_frames(exc)

    async def _aattempt(self, call: Call[Result], deadline: Deadline) -> Answer:
        await self._limiter.aacquire(deadline)
        self._count_request()
        try:
            async with asyncio.timeout(deadline.remaining() + _LAST_STEP):
                return await self._aexchange(call, deadline)
        except (httpx.HTTPError, TimeoutError, TooLong) as exc:
            raise self._failed(call, exc) from without_frames(exc)

    def _exchange(self, call: Call[Result], deadline: Deadline) -> Answer:
        response = self._pools.for_threads().handle_request(self._request(call, deadline))
        try:
            body = Body(call.max_answer, deadline)
            # Not iter_raw(), which refuses when a transport in a test has read the answer already.
            for part in cast(httpx.SyncByteStream, response.stream):
                body.add(part)
            return Answer(response.status_code, dict(response.headers), bytes(body.collected))
        finally:
            response.close()

    async def _aexchange(self, call: Call[Result], deadline: Deadline) -> Answer:
        transport = await self._pools.for_this_loop()
        response = await transport.handle_async_request(self._request(call, deadline))
        try:
            body = Body(call.max_answer, deadline)
            async for part in cast(httpx.AsyncByteStream, response.stream):
                body.add(part)
            return Answer(response.status_code, dict(response.headers), bytes(body.collected))
        finally:
            await response.aclose()

    def _request(self, call: Call[Result], deadline: Deadline) -> httpx.Request:
        query = f"?{urlencode(call.query, quote_via=quote)}" if call.query else ""
        headers = httpx.Headers(self._headers)
        if call.body is not None:
            headers["Content-Type"] = "application/json"
        return httpx.Request(
            call.method,
            f"{self.base_url}{call.path}{query}",
            headers=headers,
            content=call.content,
            extensions={"timeout": _StepTimeouts(self._timeout, deadline)},
        )

    def _count_request(self) -> None:
        with self._lock:
            self.requests_made += 1

    def _failed(self, call: Call[Result], exc: Exception) -> AttemptFailed:
        """Return what ``exc`` means: the one place where httpx's errors become ours."""
        carried_out: bool | None = not isinstance(exc, _NOT_SENT)
        about: About = "vault"
        if isinstance(exc, TooLong):
            about = "request"
            carried_out, what = None, f"the answer is longer than {call.max_answer} bytes"
        elif isinstance(exc, httpx.PoolTimeout):
            about = "nothing"
            what = f"no connection to {self.base_url} was free in time (max_connections)"
        elif isinstance(exc, httpx.TimeoutException | TimeoutError):
            what = f"{self.base_url} did not answer in time"
        elif isinstance(exc, httpx.ConnectError):
            what = f"{self.base_url} cannot be reached ({refusals.printable(str(exc))})"
            if caused_by(exc, ssl.SSLCertVerificationError):
                carried_out = None
        elif isinstance(exc, httpx.ProxyError):
            what = "the HTTPS proxy of this environment refused the connection"
        else:
            about = "vault" if call.repeatable else "nothing"
            what = f"{self.base_url} broke off, or does not speak HTTP ({type(exc).__name__})"
        return AttemptFailed(
            VaultUnavailable(refusals.sentence(call, what, doubtful=carried_out is not False)),
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


class _Pools:
    """The connections of one process: one pool for all threads, and one for each running event loop."""

    def __init__(self, base_url: str, limits: httpx.Limits, transport: httpx.BaseTransport | None) -> None:
        self._base_url = httpx.URL(base_url)
        self._limits = limits
        self._given = transport
        self._lock = threading.Lock()
        self._tls: ssl.SSLContext | None = None
        self._threads: httpx.HTTPTransport | None = None
        self._loops: dict[asyncio.AbstractEventLoop, _LoopPool] = {}

    def for_threads(self) -> httpx.BaseTransport:
        if self._given is not None:
            return self._given
        with self._lock:
            if self._threads is None:
                self._threads = httpx.HTTPTransport(
                    verify=self._tls_context(), limits=self._limits, proxy=self._proxy()
                )
                keep_deadlines(self._threads._pool)
            return self._threads

    async def for_this_loop(self) -> httpx.AsyncBaseTransport:
        if isinstance(self._given, httpx.AsyncBaseTransport):
            return self._given
        loop = asyncio.get_running_loop()
        with self._lock:
            pool = self._loops.get(loop)
            if pool is None:
                self._loops = {loop: pool for loop, pool in self._loops.items() if not loop.is_closed()}
                transport = httpx.AsyncHTTPTransport(
                    verify=self._tls_context(), limits=self._limits, proxy=self._proxy()
                )
                pool = self._loops[loop] = _LoopPool(transport, self._until_loop_ends(loop, transport))
        if not pool.watched:
            pool.watched = True
            await anext(pool.lifetime)
        return pool.transport

    async def _until_loop_ends(
        self, loop: asyncio.AbstractEventLoop, transport: httpx.AsyncHTTPTransport
    ) -> AsyncGenerator[None, None]:
        # asyncio closes asynchronous generators just before it closes their loop, which is the last
        # moment at which the loop's sockets can be closed. async_to_sync makes a loop for every call.
        try:
            yield
        finally:
            with self._lock:
                self._loops.pop(loop, None)
            await transport.aclose()

    def close(self) -> None:
        with self._lock:
            threads, self._threads = self._threads, None
        if threads is not None:
            threads.close()

    def _tls_context(self) -> ssl.SSLContext:
        if self._tls is None:
            https = self._base_url.scheme == "https"
            self._tls = httpx.create_ssl_context() if https else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        return self._tls

    def _proxy(self) -> str | None:
        # Over plain HTTP, which is allowed on loopback alone, a proxy would see the API key.
        if self._base_url.scheme != "https" or urllib.request.proxy_bypass(self._base_url.host):
            return None
        return urllib.request.getproxies().get("https")


@dataclass(slots=True)
class _LoopPool:
    transport: httpx.AsyncHTTPTransport
    lifetime: AsyncGenerator[None, None]
    watched: bool = False
