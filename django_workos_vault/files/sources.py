"""Where the stored bytes of a file are read: through the storage's file, or in ranges where it has those."""

import sys
from typing import Any, BinaryIO, cast

from django.core.files.storage import Storage

from django_workos_vault.files.s3 import S3Source
from django_workos_vault.streams.sources import FileSource, Source


def source_of(storage: Storage, name: str) -> Source:
    """Return the stored bytes of the file ``name``. Raises FileNotFoundError, and what the storage does."""
    s3: Any = sys.modules.get("storages.backends.s3")  # nobody has such a storage who did not import it
    if s3 is not None and isinstance(storage, s3.S3Storage):
        return S3Source(storage, name)
    return FileSource(cast("BinaryIO", storage.open(name, "rb")))
