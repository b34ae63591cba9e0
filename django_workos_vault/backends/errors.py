"""From an HTTP answer to a result or a typed error, answers that are not Vault's included."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit

from django_workos_vault.backends.answers import ContextMismatch
from django_workos_vault.backends.carried import Arguments
from django_workos_vault.backends.decoding import Mismatch, error_text
from django_workos_vault.backends.operations import Operation
from django_workos_vault.backends.retries import About, AttemptFailed, Deadline, retry_after_seconds
from django_workos_vault.exceptions import (
    VaultAuthenticationError,
    VaultConflict,
    VaultContextMismatch,
    VaultError,
    VaultNotFound,
    VaultPermissionDenied,
    VaultRateLimited,
    VaultRequestError,
    VaultUnavailable,
)

Result = TypeVar("Result")

LONGEST_QUOTE = 200
DOUBT = " Vault may have carried it out all the same."

_ERRORS: Mapping[int, tuple[type[VaultError], str]] = {
    401: (
        VaultAuthenticationError,
        "Vault does not accept the API key; is it revoked, or of another environment?",
    ),
    403: (VaultPermissionDenied, "the API key may not do this, or the key's owner has withdrawn it"),
    404: (VaultNotFound, "Vault holds nothing by that id or name"),
    408: (VaultUnavailable, "Vault did not get the whole request in time"),
    409: (VaultConflict, "the name is taken, or the object changed since the expected version"),
    429: (VaultRateLimited, "the API key's rate limit is used up"),
}


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, read to its end. Header names are in lower case."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class TooLong(Exception):
    """The answer is longer than any answer of Vault's."""


@dataclass(slots=True)
class Body:
    """An answer's body as it comes in, kept within its length and the call's deadline."""

    longest: int
    deadline: Deadline
    collected: bytearray = field(default_factory=bytearray, repr=False)

    def add(self, part: bytes) -> None:
        """Take the next part. Raises TooLong, or TimeoutError when the deadline has passed."""
        self.collected += part
        if len(self.collected) > self.longest:
            raise TooLong
        if not self.deadline.remaining():
            raise TimeoutError


def result(operation: Operation[Result], arguments: Arguments, answer: Answer) -> Result:
    """Return what ``answer`` says. Raises AttemptFailed with the error it means instead."""
    if not 200 <= answer.status < 300:
        raise _refusal(operation, answer)
    try:
        return operation.answer.read(answer.body, arguments)
    except Mismatch as mismatch:
        problem = mismatch.with_traceback(None)
    # Raised outside the handler, from no frames: the reader's hold the answer, which may be a key.
    raise AttemptFailed(_unusable(operation, answer, problem), carried_out=None, about="request")


def _unusable(operation: Operation[Any], answer: Answer, problem: Mismatch) -> VaultError:
    if isinstance(problem, ContextMismatch):
        what = f"Vault answers for another key context than it was asked to use ({problem})"
        return VaultContextMismatch(sentence(operation, what))
    content_type = printable(answer.headers.get("content-type", "none"))
    what = (
        f"{problem} (status {answer.status}, content type {content_type}); "
        "is that Vault, or a proxy in between?"
    )
    return VaultUnavailable(sentence(operation, what, doubtful=True))


def sentence(operation: Operation[Any], what: str, *, doubtful: bool = False) -> str:
    """Say that ``operation`` failed and why; ``doubtful`` when Vault may have carried it out all the same."""
    return f"Could not {operation.purpose}: {what}.{DOUBT if doubtful and not operation.repeatable else ''}"


def printable(text: str) -> str:
    """Return ``text`` fit for a message: one line, bounded, without anything that could be a key."""
    text = re.sub(r"sk_[!-~]+|[A-Za-z0-9+/=_-]{40,}", "[...]", text)
    text = "".join(character if character.isprintable() else " " for character in text)
    return text if len(text) <= LONGEST_QUOTE else f"{text[:LONGEST_QUOTE]}..."


def _refusal(operation: Operation[Any], answer: Answer) -> AttemptFailed:
    status = answer.status
    retry_after = retry_after_seconds(answer.headers.get("retry-after"), answer.headers.get("date"))
    if status < 400:
        return AttemptFailed(
            VaultUnavailable(sentence(operation, _redirect(answer), doubtful=True)), carried_out=None
        )
    kind, what = _ERRORS.get(status, (VaultRequestError, "Vault calls the request invalid"))
    if status >= 500:
        kind, what = VaultUnavailable, "Vault, or a proxy in front of it, failed"
    told = error_text(answer.body) if operation.quotable else None
    what = f"{what} (status {status})" + (f". It says: {printable(told).rstrip('.')}" if told else "")
    error = kind(sentence(operation, what, doubtful=status >= 500))
    about: About = "vault" if status >= 500 or status in (401, 408, 429) else "request"
    if status >= 500 and not operation.repeatable:
        about = "nothing"
    if isinstance(error, VaultRateLimited):
        error.retry_after = retry_after
    carried_out = {408: False, 429: False}.get(status, True if status >= 500 else None)
    return AttemptFailed(error, carried_out=carried_out, retry_after=retry_after, about=about)


def _redirect(answer: Answer) -> str:
    try:
        host = urlsplit(answer.headers.get("location", "")).hostname
    except ValueError:
        host = None
    to = f" to {printable(host)}" if host else ""
    return (
        f"the answer is a redirect{to} (status {answer.status}). Redirects are not followed, as the API key "
        "must not go anywhere else; correct base_url"
    )
