"""A master key in a file that its owner alone can read."""

import binascii
import logging
import os
import stat
import time
from base64 import b64decode, b64encode
from pathlib import Path
from tempfile import NamedTemporaryFile

from django_workos_vault.backends.local.wrapping import MASTER_KEY_BYTES
from django_workos_vault.exceptions import InvalidVaultConfiguration

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
#: how long another process may take from making a key file to writing it, where there are no links
_PATIENCE_SECONDS = 2.0
_log = logging.getLogger("django_workos_vault")


def load_or_create_key(path: Path) -> bytes:
    """Return the 32 bytes kept (as base64) in ``path``, made at random when there is no such file.

    Raises InvalidVaultConfiguration when the file cannot be read or made, when others than its owner may
    read or write it, or when it holds something else.
    """
    try:
        if not path.exists():
            _create(path)
        return _load(path)
    except OSError as exc:
        raise InvalidVaultConfiguration(f"The key file {path} cannot be used: {exc.strerror}.") from exc


def _create(path: Path) -> None:
    # A file that appears whole or not at all: another process never reads half a key, and of two that
    # start together both end with the key of the one that linked first. The file is made with mode 0600.
    with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.") as file:
        file.write(b64encode(os.urandom(MASTER_KEY_BYTES)) + b"\n")
        file.flush()
        os.fsync(file.fileno())
        try:
            os.link(file.name, path)
        except FileExistsError:
            return
        except OSError:  # a file system without hard links: FAT, some network shares
            file.seek(0)
            _create_without_links(path, file.read())


def _create_without_links(path: Path, content: bytes) -> None:
    # Of two processes one makes the file; the other may find it before the key stands in it, and waits.
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0), 0o600)
    except FileExistsError:
        return
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _content(path: Path) -> bytes:
    end = time.monotonic() + _PATIENCE_SECONDS
    while not (content := path.read_bytes()[:1024]) and time.monotonic() < end:
        time.sleep(0.02)
    return content


def _keeps_no_modes(directory: Path) -> bool:
    """Whether a file made here for its owner alone is open to others all the same, as on FAT."""
    try:
        with NamedTemporaryFile(dir=directory, prefix=".vault-mode.") as file:  # mode 0600
            return bool(stat.S_IMODE(os.fstat(file.fileno()).st_mode) & _OTHERS)
    except OSError:
        return False


def _load(path: Path) -> bytes:
    mode = stat.S_IMODE(path.stat().st_mode)
    if os.name == "posix" and mode & _OTHERS:
        if not _keeps_no_modes(path.parent):
            raise InvalidVaultConfiguration(
                f"The key file {path} is open to others than its owner (mode {mode:04o}). "
                f"Take it that others know the key; if you are sure they do not: chmod 600 {path}"
            )
        _log.warning("The file system keeps no permissions: whoever reaches the key file %s has it.", path)
    content = _content(path)
    try:
        key = b64decode(content.strip(), validate=True)
    except binascii.Error:
        key = b""
    if len(key) != MASTER_KEY_BYTES:
        raise InvalidVaultConfiguration(f"The key file {path} does not hold {MASTER_KEY_BYTES} base64 bytes.")
    return key
