"""Real worker processes of a run in the databases of a test, to be killed."""

import random
import time
from multiprocessing import get_context
from typing import Any

import pytest

from django_workos_vault.maintenance.engine import runs
from django_workos_vault.management.worker_process import work_in_process
from django_workos_vault.models import MaintenanceRun
from tests.forked import databases_of_test

_PROCESSES: Any = get_context("spawn")


def in_databases_of_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have processes that are started from here on use the test's databases."""
    for name, value in databases_of_test().items():
        monkeypatch.setenv(name, value)


def started(run: MaintenanceRun) -> Any:
    process = _PROCESSES.Process(target=work_in_process, args=(run.pk, run._state.db))
    process.start()
    return process


def kill_at_random(run: MaintenanceRun, kills: int, workers: int = 2, seconds: float = 0.5) -> int:
    """Kill workers with -9, each at a random moment of its work, and start others; return how many were."""
    killed = 0
    processes = [started(run) for _ in range(workers)]
    while killed < kills and is_running(run):
        victim = random.choice(processes)
        claimed = run.chunks.using(run._state.db).filter(state="claimed")
        if not any(f":{victim.pid}:" in name for name in claimed.values_list("worker", flat=True)):
            time.sleep(0.02)
            if not victim.is_alive():
                processes[processes.index(victim)] = started(run)
            continue
        time.sleep(random.uniform(0, seconds))
        victim.kill()
        victim.join()
        killed += 1
        processes[processes.index(victim)] = started(run)
    for process in processes:
        process.join()
    return killed


def is_running(run: MaintenanceRun) -> bool:
    run.refresh_from_db()
    return run.state == runs.State.RUNNING
