"""Objects on S3 (``storages.backends.s3``), whose own file downloads all of it first."""

from typing import Any

from django_workos_vault.files.ranged import Answer, RangedSource, Replaced


class S3Object:
    """One object. Made in the thread that serves a tenant: a storage may look there for where it is."""

    def __init__(self, storage: Any, name: str) -> None:
        from storages.utils import clean_name

        self._object = storage.bucket.Object(storage._normalize_name(clean_name(name)))
        self._given = {
            key: value
            for key, value in storage.get_object_parameters(name).items()
            if key in ("RequestPayer", "SSECustomerAlgorithm", "SSECustomerKey", "SSECustomerKeyMD5")
        }

    @property
    def key(self) -> tuple[str, str, str]:
        """Its endpoint, bucket and name there."""
        return self._object.meta.client.meta.endpoint_url, self._object.bucket_name, self._object.key

    def get(self, start: int, length: int, tag: str) -> Answer:
        """Return what :class:`~django_workos_vault.files.ranged.StoredObject` says: one request."""
        from botocore.exceptions import ClientError

        same = {"IfMatch": tag} if tag else {}
        try:
            got = self._object.get(Range=f"bytes={start}-{start + length - 1}", **same, **self._given)
        except ClientError as exc:
            status = exc.response["ResponseMetadata"]["HTTPStatusCode"]
            if status == 404:
                raise FileNotFoundError(f"File does not exist: {self._object.key}") from exc
            if status == 416 and not tag:
                return Answer(b"", "", 0)  # an object of no bytes has no range
            if status in (412, 416):
                raise Replaced from exc
            raise
        with got["Body"] as body:
            return Answer(body.read(), got["ETag"], int(got["ContentRange"].rpartition("/")[2]))

    def source(self, wanted: tuple[int, int] | None) -> RangedSource:
        """Return the stored bytes."""
        return RangedSource(self, wanted)

    @staticmethod
    def at_once(storage: Any) -> int:
        """Return how many requests the storage can make at a time: 10, unless its client was told."""
        return int(storage.connection.meta.client.meta.config.max_pool_connections)
