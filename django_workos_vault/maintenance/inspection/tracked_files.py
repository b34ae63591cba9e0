"""No API key, and no local vault's key file, in the files that git tracks or would take."""

import os
import subprocess
from collections.abc import Collection, Iterator
from pathlib import Path

from django_workos_vault.exposed_keys import api_keys_in, is_key_file
from django_workos_vault.maintenance.inspection.findings import Finding

_STEP = "tracked files"
_REVOKE = (
    "Revoke the key in the WorkOS dashboard, for git keeps it in its history; read the new one from the "
    "environment."
)
_BEFORE_THE_COMMIT = "Read it from the environment, or have git ignore the file, before it is committed."
_OUTSIDE = "Read it from the environment: whoever gets a copy of the code has the key."
_MAKE_ANEW = (
    "Whoever has the repository opens all that it sealed. git rm --cached it, have git ignore it, and make "
    "another: delete it with the rows that it sealed, which are for development."
)
_IGNORE = "Name it in .gitignore: whoever gets it opens all that it sealed."
#: directories of other people's code, where there is no git to say so
_OTHERS = {"node_modules", "site-packages", "__pycache__", "build", "dist"}


class _NoCheckout(Exception):
    """git cannot list files here, for the reason given."""


def inspect_tracked_files(
    directory: Path, known_keys: Collection[bytes], key_files: Collection[Path] = ()
) -> Iterator[Finding]:
    """Yield a finding for each key in the checkout around ``directory``: in a tracked file, or in another one
    that git does not ignore.

    A key is one of ``known_keys`` (SHA-256 digests), ``sk_`` followed by what looks random, one of the local
    vaults' ``key_files``, or a file that looks like one. The files are read as they are in the working tree;
    nothing of a key but its prefix is told. Outside of a checkout, the Python files below are looked at.
    """
    try:
        top, tracked, untracked = _listed(directory)
        searched = f"{len(tracked)} files"
        told = [(tracked, _REVOKE, _MAKE_ANEW), (untracked, _BEFORE_THE_COMMIT, _IGNORE)]
    except _NoCheckout as exc:
        top, code = directory, _python_files(directory)
        searched = f"{len(code)} Python files below (all there is to look at: {exc})"
        told = [(code, _OUTSIDE, "")]
    secret = {os.path.realpath(path) for path in key_files}
    found = False
    for names, about_keys, about_files in told:
        for name in names:
            for number, prefix in api_keys_in(top / name, known_keys):
                found = True
                where, message = f"{name}:{number}", f"An API key ({prefix}...) stands here."
                yield Finding(_STEP, where, "problem", message, about_keys)
            is_secret = bool(secret) and os.path.realpath(top / name) in secret
            if about_files and (is_secret or is_key_file(top / name)):
                found = True
                yield Finding(_STEP, name, "problem", "The key file of a local vault.", about_files)
    if not found:
        yield Finding(_STEP, str(top), "ok", f"No API key in {searched}.")


def _listed(directory: Path) -> tuple[Path, list[str], list[str]]:
    top = Path(os.fsdecode(_git(directory, "rev-parse", "--show-toplevel").rstrip(b"\n")))
    tracked = _git(top, "ls-files", "-z")
    untracked = _git(top, "ls-files", "-z", "--others", "--exclude-standard")
    return top, _names(tracked), _names(untracked)


def _names(listing: bytes) -> list[str]:
    return [os.fsdecode(name) for name in listing.split(b"\0") if name]


def _python_files(directory: Path) -> list[str]:
    found = []
    for folder, folders, files in os.walk(directory):
        if "pyvenv.cfg" in files:
            folders.clear()
            continue
        folders[:] = [name for name in folders if name not in _OTHERS and not name.startswith(".")]
        found += [
            os.path.relpath(os.path.join(folder, name), directory) for name in files if name.endswith(".py")
        ]
    return sorted(found)


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
