"""A master key in a file that its owner alone can read."""

import binascii
import os
import stat
from base64 import b64decode, b64encode
from pathlib import Path
from tempfile import NamedTemporaryFile

from django_workos_vault.backends.local.wrapping import MASTER_KEY_BYTES
from django_workos_vault.exceptions import InvalidVaultConfiguration

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


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


def _load(path: Path) -> bytes:
    with path.open("rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        if os.name == "posix" and mode & _OTHERS:
            raise InvalidVaultConfiguration(
                f"The key file {path} is open to others than its owner (mode {mode:04o}). "
                f"Take it that others know the key; if you are sure they do not: chmod 600 {path}"
            )
        content = file.read(1024)
    try:
        key = b64decode(content.strip(), validate=True)
    except binascii.Error:
        key = b""
    if len(key) != MASTER_KEY_BYTES:
        raise InvalidVaultConfiguration(f"The key file {path} does not hold {MASTER_KEY_BYTES} base64 bytes.")
    return key
