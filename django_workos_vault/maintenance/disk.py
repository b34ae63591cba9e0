"""Free space of a disk, where it is one of this machine's: a server tells nothing of its own."""

import shutil
from pathlib import Path
from typing import Any

from django.core.files.storage import FileSystemStorage, Storage
from django.db import connections


def free_for_database(using: str) -> int | None:
    """Return the bytes free beside an SQLite file; None for memory and servers."""
    connection: Any = connections[using]
    if connection.vendor != "sqlite" or connection.is_in_memory_db():
        return None
    return _free(Path(connection.settings_dict["NAME"]))


def free_for_file(storage: Storage, name: str) -> int | None:
    """Return the bytes free beside a stored file; None where the storage is no folder."""
    return _free(Path(storage.path(name))) if isinstance(storage, FileSystemStorage) else None


def _free(beside: Path) -> int | None:
    try:
        return shutil.disk_usage(beside.parent).free
    except OSError:
        return None
