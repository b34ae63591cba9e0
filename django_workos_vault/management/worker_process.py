"""One worker in a process of its own, spawned: with connections, keys and settings of its own."""

import sys


def work_in_process(number: int, using: str) -> None:
    """Work on run ``number`` in the database ``using`` until it is over or stopped.

    What stops a worker stands in the run. The exit status is 1 then.
    """
    import django

    django.setup()

    from django.db import DatabaseError

    from django_workos_vault.exceptions import VaultError
    from django_workos_vault.maintenance.engine import runs
    from django_workos_vault.maintenance.engine.work import Worker
    from django_workos_vault.maintenance.operations import NotAsWritten
    from django_workos_vault.management.output import tell
    from django_workos_vault.management.stopping import Stopping

    with Stopping().signals() as stop:
        try:
            Worker(runs.find(number, using), stop=stop).work()
        except (VaultError, NotAsWritten, runs.RunRefused, DatabaseError) as exc:
            tell(f"A worker of run {number} stopped: {type(exc).__name__}.")
            sys.exit(1)
        except KeyboardInterrupt:
            sys.exit(130)
