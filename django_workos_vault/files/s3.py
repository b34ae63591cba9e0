"""Ranges of an object on S3 (``storages.backends.s3``), whose own file downloads all of it first."""

from threading import Lock
from typing import Any

from django_workos_vault.exceptions import MalformedEnvelope

#: The first request: the header, most times, and the first frame.
_AT_FIRST = 1 << 17
#: Reading on where the last request ended asks for this much more, and twice as much each time, up to that.
_AHEAD, _MOST_AHEAD = 1 << 18, 1 << 22


class S3Source:
    """An object on S3, read in ranges, a few large ones where it is read from one end to the other.

    All of them are of one version of the object: an error tells when it was replaced meanwhile.
    """

    def __init__(self, storage: Any, name: str) -> None:
        self._object = storage.bucket.Object(storage._normalize_name(_clean(name)))
        self._given = {
            key: value
            for key, value in storage.get_object_parameters(name).items()
            if key in ("RequestPayer", "SSECustomerAlgorithm", "SSECustomerKey", "SSECustomerKeyMD5")
        }
        self._lock = Lock()
        self._ahead = _AHEAD
        self._at = 0
        self._tag = ""
        self.size = 0
        self._held = self._get(0, _AT_FIRST)

    def read_at(self, offset: int, length: int) -> bytes:
        """Return what a source does."""
        with self._lock:
            end = min(offset + length, self.size)
            begin = offset - self._at
            if begin < 0 or begin > len(self._held):
                return self._elsewhere(offset, end)
            if end > self._at + len(self._held):
                self._read_on(begin, end)
                begin = 0
            return self._held[begin : begin + max(0, end - offset)]

    def close(self) -> None:
        """Nothing is open between two requests."""
        self._held = b""

    def _read_on(self, begin: int, end: int) -> None:
        held_end = self._at + len(self._held)
        stop = min(self.size, max(end, held_end + self._ahead))
        self._held = self._held[begin:] + self._get(held_end, stop - held_end)
        self._at += begin
        self._ahead = min(2 * self._ahead, _MOST_AHEAD)

    def _elsewhere(self, offset: int, end: int) -> bytes:
        got = self._get(offset, end - offset) if end > offset else b""
        if end < self.size:  # the end is looked at once, and what was held is wanted again
            self._at, self._held, self._ahead = offset, got, _AHEAD
        return got

    def _get(self, start: int, length: int) -> bytes:
        from botocore.exceptions import ClientError

        same = {"IfMatch": self._tag} if self._tag else {}
        try:
            got = self._object.get(Range=f"bytes={start}-{start + length - 1}", **same, **self._given)
        except ClientError as exc:
            status = exc.response["ResponseMetadata"]["HTTPStatusCode"]
            if status == 404:
                raise FileNotFoundError(f"File does not exist: {self._object.key}") from exc
            if status == 412:
                raise MalformedEnvelope("The file was replaced while it was read. Open it again.") from exc
            if status == 416 and not self._tag:
                return b""  # an object of no bytes has no range
            raise
        self._tag = got["ETag"]
        self.size = int(got["ContentRange"].rpartition("/")[2])
        with got["Body"] as body:
            data: bytes = body.read()
        return data


def _clean(name: str) -> str:
    from storages.utils import clean_name

    cleaned: str = clean_name(name)
    return cleaned
