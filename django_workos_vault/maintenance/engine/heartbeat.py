"""The lease of a chunk, renewed while its worker waits: for Vault, for a limit, for the database."""

import threading
import time
from contextlib import suppress
from typing import Any

from django.db import Error, connections

from django_workos_vault.maintenance.engine import chunks
from django_workos_vault.models import MaintenanceChunk

#: Seconds after which a worker that shows no sign of life is taken for hanging, and loses its chunk.
LONGEST_SILENCE = 600.0


class Heartbeat:
    """Keeps ``chunk`` for its worker until the block ends, in a thread where one batch takes long.

    A worker whose process dies renews nothing.
    """

    def __init__(self, chunk: MaintenanceChunk, lease: float) -> None:
        self._chunk = chunk
        self._lease = lease
        self._alive = self._renewed = time.monotonic()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="vault-lease", daemon=True)

    def __enter__(self) -> "Heartbeat":
        if self._lease > 0:
            self._thread.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self._over.set()
        if self._thread.ident:
            self._thread.join(1.0)

    def committed(self) -> None:
        """Note that a batch renewed the lease."""
        self._alive = self._renewed = time.monotonic()

    def waits(self) -> None:
        """Renew the lease of a worker that waits, if it is time; to be called every few seconds."""
        self._alive = time.monotonic()
        if self._is_due():
            self._renew()

    def _is_due(self) -> bool:
        return time.monotonic() - self._renewed > self._lease / 3

    def _renew(self) -> None:
        self._renewed = time.monotonic()
        chunks.renew(self._chunk, self._lease)

    def _watch(self) -> None:
        while not self._over.wait(self._lease / 6):
            if self._is_due() and time.monotonic() - self._alive < LONGEST_SILENCE:
                with suppress(Error):
                    self._renew()
                with suppress(Error):
                    connections[self._chunk._state.db or "default"].close()
