"""A run in the foreground: progress on a terminal or in a log, signals, worker processes."""

import json
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import get_context
from typing import Any

from django.db import DatabaseError

from django_workos_vault.maintenance.engine import runs
from django_workos_vault.maintenance.engine.work import Worker
from django_workos_vault.management.output import progress_bar, tell
from django_workos_vault.management.stopping import Stopping
from django_workos_vault.management.worker_process import work_in_process
from django_workos_vault.models import MaintenanceRun

#: Seconds between lines in a log, and between looks at what worker processes did.
_LINES, _LOOKS = 5.0, 0.5


class ProgressLine:
    """A bar on a terminal, else a line every few seconds on stderr: text, or JSON."""

    def __init__(self, run: MaintenanceRun, verbosity: int, as_json: bool) -> None:
        done = runs.rows_done(run)
        self._run = run
        self._total = max(run.rows_estimate, done)
        self._json = as_json
        self._silent = not verbosity or (sys.stderr.isatty() and not as_json)
        self._began = self._told = time.monotonic()
        self._first = self.done = done
        self.bar = progress_bar(self._total, "rows", 0 if as_json else verbosity)
        self.bar.update(done)

    def add(self, rows: int) -> None:
        """Note that so many more rows are done."""
        self.done += rows
        if self.done > self._total:
            self._total = self.bar.total = self.done
        self.bar.update(rows)
        now = time.monotonic()
        if not self._silent and now - self._told >= _LINES:
            self._told = now
            tell(self._line(now))

    def _line(self, now: float) -> str:
        rate = (self.done - self._first) / (now - self._began)
        left = round((self._total - self.done) / rate) if rate else None
        if self._json:
            line = {"run": self._run.pk, "rows": self.done, "of": self._total, "seconds_left": left}
            return json.dumps({**line, "rows_per_second": round(rate)})
        text = f"Run {self._run.pk}: {self.done:,} of {self._total:,} rows, {rate:,.0f} rows a second"
        return text if left is None else f"{text}, about {left:,} seconds left"


def follow(run: MaintenanceRun, *, workers: int, verbosity: int, as_json: bool) -> bool:
    """Work on a run until it is over or stopped; return whether a signal stopped this process.

    Raises what :meth:`Worker.one_chunk` raises; of worker processes, nothing: the run says why it is paused.
    """
    with Stopping().signals() as stop:
        try:
            told = ProgressLine(run, verbosity, as_json)
            with told.bar:
                if workers == 1:
                    Worker(run, stop=stop, told=told.add).work()
                else:
                    _processes(run, workers, stop, told)
        except Exception as exc:  # of what the work needs: the worker itself pauses the run where it fails
            with suppress(DatabaseError):
                _pause_if_idle(run, f"{type(exc).__name__}.")
            raise
    _pause_if_idle(run, "Interrupted." if stop.asked else "Every worker process has died.")
    return stop.asked


def _pause_if_idle(run: MaintenanceRun, reason: str) -> None:
    run.refresh_from_db()
    if run.state == runs.State.RUNNING and not runs.progress(run).workers:
        runs.pause(run, reason)


def _processes(run: MaintenanceRun, workers: int, stop: Callable[[], bool], told: ProgressLine) -> None:
    context: Any = get_context("spawn")
    using = run._state.db or "default"
    processes = [context.Process(target=work_in_process, args=(run.pk, using)) for _ in range(workers)]
    for process in processes:
        process.start()
    ended = False
    try:
        while any(process.is_alive() for process in processes):
            if stop() and not ended:
                _end(processes)
                ended = True  # a second would interrupt their batches
            processes[0].join(_LOOKS) if processes[0].is_alive() else time.sleep(_LOOKS)
            told.add(runs.rows_done(run) - told.done)
    finally:
        if not ended:
            _end(processes)
        for process in processes:
            process.join()


def _end(processes: list[Any]) -> None:
    for process in processes:
        with suppress(ValueError):
            process.terminate()  # SIGTERM: it finishes its batch
