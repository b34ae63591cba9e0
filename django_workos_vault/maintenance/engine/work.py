"""What a worker does: it claims a chunk, goes through it batch by batch, and claims the next one.

The new cells of a batch, the position behind it and the counts commit in one transaction, or not at all. So
whatever ends a worker, its chunk goes on where the last whole batch ended, and no cell is counted twice.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from functools import partial
from typing import Any

from django.db import DatabaseError, OperationalError, connections

from django_workos_vault import conf
from django_workos_vault.exceptions import VaultError, VaultRateLimited
from django_workos_vault.handler import vaults
from django_workos_vault.maintenance.cells import BadCell
from django_workos_vault.maintenance.engine import chunks, runs
from django_workos_vault.maintenance.engine.collector import no_collections
from django_workos_vault.maintenance.engine.columns import Batch, ColumnCounts, Columns
from django_workos_vault.maintenance.engine.copied import columns_for
from django_workos_vault.maintenance.engine.failing_keys import FailingKeys
from django_workos_vault.maintenance.engine.heartbeat import Heartbeat
from django_workos_vault.maintenance.engine.keys import as_text, between, from_text, told
from django_workos_vault.maintenance.engine.names import worker_name
from django_workos_vault.maintenance.engine.pace import Pace, wait
from django_workos_vault.maintenance.engine.transactions import concerns_rows, in_transaction, is_locked
from django_workos_vault.maintenance.operations import NotAsWritten, operation
from django_workos_vault.maintenance.patience import WAITS
from django_workos_vault.maintenance.reencryption.target import model_of
from django_workos_vault.models import MaintenanceChunk, MaintenanceRun
from django_workos_vault.registry.rows import as_moment

#: Different messages that a chunk keeps for one reason; cells beyond get the first one.
_MESSAGES = 20
#: What the worker itself changes in its chunk.
_PROGRESS = ("position", "state", "lease_until", "rows_done", "keys_made", "counts", "left")
#: Seconds between looks at a run whose last chunks are others'.
_POLL = 0.5
#: Seconds of a long wait after which a worker looks whether the run was paused.
_REST = 2.0


class LostChunk(Exception):
    """The worker was silent for longer than its lease, and another goes on with its chunk."""


def never() -> bool:
    """Do not stop."""
    return False


class Worker:
    """One worker of a run. ``stop`` is asked at least once a batch; ``told`` hears of each batch's rows.

    Raises RunRefused where the code has changed the fields of the run.
    """

    def __init__(
        self,
        run: MaintenanceRun,
        *,
        name: str | None = None,
        stop: Callable[[], bool] = never,
        told: Callable[[int], Any] = lambda rows: None,
        lease: float = chunks.LEASE,
    ) -> None:
        self.run = run
        self.name = name or worker_name()
        self._stop = stop
        self._told = told
        self._lease = lease
        self._using = run._state.db or "default"
        fields = runs.fields_of_run(run)
        self._operation = operation(run.operation, as_moment(run.created_at), run.options)
        self._columns = {
            model: columns_for(
                of_model,
                self._operation,
                self._using,
                verify=bool(run.options.get("verify")),
                where=run.options.get("where"),
            )
            for model, of_model in runs.by_model(fields).items()
        }
        self._vaults = sorted({field.vault_alias for field in fields})
        self._failing_keys = FailingKeys(fields)
        self._pace = Pace(run.options, self._requests)
        self._throttle = conf.maintenance_throttle()
        self._keys_told = 0

    def work(self) -> None:
        """Do chunks until the run is over, or stopped by whomever. Raises as :meth:`chunk` does."""
        while not self._stop():
            if self.one_chunk():
                continue
            self.run.refresh_from_db()
            if self.run.state != runs.State.RUNNING:
                return
            wait(_POLL, self._stop)  # the last chunks are others', who may die

    def one_chunk(self) -> bool:
        """Do one chunk, and note the end of the run where it was the last one.

        False where there was none to do: the run was stopped, is over, or its last chunks are others'.
        Raises VaultError in an outage, NotAsWritten, DatabaseError, as where the connection was
        lost, and what else went wrong; the run is paused, or failed, with the reason.
        """
        running = self._is_running()  # or a paused run's chunk would be claimed again and again
        chunk = chunks.claim(self.run, list(self._columns), self.name, self._lease) if running else None
        if chunk is None:
            self._end()
            return False
        try:
            with Heartbeat(chunk, self._lease) as heartbeat:
                self._go_through(chunk, heartbeat)
        except LostChunk:
            pass
        except VaultError as exc:
            runs.pause(self.run, f"{type(exc).__name__}: {exc}")
            raise
        except NotAsWritten as exc:
            runs.fail(self.run, str(exc))
            raise
        except DatabaseError as exc:
            with suppress(DatabaseError):
                connections[self._using].close_if_unusable_or_obsolete()
                runs.pause(self.run, f"The database: {type(exc).__name__}.")
            raise
        except Exception as exc:  # a storage of files has errors of its own
            with suppress(DatabaseError):
                runs.pause(self.run, f"{type(exc).__name__}.")
            raise
        finally:
            with suppress(DatabaseError):
                chunks.release(chunk)
        self._end()
        return True

    def _go_through(self, chunk: MaintenanceChunk, heartbeat: Heartbeat) -> None:
        model = model_of(chunk.model)
        columns, upper, waits = self._columns[model], from_text(model, chunk.upper), 0
        while chunk.state == chunk.State.CLAIMED and not self._stop() and self._is_running():
            began, size = time.monotonic(), self._pace.size
            try:
                with no_collections() if columns.takes_bare_rows else nullcontext():
                    done = self._do_batch(chunk, columns, upper, size)
            except VaultRateLimited as exc:  # keys that came are in memory, and half as many rows need fewer
                if exc.retry_after is None or waits == WAITS:
                    raise
                waits += 1
                self._pace.crowded(size)
                self._rest(exc.retry_after, heartbeat)
                continue
            waits = 0
            if done is None:
                continue
            # not its worker: that may be another by now
            chunk.refresh_from_db(fields=_PROGRESS)
            self._keys_told = self._operation.keys_made
            self._told(done)
            heartbeat.committed()
            if chunk.state == chunk.State.CLAIMED:
                self._rest(self._pace.done(done, time.monotonic() - began), heartbeat)
                self._spare_the_database(heartbeat)

    def _do_batch(self, chunk: MaintenanceChunk, columns: Columns, upper: Any, size: int) -> int | None:
        """Return the number of rows that are done, None where fewer may be: one is held, or refused."""
        position = from_text(model_of(chunk.model), chunk.position)
        try:
            rows = columns.read(between(columns.rows(), position, upper)[:size])
        except OperationalError:  # fewer may be found in the time that a server gives a statement
            if size <= 1 or not connections[self._using].is_usable():
                raise
            self._pace.crowded(size)
            return None
        if rows and as_text(rows[0].pk) == chunk.position:
            raise NotAsWritten(
                f"Row {told(rows[0].pk)} of {chunk.model} comes again behind its own primary key, which the "
                "database holds otherwise than it is read: the run would never end. Write the key anew."
            )
        # It asks Vault, so before the transaction.
        batch = self._failing_keys.prepared(columns, rows, stop=self._stop)
        done = len(batch.rows)
        commit = partial(self._commit, chunk, columns, last=done == len(rows) < size)
        try:
            with columns.settled():
                in_transaction(self._using, partial(commit, batch), tries=2 if done > 1 else 8)
        except DatabaseError as exc:
            refused = concerns_rows(exc)
            if not (refused or isinstance(exc, OperationalError)) or not connections[self._using].is_usable():
                raise
            if done > 1:
                self._pace.crowded(done)
                return None
            if not (refused or is_locked(exc)):
                raise
            in_transaction(self._using, partial(commit, columns.refused(batch, exc)))
        return done

    def _commit(self, chunk: MaintenanceChunk, columns: Columns, batch: Batch, *, last: bool) -> None:
        counts, left = columns.store(batch), batch.all_left
        noted = chunks.mine(chunk).update(
            position=as_text(batch.rows[-1].pk) if batch.rows else chunk.position,
            state=chunk.State.DONE if last else chunk.State.CLAIMED,
            lease_until=time.time() + self._lease,
            rows_done=chunk.rows_done + len(batch.rows),
            keys_made=chunk.keys_made + self._operation.keys_made - self._keys_told,
            counts=added(chunk.counts, counts),
            left=chunk.left + grouped(left) if left else chunk.left,
        )
        if not noted:
            raise LostChunk

    def _spare_the_database(self, heartbeat: Heartbeat) -> None:
        """Wait as long as the project's throttle says."""
        if self._throttle is None:
            return
        while (seconds := self._throttle(self._using)) > 0 and not self._stop() and self._is_running():
            self._rest(seconds, heartbeat)

    def _rest(self, seconds: float, heartbeat: Heartbeat) -> None:
        """Wait, keeping the chunk, until the run is paused at the latest."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self._stop():
            wait(min(left, _REST, abs(self._lease) / 3), self._stop)
            heartbeat.waits()
            if left > _REST and not self._is_running():
                return

    def _is_running(self) -> bool:
        rows = MaintenanceRun.objects.using(self._using).filter(pk=self.run.pk)
        return rows.values_list("state", flat=True).first() == runs.State.RUNNING

    def _end(self) -> None:
        self.run.refresh_from_db()
        if self.run.next_model >= len(self._columns) and not chunks.others_at_work(self.run):
            runs.finish(self.run)

    def _requests(self) -> int:
        return sum(vaults[alias].backend.requests_made for alias in self._vaults)


def added(stored: dict[str, dict[str, int]], counts: Sequence[ColumnCounts]) -> dict[str, dict[str, int]]:
    """Return the counts of a chunk with those of a batch."""
    total = dict(stored)
    for each in counts:
        sums = ColumnCounts(each.column)
        sums.add(stored.get(each.column, {}))
        sums.add(each.numbers())
        total[each.column] = sums.numbers()
    return total


def grouped(left: Sequence[BadCell]) -> list[dict[str, Any]]:
    """Return cells that were left, by column, reason and message: who writes cells could make all differ."""
    groups: dict[tuple[str, str], dict[str, list[str]]] = {}
    for cell in left:
        messages = groups.setdefault((cell.column, cell.reason), {})
        known = cell.message in messages or len(messages) < _MESSAGES
        messages.setdefault(cell.message if known else next(iter(messages)), []).append(as_text(cell.pk))
    return [
        {"column": column, "reason": reason, "message": message, "keys": keys}
        for (column, reason), messages in groups.items()
        for message, keys in messages.items()
    ]
