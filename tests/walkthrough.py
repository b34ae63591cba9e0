"""Follows a page to the letter, in an empty directory, as its reader would.

A ``sh`` block is run by bash; where it went to and what it set (``cd``, an activated environment) holds for
the next one. A ``python`` or ``ini`` block is a file if its first line is ``# name`` or ``# name, at the
end``; the one after a line that ends with ``manage.py shell`` is typed into that shell. A ``text`` block is
what the block before it has printed, line by line, with ``...`` for what differs each time. A line that ends
with ``runserver`` starts the server, on a free port, until the page ends.

Two things are not as the reader has them: packages come from the environment that the tests run in, of which
the reader's ``pip install`` finds everything installed, and ``pip uninstall`` only takes this checkout away;
and where settings have a WorkOS API key, they get the address of the emulator, if there is one. What
``makemigrations`` asks is answered with yes.
"""

import re
import signal
import socket
import subprocess
import sys
import sysconfig
import textwrap
import time
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"^( *)```(\w+)\n((?:.*\n)*?)\1```$", re.MULTILINE)
FILE = re.compile(r"# ([\w./]+)(, at the end)?\n")
SHELL = "manage.py shell"


class Walk:
    """The directory that a page's blocks are run in, and what they left behind."""

    def __init__(self, path: Path) -> None:
        self.path = path / "project"
        self.path.mkdir()
        python = path / "bin" / "python3"
        python.parent.mkdir()
        python.symlink_to(sys.executable)
        self.environment = {
            "PATH": f"{python.parent}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(path),
            "LANG": "C.UTF-8",
            "PIP_NO_INDEX": "1",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }
        self.said = ""
        self.typed = False
        self.server: subprocess.Popen[bytes] | None = None
        self.url = ""
        self.emulator = ""

    def follow(self, page: Path, since: str = "", until: str = "\0") -> None:
        """Run the page's blocks between two headings. AssertionError when one fails or says another thing."""
        text = page.read_text().partition(until)[0]
        for match in BLOCK.finditer(text[text.index(since) :]):
            _, language, block = match.groups()
            block = textwrap.dedent(block)
            if language == "sh":
                self._commands(block)
            elif language in {"python", "ini"}:
                self._python(block)
            elif language == "text":
                assert _pattern(block).search(self.said), f"expected:\n{block}\nsaid:\n{self.said}"

    def run(self, script: str, typed: str = "") -> str:
        """Run a script of bash; return what it says."""
        kept = self.path.parent / "kept"
        done = subprocess.run(
            ["bash", "-ec", f"{script}\npwd >{kept}.cwd; env -0 >{kept}.env"],
            cwd=self.path,
            env=self.environment,
            input=typed,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}"
        self.path = Path(Path(f"{kept}.cwd").read_text().strip())
        pairs = [pair.partition("=") for pair in Path(f"{kept}.env").read_text().split("\0") if pair]
        self.environment = {name: value for name, _, value in pairs}
        return done.stdout

    def lend_python(self) -> None:
        """Have ``python`` and every package at once, where the page does not make an environment."""
        python = self.path.parent / "bin" / "python"
        python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
        python.chmod(0o755)
        self.environment["PYTHONPATH"] = str(CHECKOUT)

    def close(self) -> None:
        """End the server."""
        if self.server is not None:
            self.server.send_signal(signal.SIGTERM)
            self.server.wait(10)

    def _commands(self, block: str) -> None:
        self.said, self.typed = "", block.rstrip().endswith(SHELL)
        for line in block.splitlines():
            if line.endswith("runserver"):
                self._serve(line)
            elif line.startswith("pip uninstall"):
                self._lend_packages(without_ours=True)
            elif not line.endswith(SHELL):
                self.said += self.run(line, "y\n" * 9 if " makemigrations" in line else "")
            if line.endswith("-m venv .venv"):
                self._lend_packages()

    def _python(self, block: str) -> None:
        place = FILE.match(block)
        if place is None:
            assert self.typed, f"where does this go?\n{block}"
            self.said = self.run(f"python {SHELL}", block)
            return
        if self.emulator:
            block = block.replace('"api_key":', f'"base_url": "{self.emulator}", "api_key":')
        path = self.path / place[1]
        assert path.exists() or not place[2], path
        with path.open("a" if place[2] else "w") as file:
            file.write(block[place.end() :])

    def _serve(self, line: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.server = subprocess.Popen(
            ["bash", "-ec", f"exec {line} --noreload {port}"], cwd=self.path, env=self.environment
        )
        self.url = f"http://127.0.0.1:{port}/"
        for _ in range(300):
            with socket.socket() as asked:
                if asked.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.1)
        raise AssertionError("the server does not answer")

    def _lend_packages(self, without_ours: bool = False) -> None:
        [packages] = self.path.glob(".venv/lib/python*/site-packages")
        lent = "" if without_ours else f"{CHECKOUT}\n"
        (packages / "lent.pth").write_text(f"{lent}{sysconfig.get_path('purelib')}\n")


def _pattern(shown: str) -> re.Pattern[str]:
    lines = [re.escape(line.rstrip()).replace(r"\.\.\.", ".*") for line in shown.splitlines()]
    return re.compile(r" *\n".join(lines))
