"""An emulator for one test: started on a free port, with a key of its own, gone afterwards."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from secrets import token_hex

from django_workos_vault.backends.local import LocalVault
from django_workos_vault.emulator.app import Emulator
from django_workos_vault.emulator.events import Event
from django_workos_vault.emulator.faults import Faults
from django_workos_vault.emulator.server import EmulatorServer


@dataclass(frozen=True)
class RunningEmulator:
    """``url`` is the base URL and ``api_key`` what it takes; ``app`` is the WSGI application behind it."""

    url: str
    api_key: str = field(repr=False)
    app: Emulator

    @property
    def events(self) -> list[Event]:
        """The audit list so far, oldest event first."""
        return self.app.events.all()

    @property
    def faults(self) -> Faults:
        """The switches: ``emulator.faults.fail_next = 2`` fails two requests."""
        return self.app.faults

    def revoke(self, name: str, value: str) -> None:
        """Withdraw the key of one context item, as an organization does that takes back its own key."""
        self.app.revoke(name, value)


@contextmanager
def run_emulator() -> Iterator[RunningEmulator]:
    """Run an emulator that keeps everything in memory on a free loopback port, with a random API key.

    ``httpx.WSGITransport(emulator.app)`` reaches the same emulator without a socket.
    """
    api_key = f"sk_test_{token_hex(16)}"
    app = Emulator(LocalVault(master_key=os.urandom(32), objects_file=":memory:"), [api_key])
    with EmulatorServer(app) as server:
        yield RunningEmulator(server.url, api_key, app)
