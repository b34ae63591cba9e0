"""When a failed request is sent again: what is safe, how long to wait, and when to give up."""

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from random import uniform
from typing import Any, ClassVar, Literal

from django_workos_vault.exceptions import VaultError

ATTEMPTS = 8
FIRST_WAIT = 0.1
LONGEST_WAIT = 2.0
JITTER = 0.4
#: RFC 9110, section 5.6.7: the three forms have 24 to 33 characters
LONGEST_DATE = 64


#: What a failure tells of: Vault itself, or the way there; the one request; or nothing, as it was this
#: client's, or a hiccup that a call which may be repeated would have got over.
About = Literal["vault", "request", "nothing"]


class AttemptFailed(Exception):
    """One attempt failed with ``error``.

    ``carried_out`` is False when Vault cannot have acted on the request, True when it may have, and None
    when sending it again would fail in the same way. ``retry_after`` is Vault's wish, in seconds.
    """

    def __init__(
        self,
        error: VaultError,
        *,
        carried_out: bool | None,
        retry_after: float | None = None,
        about: About = "vault",
    ) -> None:
        super().__init__(str(error))
        self.error = error
        self.carried_out = carried_out
        self.retry_after = retry_after
        self.about = about


class Deadline:
    """The seconds one call has left, for attempts and waits together; it began ``begun`` seconds ago."""

    def __init__(self, seconds: float, begun: float = 0.0) -> None:
        self._ends_at = time.monotonic() + seconds - begun

    def remaining(self) -> float:
        return max(0.0, self._ends_at - time.monotonic())


class RetryRule:
    """The backoff hook given to stamina for one call: whether to try again, and after how long.

    The caller keeps ``next_wait`` at stamina's next backoff, so that a wait which would outlast the
    deadline is not begun. ``once`` is for a call that only finds out whether Vault is back; ``is_awaited``
    says whether anybody would still be told.
    """

    BACKOFF: ClassVar[dict[str, Any]] = {
        "attempts": ATTEMPTS,
        "timeout": None,
        "wait_initial": FIRST_WAIT,
        "wait_max": LONGEST_WAIT,
        "wait_jitter": JITTER,
    }

    def __init__(
        self,
        deadline: Deadline,
        *,
        repeatable: bool,
        once: bool = False,
        is_awaited: Callable[[], bool] = lambda: True,
    ) -> None:
        self._deadline = deadline
        self._once = once
        self._is_awaited = is_awaited
        self._repeatable = repeatable
        self.next_wait = FIRST_WAIT

    def __call__(self, error: Exception) -> bool | float:
        if self._once or not isinstance(error, AttemptFailed) or error.carried_out is None:
            return False
        if not self._is_awaited():
            return False
        if error.carried_out and not self._repeatable:
            return False
        if error.retry_after is None:
            return self.next_wait + JITTER < self._deadline.remaining()
        # Everybody who was turned away is told the same moment: spread them out behind it.
        wait = error.retry_after + uniform(0, JITTER)  # noqa: S311 - not a secret
        return wait if wait < self._deadline.remaining() else False


def retry_after_seconds(header: str | None, date: str | None = None) -> float | None:
    """Return the seconds that a ``Retry-After`` asks for, or None (RFC 9110, section 10.2.3).

    A date is compared with ``date``, the answer's ``Date``, rather than with this machine's clock.
    """
    if header is None:
        return None
    text = header.strip()
    if re.fullmatch(r"[0-9]{1,9}", text):
        return float(text)
    moment = _http_date(header)
    if moment is None:
        return None
    return max(0.0, (moment - (_http_date(date) or datetime.now(UTC))).total_seconds())


def _http_date(text: str | None) -> datetime | None:
    if text is None or len(text) > LONGEST_DATE:
        return None
    try:
        moment = parsedate_to_datetime(text)
    # The email package's parser is made for mail that people wrote, and trips in many ways.
    except (ValueError, OverflowError, TypeError, LookupError):
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
