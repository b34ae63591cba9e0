"""Objects on Google's storage (``storages.backends.gcloud``), whose own file downloads all of it first."""

from typing import Any

from django_workos_vault.files.ranged import Answer, RangedSource, Replaced
from django_workos_vault.streams.header import MAGIC
from django_workos_vault.streams.sources import BytesSource, Source

#: Connections that the client keeps, which Google's own transfer manager shares among threads.
_CONNECTIONS = 10


class GoogleObject:
    """One object. Made in the thread that serves a tenant: a storage may look there for where it is."""

    def __init__(self, storage: Any, name: str) -> None:
        from storages.utils import clean_name

        self._bucket = storage.bucket
        self._name = storage._normalize_name(clean_name(name))
        self._encoded = False

    @property
    def key(self) -> tuple[str, str, str]:
        """Its bucket, of which there is one of that name, and its name there."""
        return "gs", self._bucket.name, self._name

    def get(self, start: int, length: int, tag: str) -> Answer:
        """Return what :class:`~django_workos_vault.files.ranged.StoredObject` says.

        Two requests where no version is asked for: what Google's client tells of a range does not say how
        long the whole is. So the tag of a version does, behind its number.
        """
        from google.api_core import exceptions

        try:
            if not tag:
                found = self._bucket.get_blob(self._name)
                if found is None:
                    raise FileNotFoundError(f"File does not exist: {self._name}")
                tag = f"{found.generation} {found.size}"
                self._encoded = bool(found.content_encoding)
                if not found.size:
                    return Answer(b"", tag, 0)
            generation, size = map(int, tag.split())
            blob = self._bucket.blob(self._name)
            data = blob.download_as_bytes(
                start=start,
                end=start + length - 1,
                if_generation_match=generation,
                raw_download=True,
                checksum=None,
            )
        except exceptions.NotFound as exc:
            raise FileNotFoundError(f"File does not exist: {self._name}") from exc
        except (exceptions.PreconditionFailed, exceptions.RequestRangeNotSatisfiable) as exc:
            raise Replaced from exc
        return Answer(data, tag, size)

    def source(self, wanted: tuple[int, int] | None) -> Source:
        """Return the stored bytes. A sealed ``.gz`` file says that it is compressed, and is not."""
        source = RangedSource(self, wanted)
        if self._encoded and source.read_at(0, len(MAGIC)) != MAGIC:
            return BytesSource(self._bucket.blob(self._name).download_as_bytes())
        return source

    @staticmethod
    def at_once(storage: Any) -> int:
        """Return how many requests the storage can make at a time."""
        return _CONNECTIONS
