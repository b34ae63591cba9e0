"""``manage.py vault_reencrypt app.Model[.field]``: move columns to another state while others use them."""

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import DatabaseError, connections

from django_workos_vault.exceptions import InvalidVaultConfiguration, VaultError
from django_workos_vault.fields.field import EncryptedField
from django_workos_vault.maintenance.engine import runs, stored_files
from django_workos_vault.maintenance.engine.keys import as_text
from django_workos_vault.maintenance.engine.runs import RunRefused
from django_workos_vault.maintenance.engine.where import UnknownCondition
from django_workos_vault.maintenance.files.columns import named_file_field
from django_workos_vault.maintenance.operations import NotAsWritten
from django_workos_vault.maintenance.queues import QueueRefused
from django_workos_vault.maintenance.reencryption.target import UnknownTarget, fields_of_all
from django_workos_vault.management import plan_reports, run_reports
from django_workos_vault.management.asked import refuse_contradictions, refuse_for_files
from django_workos_vault.management.before_a_run import (
    database_of,
    primary_key,
    refuse_values,
    refuse_what_cannot_finish,
)
from django_workos_vault.management.chosen_queue import chosen_queue
from django_workos_vault.management.command import VaultCommand
from django_workos_vault.management.files_beside import commands_for_files, of_files
from django_workos_vault.management.following import follow
from django_workos_vault.management.output import as_json, bad_cells, style_for
from django_workos_vault.management.planning import planned
from django_workos_vault.management.reencryption_arguments import add_arguments
from django_workos_vault.management.rehearsing import rehearse
from django_workos_vault.models import MaintenanceRun

#: What is told in one line, as nothing can be done.
_REFUSALS = (QueueRefused, RunRefused, UnknownTarget, UnknownCondition, InvalidVaultConfiguration)


class Command(VaultCommand):
    """Exit status 1 when rows had to be left as they are, or the run stopped; 130 after Ctrl-C or SIGTERM."""

    help = (
        "Seal encrypted columns again under a new data key, or bring them to another state, in a run that "
        "can be stopped at any moment and taken up again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        add_arguments(parser)

    def handle(self, *args: Any, targets: list[str], **options: Any) -> None:
        """Run, report, and end with an error when there is something to do."""
        self._options = options
        self._json = options["format"] == "json"
        refuse_contradictions(options)
        try:
            if options["list"] or any(options[each] for each in ("status", "pause", "cancel")):
                self._on_record(targets)
            elif options["resume"]:
                _no_targets(targets)
                queue = chosen_queue(options)
                run = runs.find(options["resume"], options["database"])
                refuse_what_cannot_finish(
                    runs.fields_of_run(run),
                    run.operation,
                    run.options.get("from_vault"),
                    run.options.get("plain"),
                )
                runs.resume(run)
                self._follow(run, queue)
            else:
                self._begin(targets)
        except _REFUSALS as exc:
            raise CommandError(str(exc)) from None

    def _begin(self, targets: list[str]) -> None:
        options = self._options
        if bool(targets) == options["all"]:
            raise CommandError("Name columns, models or apps, or give --all.")
        file_field = named_file_field(targets[0]) if len(targets) == 1 else None
        if file_field is not None:
            refuse_for_files(options)
        name = "rekey" if options["rekey"] else options["operation"]
        fields: list[Any] = [file_field]
        left_out: list[str] = []
        if file_field is None:
            left_out = commands_for_files(targets, name, options)
            try:
                fields = fields_of_all(targets, options["database"])
            except UnknownTarget as exc:
                raise CommandError("\n".join([str(exc), *of_files(left_out)])) from None
        refuse_what_cannot_finish(fields, name, options["from_vault"], options["plain"])
        using = options["database"] or database_of(fields)
        models = runs.by_model(fields)
        if options["start_after"] is not None and len(models) > 1:
            raise CommandError("--start-after is a row of one model.")
        start_after = primary_key(fields[0], options["start_after"])
        refuse_values(list(models.values()), using, options["where"], start_after)
        if options["plan"]:
            if options["plain"]:
                raise CommandError("--plan looks at cells: try --dry-run.")
            self._plan(list(models.values()), name, using, left_out)
            return
        if options["dry_run"]:
            self._rehearse(list(models.values()), name, using, start_after, left_out)
            return
        kept = (
            "from_vault",
            "plain",
            "where",
            "batch_size",
            "batch_seconds",
            "max_rows_per_second",
            "max_requests_per_second",
            "verify",
        )
        queue = chosen_queue(options)
        run = runs.begin(
            fields,
            name,
            using=using,
            start_after="" if start_after is None else as_text(start_after),
            options={each: options[each] for each in kept if options[each]}
            | ({} if file_field is None else stored_files.OPTIONS)
            | ({"left_out": left_out} if left_out else {}),
        )
        self._follow(run, queue)

    def _send(self, run: MaintenanceRun, queue: Any, tasks: int) -> None:
        for _ in range(tasks):
            queue.send(run.pk, run._state.db or "default")
        if self._json:
            self.stdout.write(as_json(run_reports.summary(run) | run_reports.left_out(run)))
        else:
            lines = [f"Run {run.pk} is on the queue, {tasks} at a time: see --status {run.pk}."]
            self.stdout.write("\n".join([*lines, *of_files(**run_reports.left_out(run))]))

    def _follow(self, run: MaintenanceRun, queue: Any) -> None:
        options, stopped = self._options, None
        workers = options["workers"]
        if workers > 1 and connections[run._state.db or "default"].vendor == "sqlite":
            self.stderr.write("SQLite has one writer: one worker.")
            workers = 1
        if workers != run.options.get("workers", 1):
            runs.note_workers(run, workers)
        if queue is not None:
            self._send(run, queue, workers)
            return
        try:
            if follow(run, workers=workers, verbosity=options["verbosity"], as_json=self._json):
                stopped = CommandError(f"Interrupted. {run_reports.way_on(run)}", returncode=130)
        except KeyboardInterrupt:
            runs.pause(run, "Interrupted.")
            stopped = CommandError(f"Interrupted. {run_reports.way_on(run)}", returncode=130)
        except (VaultError, NotAsWritten) as exc:
            stopped = CommandError(f"Stopped: {exc} {run_reports.way_on(run)}")
        except DatabaseError as exc:
            stopped = CommandError(
                f"Stopped by the database: {type(exc).__name__}. {run_reports.way_on(run)}"
            )
        except _REFUSALS:
            raise
        except Exception as exc:
            name = type(exc).__name__
            stopped = CommandError(f"Stopped by {name}: --traceback tells more. {run_reports.way_on(run)}")
            stopped.__cause__ = exc
        try:
            told = runs.progress(run)
        except DatabaseError:
            raise stopped or CommandError("The database does not tell how far the run is.") from None
        if run.state == runs.State.FINISHED:
            stopped = None
        elif stopped is None:
            reason = run.reason or f"The run is {run.state}."
            stopped = CommandError(f"Stopped: {reason} {run_reports.way_on(run)}")
        if self._json:
            self.stdout.write(as_json(run_reports.document(run, told)))
        else:
            self._print(run_reports.text(run, told), runs.left_cells(run))
        if stopped is not None:
            raise stopped
        if told.left_number:
            what, page = (
                ("cells", "commands") if named_file_field(run.targets[0]) is None else ("files", "files")
            )
            raise CommandError(
                f"{told.left_number} {what} were left as they are. See vault_check --explain {page}."
            )

    def _on_record(self, targets: list[str]) -> None:
        options = self._options
        _no_targets(targets)
        if options["list"]:
            listed = runs.newest(options["database"])
            lines = run_reports.listed(listed)
            self.stdout.write(
                as_json([run_reports.summary(run) for run in listed]) if self._json else "\n".join(lines)
            )
            return
        number = options["status"] or options["pause"] or options["cancel"]
        run = runs.find(number, options["database"])
        if options["pause"] and not runs.pause(run, "Paused by a command."):
            raise CommandError(f"Run {run.pk} is {run.state}, not running.")
        if options["cancel"] and not runs.cancel(run):
            raise CommandError(f"Run {run.pk} is {run.state}, and over.")
        told = runs.progress(run)
        if self._json:
            self.stdout.write(as_json(run_reports.document(run, told)))
        else:
            self._print(run_reports.text(run, told), runs.left_cells(run))

    def _rehearse(
        self,
        columns: list[list[EncryptedField]],
        name: str,
        using: str,
        start_after: Any,
        left_out: list[str],
    ) -> None:
        """Examine every cell, of one model after the other."""
        found = rehearse(columns, name, self._options, using=using, start_after=start_after)
        if self._json:
            document = run_reports.rehearsed(
                found.counts, found.left, name, found.last_pk, finished=found.stopped is None
            )
            self.stdout.write(as_json(document | {"left_out": left_out}))
        else:
            dry = f"Dry run: nothing was written; the column {run_reports.verb(name)!r} counts what would be."
            lines = [*run_reports.columns(found.counts, name), dry, *of_files(left_out)]
            self._print(lines, found.left)
        if found.stopped is not None:
            raise found.stopped
        if found.left:
            raise CommandError(
                f"{len(found.left)} cells would be left as they are. See vault_check --explain commands."
            )

    def _plan(self, models: list[list[Any]], name: str, using: str, left_out: list[str]) -> None:
        found = planned(models, name, using, self._options)
        if self._json:
            self.stdout.write(as_json(plan_reports.document(found) | {"left_out": left_out}))
        else:
            lines = [*plan_reports.text(found), *of_files(left_out)]
            self._print(lines, [cell for c in found.columns for cell in c.unreadable])
        if lacking := plan_reports.lacking(found):
            raise CommandError(lacking)

    def _print(self, lines: list[str], left: Any) -> None:
        self.stdout.write("\n".join(lines))
        style = style_for(self.stdout, self.style, self._options["force_color"])
        for line in bad_cells(left):
            self.stdout.write(style.ERROR(line))


def _no_targets(targets: list[str]) -> None:
    if targets:
        raise CommandError("A run on record has its columns: name none.")
