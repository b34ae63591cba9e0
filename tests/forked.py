"""Processes that begin with Django set up: one interpreter imports everything, and forks for each of them.

Each is an interpreter of its own from there on, and ends as any other does.
"""

import json
import os
import select
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.db import connections

CHECKOUT = Path(__file__).resolve().parent.parent

_SERVER = """
import json, os, signal, socket, sys
import django
django.setup()
requests = socket.socket(fileno=int(sys.argv[1]))
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
while True:
    request, files, _, _ = socket.recv_fds(requests, 1 << 16, 4)
    if not request:
        break
    if os.fork() == 0:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        *streams, told = files
        if process := os.fork():
            for each in streams:
                os.close(each)
            os.write(told, b"%d\\n" % process)
            status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
            os.write(told, b"%d\\n" % status)
            os._exit(0)
        requests.close()
        os.close(told)
        for number, each in enumerate(streams):
            os.dup2(each, number)
            os.close(each)
        source, cwd, environment, *sys.argv[1:] = json.loads(request)
        os.chdir(cwd)
        os.environ.update(environment)
        exec(source, {"__name__": "__main__"})
        break
    for each in files:
        os.close(each)
"""


def databases_of_test() -> dict[str, str]:
    """Return the environment of a process that uses the databases of this one."""
    names = {alias: str(connections[alias].settings_dict["NAME"]) for alias in connections}
    return {"DJANGO_SETTINGS_MODULE": "tests.settings", "VAULT_TEST_DATABASES_OF_PARENT": json.dumps(names)}


class Process:
    """One that was forked. What it reads and writes are the pipes that the test gave it."""

    def __init__(self, told: int) -> None:
        self._told = open(told, "rb", buffering=0)  # noqa: SIM115 - closed by wait()
        self.pid = int(self._told.readline())

    def wait(self, timeout: float = 60) -> int:
        """Return its exit status, negative for a signal."""
        if not select.select([self._told], [], [], timeout)[0]:
            raise TimeoutError
        with self._told:
            return int(self._told.readline())

    def kill(self) -> None:
        """End it, if it has not ended."""
        if not self._told.closed:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            self.wait()


class Forks:
    """The interpreter that forks, in the databases of the test."""

    def __init__(self) -> None:
        self._requests, theirs = socket.socketpair()
        with theirs:
            self._server = subprocess.Popen(
                [sys.executable, "-c", _SERVER, str(theirs.fileno())],
                cwd=CHECKOUT,
                env={**os.environ, **databases_of_test()},
                pass_fds=[theirs.fileno()],
            )

    def start(
        self,
        source: str,
        *arguments: str,
        stdin: int,
        stdout: int,
        stderr: int,
        cwd: Path,
        **environment: Any,
    ) -> Process:
        """Run ``source`` with ``sys.argv``, these ends of pipes and these variables besides."""
        reading, writing = os.pipe()
        request = json.dumps([source, str(cwd), environment, *arguments]).encode()
        socket.send_fds(self._requests, [request], [stdin, stdout, stderr, writing])
        os.close(writing)
        return Process(reading)

    def close(self) -> None:
        """End it. Those that it forked go on."""
        self._requests.close()
        self._server.wait()
