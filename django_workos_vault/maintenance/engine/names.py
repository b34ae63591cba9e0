"""Names of workers, and which of them are processes that are no more.

A process id says nothing to another container, or after a restart: containers may have one hostname between
them, and each has a process 7. So a name holds which processes its id was one of.
"""

import os
import re
import socket
from functools import cache
from hashlib import sha256
from pathlib import Path


def worker_name() -> str:
    """Return a name for a worker of this process that no other one has."""
    return f"{socket.gethostname()[:50]}/{_processes()}:{os.getpid()}:{os.urandom(4).hex()}"


def is_dead(worker: str) -> bool:
    """Whether ``worker`` was a process beside this one that is no more. Where in doubt, the lease tells."""
    named = re.fullmatch(r".*/([0-9a-f]{8}):([0-9]+):[0-9a-f]+", worker, re.DOTALL)
    if named is None or named[1] != _processes():
        return False
    try:
        os.kill(int(named[2]), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


@cache
def _processes() -> str:
    """Return which processes have ids beside this one's: of one start of one machine, in one namespace.

    Only Linux tells; elsewhere it is nothing, and no worker is thought dead before its lease is over.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""
    return sha256(f"{boot}{namespace}".encode()).hexdigest()[:8]
