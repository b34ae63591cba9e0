"""A circuit breaker: after a failure of Vault itself nothing is sent for a while, and then one request."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType

from django_workos_vault.backends.errors import DOUBT
from django_workos_vault.backends.retries import AttemptFailed
from django_workos_vault.exceptions import VaultError, VaultRateLimited, VaultUnavailable

#: Seconds for which nothing is sent; longer, up to the second, where Vault itself asks for it.
PAUSE = 5.0
LONGEST_PAUSE = 60.0
#: Seconds after its deadline at which a call must have ended.
OVERTIME = 1.0


@dataclass(slots=True)
class _Outage:
    kind: type[VaultError]
    reason: str
    ends_at: float


class Breaker:
    """Shared by the threads of one process. No lock is held while a request is out.

    ``deadline`` is that of each call, in seconds. A call that tries Vault again and has said nothing when it
    is over, as its thread died, is taken for lost, and another one may try.
    """

    def __init__(self, deadline: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._longest_call = deadline + OVERTIME
        self._clock = clock
        self._lock = threading.Lock()
        self._outage: _Outage | None = None
        self._probe: Passage | None = None
        self._probe_lost_at = 0.0
        self._answers = 0
        #: why Vault itself failed last, and when
        self.last_failure: tuple[str, datetime | None] = ("", None)

    def enter(self, purpose: str) -> "Passage":
        """Return the passage of a call that may be sent, for ``with``.

        Raises the kind of error that Vault failed with when the call is to wait, saying the first reason.
        """
        with self._lock:
            outage = self._outage
            if outage is None:
                return Passage(self)
            now = self._clock()
            if now >= outage.ends_at and (self._probe is None or now >= self._probe_lost_at):
                self._probe, self._probe_lost_at = Passage(self, is_probe=True), now + self._longest_call
                return self._probe
            wait = outage.ends_at - now
        again = f"in {wait:.1f} seconds" if wait > 0 else "by another call at this moment"
        error = outage.kind(
            f"Could not {purpose}: not sent, as Vault failed a moment ago; it is tried again {again}. "
            f"What failed: {outage.reason}"
        )
        if isinstance(error, VaultRateLimited):
            error.retry_after = max(0.0, wait)
        raise error

    def asks_again_in(self) -> float:
        """Return the seconds until a request is sent again, 0 when it is now."""
        outage = self._outage
        return 0.0 if outage is None else max(0.0, outage.ends_at - self._clock())

    def forget(self) -> None:
        """Send again, as if nothing had failed."""
        with self._lock:
            self._outage = self._probe = None

    def _answered(self) -> None:
        self._answers += 1  # two at once may count for one: whether there were any is all that matters
        if self._outage is not None:
            self.forget()

    def _failed(self, failed: AttemptFailed) -> None:
        pause = max(PAUSE, min(failed.retry_after or 0.0, LONGEST_PAUSE))
        reason = str(failed.error).removesuffix(DOUBT)
        self.last_failure = reason, datetime.now(UTC)
        with self._lock:
            outage, ends_at = self._outage, self._clock() + pause
            if outage is None:
                self._outage = _Outage(type(failed.error), reason, ends_at)
            else:
                outage.ends_at = max(outage.ends_at, ends_at)

    def _left(self, passage: "Passage") -> None:
        with self._lock:
            if self._probe is passage:
                self._probe = None


class Passage:
    """One call on its way. ``with`` sees to it that a call that ends without a word is not waited for."""

    def __init__(self, breaker: Breaker, *, is_probe: bool = False) -> None:
        self._breaker = breaker
        self._answers_before = breaker._answers
        self.is_probe = is_probe

    def __enter__(self) -> "Passage":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.is_probe:
            self._breaker._left(self)

    def answered(self) -> None:
        """Say that Vault gave an answer, be it a refusal."""
        self._breaker._answered()

    def failed(self, failed: AttemptFailed) -> None:
        """Say how the last attempt of the call failed. What is about the request alone is an answer too.

        Where others were answered while this call was tried, Vault is there, and fails with this one alone.
        """
        if failed.about == "vault":
            if isinstance(failed.error, VaultUnavailable) and self._breaker._answers != self._answers_before:
                failed.error.others_answered = True
            else:
                self._breaker._failed(failed)
        elif failed.about == "request":
            self.answered()
