"""A storage in front of another one, which has the files: names, times and places are the other's."""

from datetime import datetime
from os import PathLike
from typing import Any

from django.core.files.storage import Storage


class OuterStorage(Storage):
    """Asks ``inner`` for all that an heir does not do itself."""

    @property
    def inner(self) -> Storage:
        """The storage that has the files."""
        raise NotImplementedError

    def exists(self, name: str) -> bool:
        """Whether the inner storage has it."""
        return self.inner.exists(name)

    def listdir(self, path: str) -> Any:
        """Return what the inner storage has there."""
        return self.inner.listdir(path)

    def get_accessed_time(self, name: str) -> datetime:
        """Return what the inner storage knows."""
        return self.inner.get_accessed_time(name)

    def get_created_time(self, name: str) -> datetime:
        """Return what the inner storage knows."""
        return self.inner.get_created_time(name)

    def get_modified_time(self, name: str) -> datetime:
        """Return what the inner storage knows."""
        return self.inner.get_modified_time(name)

    def get_valid_name(self, name: str) -> str:
        """Return what the inner storage makes of it."""
        return self.inner.get_valid_name(name)

    def get_alternative_name(self, file_root: str, file_ext: str) -> str:
        """Return what the inner storage makes of it."""
        return self.inner.get_alternative_name(file_root, file_ext)

    def get_available_name(self, name: str, max_length: int | None = None) -> str:
        """Return what the inner storage makes of it."""
        return self.inner.get_available_name(name, max_length=max_length)

    def generate_filename(self, filename: str | PathLike[str]) -> str:
        """Return what the inner storage makes of it."""
        return self.inner.generate_filename(filename)
