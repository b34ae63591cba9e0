"""Where the stored bytes of a file are read: through the storage's file, or in ranges where it has those."""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any, BinaryIO, cast

from django.core.files.storage import Storage

from django_workos_vault.files.s3 import S3Source, connections_of, forget, place_of, was_read
from django_workos_vault.streams.sources import FileSource, Source


def source_of(storage: Storage, name: str, wanted: tuple[int, int] | None = None) -> Source:
    """Return the stored bytes of the file ``name``. Raises FileNotFoundError, and what the storage does.

    ``wanted`` is the plaintext that will be read first, from where to where, if that is known.
    """
    return opener_of(storage, name, wanted)()


def opener_of(storage: Storage, name: str, wanted: tuple[int, int] | None = None) -> Callable[[], Source]:
    """Return what returns the same. Of several at a time, where :func:`at_once` says so, in other threads."""
    if _on_s3(storage):
        return partial(S3Source, place_of(storage, name), wanted)
    return lambda: FileSource(cast("BinaryIO", storage.open(name, "rb")))


def at_once(storage: Storage) -> int:
    """Return how many files of the storage are opened in the time of one: of S3, where each is a request.

    Of other storages nobody knows what of the current thread they look at when they open a file.
    """
    return connections_of(storage) if _on_s3(storage) else 1


def opens_with_the_first_read(storage: Storage, name: str) -> bool:
    """Whether a request is saved by opening the file ``name`` when it is known what is wanted of it."""
    return _on_s3(storage) and was_read(storage, name)


def forget_source(storage: Storage, name: str) -> None:
    """Take note that the file ``name`` is deleted."""
    if _on_s3(storage):
        forget(storage, name)


def _on_s3(storage: Storage) -> bool:
    s3: Any = sys.modules.get("storages.backends.s3")  # nobody has such a storage who did not import it
    return s3 is not None and isinstance(storage, s3.S3Storage)
