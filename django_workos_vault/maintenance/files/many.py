"""The beginnings of many files of one storage, several at a time where each is a request."""

import errno
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from threading import Lock

from django.core.exceptions import SuspiciousOperation
from django.core.files.storage import Storage

from django_workos_vault.files.sources import at_once, opener_of
from django_workos_vault.maintenance.files.beginnings import Beginning, beginning_of
from django_workos_vault.maintenance.files.columns import STORAGE_FAULTS
from django_workos_vault.streams.sources import Source

#: A storage that failed so often, and gave nothing in between, is not asked for more: each may take minutes.
FAILURES_IN_A_ROW = 5
_MOST_THREADS = 32

_NO_FILE = (FileNotFoundError, IsADirectoryError, NotADirectoryError)
_NO_NAME = (SuspiciousOperation, ValueError)

#: The beginning, or what the storage raised.
Outcome = Beginning | Exception


class NotAsked(Exception):
    """The storage failed for others before, and was not asked for this one."""


def may_be_there(error: Exception) -> bool:
    """Whether there may be a file that a storage did not give: not where ``error`` says that there is none,
    or that it takes no such name."""
    if isinstance(error, (*_NO_FILE, *_NO_NAME)):
        return False
    return not isinstance(error, OSError) or error.errno != errno.ENAMETOOLONG


class Beginnings:
    """Reads the beginnings of files of ``storage``, until it fails :data:`FAILURES_IN_A_ROW` times.

    ``read`` is what reads one, and may read more of it.
    """

    def __init__(
        self, storage: Storage, read: Callable[[Callable[[], Source]], Beginning] = beginning_of
    ) -> None:
        self._storage = storage
        self._read_one = read
        self._threads = 1
        with suppress(Exception):  # settings that make no client, which each file tells
            self._threads = min(at_once(storage), _MOST_THREADS)
        self._lock = Lock()
        self._failures = 0
        #: the class of the error after which the storage is not asked for more
        self.gave_up = ""

    def of(self, names: Iterable[str]) -> Iterator[Outcome]:
        """Yield the outcome of each, in their order. No other thread than this one looks at ``names``."""
        if self._threads == 1:
            for name in names:
                yield self._read(self._opener(name))
            return
        pool = ThreadPoolExecutor(self._threads, "vault-files")
        try:
            asked: deque[Future[Outcome]] = deque()
            for name in names:
                asked.append(pool.submit(self._read, self._opener(name)))
                if len(asked) > self._threads:
                    yield asked.popleft().result()
            while asked:
                yield asked.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # whoever interrupts it waits for none of them

    def _opener(self, name: str) -> Callable[[], Source] | Exception:
        try:
            return opener_of(self._storage, name)
        except Exception as exc:  # a name that the storage does not take
            return exc

    def _read(self, opener: Callable[[], Source] | Exception) -> Outcome:
        if self.gave_up:
            return NotAsked(f"The storage failed {FAILURES_IN_A_ROW} times in a row ({self.gave_up}).")
        if isinstance(opener, Exception):
            return opener
        try:
            outcome: Outcome = self._read_one(opener)
        except Exception as exc:  # each storage has its own
            outcome = exc
        with self._lock:
            if not _is_failure(outcome):
                self._failures = 0
            else:
                self._failures += 1
                if self._failures >= FAILURES_IN_A_ROW and not self.gave_up:
                    self.gave_up = type(outcome).__name__
        return outcome


def _is_failure(outcome: Outcome) -> bool:
    """Whether it is the storage's, and not one file's. One that answers with a status below 500 is there."""
    if isinstance(outcome, Beginning | ConnectionError | TimeoutError):
        return not isinstance(outcome, Beginning)
    if isinstance(outcome, STORAGE_FAULTS):
        return False
    status = _status(outcome)
    return not isinstance(status, int) or not 400 <= status < 500 or status == 429


def _status(error: Exception) -> object:
    """Return the status of an answer, where the error of a client (boto's, Google's, Azure's) has one."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        return response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return getattr(error, "code", getattr(error, "status_code", None))
