"""What every command is: one that ends quietly when the reader of its output goes away, as ``head`` does.

Ctrl-C ends it in one line. Where nobody reads its progress and errors any more, it does its work nonetheless.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from django.core.management.base import BaseCommand, CommandError, OutputWrapper

from django_workos_vault.management.output import silence

#: what a shell reports of a process that SIGINT, or SIGPIPE, ended
_INTERRUPTED, _UNREAD = 130, 141


def open_closed_streams() -> None:
    """Have what was closed before the process began, as a daemon's streams may be, take what is written."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115  # until the process ends


class ReaderGone(BrokenPipeError):
    """Nobody reads the command's output any more."""


class OutputLost(CommandError):
    """Nothing takes the command's output any more: a disk is full."""


class _Output(OutputWrapper):
    """Tells a lost reader from a lost connection, which raises BrokenPipeError as well."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._stream = stream

    def write(self, *args: Any, **kwargs: Any) -> Any:
        with self._losses():
            super().write(*args, **kwargs)

    def flush(self) -> None:
        with self._losses():
            super().flush()

    @contextmanager
    def _losses(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            raise ReaderGone from None
        except OSError as exc:
            silence(self._stream)  # what is held back would fail again at the end
            raise OutputLost(f"The output could not be written: {exc}") from None


class _Errors(OutputWrapper):
    """Writes what somebody reads."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._stream = stream

    def write(self, *args: Any, **kwargs: Any) -> Any:
        try:
            super().write(*args, **kwargs)
            self.flush()
        except OSError:  # or a full disk
            silence(self._stream)


class VaultCommand(BaseCommand):
    """Exit status 130 after Ctrl-C, 141 when its output was not read to the end, 1 when no disk took it."""

    def __init__(
        self, stdout: TextIO | None = None, stderr: TextIO | None = None, *args: Any, **kwargs: Any
    ) -> None:
        open_closed_streams()
        super().__init__(stdout, stderr, *args, **kwargs)
        self.stdout = _Output(stdout or sys.stdout)
        paint = self.stderr.style_func
        self.stderr = _Errors(stderr or sys.stderr)
        self.stderr.style_func = paint

    def run_from_argv(self, argv: list[str]) -> None:
        """Run, and say that everything is written while that can still be answered."""
        try:
            try:
                super().run_from_argv(argv)
            except KeyboardInterrupt:
                self.stderr.write("Interrupted.")
                sys.exit(_INTERRUPTED)
            finally:
                self.stdout.flush()
        except ReaderGone:
            silence(sys.stdout)
            sys.exit(_UNREAD)
        except OutputLost as exc:
            self.stderr.write(f"{type(exc).__name__}: {exc}")
            sys.exit(exc.returncode)
