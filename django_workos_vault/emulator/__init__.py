"""A server for development and tests that speaks the Vault part of the WorkOS API. No place for real data.

``Emulator`` is the WSGI application, ``EmulatorServer`` serves it on a socket, ``run_emulator`` does both for
a test. Behind it stands the engine of ``LocalVault``; the shapes, statuses and errors are those of the
published API description.
"""

from django_workos_vault.emulator.app import Emulator
from django_workos_vault.emulator.faults import Faults
from django_workos_vault.emulator.running import RunningEmulator, run_emulator
from django_workos_vault.emulator.server import EmulatorServer

__all__ = ["Emulator", "EmulatorServer", "Faults", "RunningEmulator", "run_emulator"]
