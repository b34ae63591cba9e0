"""What a failed writing left behind is removed, and nothing that another one wrote."""

import posixpath
from contextlib import suppress

from django.core.files.storage import Storage

from django_workos_vault.files.sources import source_of

#: As much of a header as has its salt, which no other file has.
_TOLD_APART = 88


def remove_half(storage: Storage, name: str, started: bytes | None) -> None:
    """Remove what was written under ``name``: what ``started`` begins with, None where nothing was."""
    if started is None:
        return
    with suppress(Exception):  # the error under way says what matters
        if _remove_if_mine(storage, name, started):
            return
    with suppress(Exception):
        # Another one took the name meanwhile, and the storage chose one beside it.
        directory, last = posixpath.split(name)
        root = posixpath.splitext(last)[0]
        for other in storage.listdir(directory)[1]:
            if other.startswith(root) and other != last:
                _remove_if_mine(storage, posixpath.join(directory, other), started, at_least=_TOLD_APART)


def _remove_if_mine(storage: Storage, name: str, started: bytes, at_least: int = 0) -> bool:
    source = source_of(storage, name)
    try:
        stored = source.read_at(0, len(started))
    finally:
        source.close()
    mine = len(stored) >= at_least and started.startswith(stored)
    if mine:
        storage.delete(name)
    return mine
