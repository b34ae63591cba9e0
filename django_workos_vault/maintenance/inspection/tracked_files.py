"""No API key in the files that git tracks."""

import os
import re
import subprocess
from collections.abc import Collection, Iterator
from hashlib import sha256
from pathlib import Path

from django_workos_vault.maintenance.inspection.findings import Finding

_CANDIDATE = re.compile(rb"(?<![A-Za-z0-9_])(sk_(?:test_|live_)?)([A-Za-z0-9_+/=-]+)")
_ADVICE = (
    "Revoke the key in the WorkOS dashboard, for git keeps it in its history; read the new one from the "
    "environment."
)


class _NoCheckout(Exception):
    """git cannot list files here, for the reason given."""


def inspect_tracked_files(directory: Path, known_keys: Collection[bytes]) -> Iterator[Finding]:
    """Yield a finding for each line with an API key in the checkout around ``directory``.

    A key is one of ``known_keys`` (SHA-256 digests), or ``sk_`` followed by what looks random. The files are
    read as they are in the working tree; nothing of a key but its prefix is told.
    """
    try:
        top, names = _tracked(directory)
    except _NoCheckout as exc:
        yield Finding("tracked files", str(directory), "skipped", f"Not searched for API keys: {exc}")
        return
    found = False
    for name in names:
        for number, prefix in _keys_in(top / os.fsdecode(name), known_keys):
            found = True
            where = f"{os.fsdecode(name)}:{number}"
            yield Finding(
                "tracked files", where, "problem", f"An API key ({prefix}...) stands here.", _ADVICE
            )
    if not found:
        yield Finding("tracked files", str(top), "ok", f"No API key in {len(names)} files.")


def _tracked(directory: Path) -> tuple[Path, list[bytes]]:
    top = Path(os.fsdecode(_git(directory, "rev-parse", "--show-toplevel").rstrip(b"\n")))
    return top, [name for name in _git(top, "ls-files", "-z").split(b"\0") if name]


def _git(directory: Path, *arguments: str) -> bytes:
    # A checkout may be somebody else's: of its configuration, nothing that runs a program is used here. In a
    # git hook, variables point to another index.
    command = ["git", "-C", str(directory), "-c", "core.fsmonitor=false", *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(command, capture_output=True, env=environment, timeout=60, check=False)  # noqa: S603
    except FileNotFoundError:
        raise _NoCheckout("git is not installed.") from None
    except subprocess.TimeoutExpired:
        raise _NoCheckout("git did not answer within a minute.") from None
    if done.returncode:
        lines = done.stderr.decode(errors="replace").splitlines() or ["no reason given"]
        raise _NoCheckout(f"git says: {lines[0].removeprefix('fatal: ')}")
    return done.stdout


def _keys_in(path: Path, known_keys: Collection[bytes]) -> Iterator[tuple[int, str]]:
    if path.is_symlink() or not path.is_file():  # what it points to is tracked itself or not; a submodule
        return
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                for prefix, rest in _CANDIDATE.findall(line):
                    if sha256(prefix + rest).digest() in known_keys or _looks_random(rest):
                        yield number, prefix.decode()
    except OSError:
        return


def _looks_random(rest: bytes) -> bool:
    # Names such as sk_learn_models and placeholders such as sk_test_XXXXXXXXXXXXXXXX are no keys;
    # sk_example_ is how WorkOS's documentation begins the keys that it shows.
    return (
        len(rest) >= 16
        and not rest.startswith(b"example_")
        and len(set(rest)) >= 8
        and re.search(rb"[0-9A-Z]", rest) is not None
    )
