"""Programs in processes of their own that tell how much memory something long takes."""

import io
import os
import resource
import subprocess
import sys
import textwrap

_BEGIN = """
import os
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
import django
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0, run_syncdb=True)
from tests.files.alone import Upload, peak
"""
_MEASURE = """
run(1)
before = peak()
run(128)
print(peak() - before)
"""


class Upload(io.RawIOBase):
    """An upload of zeros."""

    def __init__(self, megabytes: int) -> None:
        self.left = 16 * megabytes

    def read(self, size: int = -1) -> bytes:
        self.left -= 1
        return bytes(1 << 16) if self.left >= 0 else b""


def peak() -> int:
    """Return the most KiB that this process has had so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def printed(program: str) -> list[int]:
    """Run ``program``, on SQLite and with the above at hand, and return the numbers that it prints."""
    run = subprocess.run(
        [sys.executable, "-c", _BEGIN + textwrap.dedent(program)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "VAULT_TEST_DATABASE": "sqlite"},
    )
    assert run.returncode == 0, run.stderr
    return [*map(int, run.stdout.split())]


def growth(program: str) -> int:
    """Return how many KiB more than one MiB 128 MiB take. ``program`` defines ``run(megabytes)``."""
    [more] = printed(textwrap.dedent(program) + _MEASURE)
    return more
