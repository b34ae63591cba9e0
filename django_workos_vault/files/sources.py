"""Where the stored bytes of a file are read: through the storage's file, or in ranges where it has those."""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any, BinaryIO, cast

from django.core.files.storage import Storage

from django_workos_vault.files.gcs import GoogleObject
from django_workos_vault.files.heads import heads
from django_workos_vault.files.s3 import S3Object
from django_workos_vault.streams.sources import FileSource, Source


def source_of(storage: Storage, name: str, wanted: tuple[int, int] | None = None) -> Source:
    """Return the stored bytes of the file ``name``. Raises FileNotFoundError, and what the storage does.

    ``wanted`` is the plaintext that will be read first, from where to where, if that is known.
    """
    return opener_of(storage, name, wanted)()


def opener_of(storage: Storage, name: str, wanted: tuple[int, int] | None = None) -> Callable[[], Source]:
    """Return what returns the same. Of several at a time, where :func:`at_once` says so, in other threads."""
    kind = _kind(storage)
    if kind is None:
        return lambda: FileSource(cast("BinaryIO", storage.open(name, "rb")))
    return partial(kind(storage, name).source, wanted)


def at_once(storage: Storage) -> int:
    """Return how many files of the storage are opened in the time of one, where each is a request.

    Those have a client that threads may share, and are found in the thread that asks. Of other storages
    nobody knows what of the current thread they look at, or whether they have one connection for all.
    """
    kind = _kind(storage)
    return 1 if kind is None else kind.at_once(storage)


def opens_with_the_first_read(storage: Storage, name: str) -> bool:
    """Whether a request is saved by opening the file ``name`` when it is known what is wanted of it."""
    kind = _kind(storage)
    return kind is not None and heads.get(kind(storage, name).key) is not None


def forget_source(storage: Storage, name: str) -> None:
    """Take note that the file ``name`` is deleted."""
    kind = _kind(storage)
    if kind is not None:
        heads.forget(kind(storage, name).key)


def _kind(storage: Storage) -> type[S3Object] | type[GoogleObject] | None:
    for module, name, kind in _KINDS:
        imported: Any = sys.modules.get(module)  # nobody has such a storage who did not import it
        if imported is not None and isinstance(storage, getattr(imported, name)):
            return kind
    return None


_KINDS: tuple[tuple[str, str, type[S3Object] | type[GoogleObject]], ...] = (
    ("storages.backends.s3", "S3Storage", S3Object),
    ("storages.backends.gcloud", "GoogleCloudStorage", GoogleObject),
)
