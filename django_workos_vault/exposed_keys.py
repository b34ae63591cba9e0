"""API keys and local vaults' key files where they do not belong: among the files that git has, or will have.

Run over files by name as a pre-commit hook: ``python -m django_workos_vault.exposed_keys FILE...``.
"""

import re
import sys
from base64 import b64decode
from collections.abc import Collection, Iterator
from hashlib import sha256
from pathlib import Path

_CANDIDATE = re.compile(rb"(?<![A-Za-z0-9_])(sk_(?:test_|live_)?)([A-Za-z0-9_+/=-]+)")
#: a local vault's key file: 32 bytes as base64, and nothing else
_KEY_FILE = re.compile(rb"[A-Za-z0-9+/]{43}=\s*")
_KEY_FILE_AT_MOST = 64


def api_keys_in(path: Path, known_keys: Collection[bytes] = ()) -> Iterator[tuple[int, str]]:
    """Yield line number and prefix of each API key in a file: one of ``known_keys`` (SHA-256 digests), or
    ``sk_`` followed by what looks random."""
    if not _is_plain(path):
        return
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if b"sk_" not in line:  # nearly all: this is much faster than the expression
                    continue
                for prefix, rest in _CANDIDATE.findall(line):
                    if sha256(prefix + rest).digest() in known_keys or _looks_random(rest):
                        yield number, prefix.decode()
    except OSError:
        return


def is_key_file(path: Path) -> bool:
    """Whether a file holds what a ``LocalVault`` keeps in its ``key_file``."""
    try:
        if not _is_plain(path) or path.stat().st_size > _KEY_FILE_AT_MOST:
            return False
        content = path.read_bytes()
        return _KEY_FILE.fullmatch(content) is not None and len(b64decode(content)) == 32
    except (OSError, ValueError):
        return False


def main(names: list[str]) -> int:
    """Print where a key stands, for a hook before the commit. Returns the exit status: 1 where one does."""
    found = [
        f"{name}:{number}: an API key ({prefix}...) stands here. Read it from the environment."
        for name in names
        for number, prefix in api_keys_in(Path(name))
    ]
    found += [
        f"{name}: the key file of a local vault, which opens what it sealed. Have git ignore it."
        for name in names
        if is_key_file(Path(name))
    ]
    print("\n".join(found), end="\n" if found else "", file=sys.stderr)  # noqa: T201
    return 1 if found else 0


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()  # what it points to is in git itself or not; a submodule


def _looks_random(rest: bytes) -> bool:
    # Names such as sk_learn_models and placeholders such as sk_test_XXXXXXXXXXXXXXXX are no keys;
    # sk_example_ is how WorkOS's documentation begins the keys that it shows.
    return (
        len(rest) >= 16
        and not rest.startswith(b"example_")
        and len(set(rest)) >= 8
        and re.search(rb"[0-9A-Z]", rest) is not None
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
