"""``manage.py vault_reencrypt app.Model[.field]``: move columns to another state while others use them."""

from importlib.util import find_spec
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, connections, router
from django.db.models import Field

from django_workos_vault.exceptions import InvalidVaultConfiguration, VaultError, WrongKey
from django_workos_vault.fields.field import EncryptedField
from django_workos_vault.maintenance.engine import runs, stored_files
from django_workos_vault.maintenance.engine.columns import Columns
from django_workos_vault.maintenance.engine.keys import as_text
from django_workos_vault.maintenance.engine.plan import Planner
from django_workos_vault.maintenance.engine.rehearsal import Pass
from django_workos_vault.maintenance.engine.runs import RunRefused
from django_workos_vault.maintenance.engine.where import UnknownCondition, Where
from django_workos_vault.maintenance.files.columns import named_file_field
from django_workos_vault.maintenance.operations import NAMES, NotAsWritten, copying, moving, operation
from django_workos_vault.maintenance.queues import QueueRefused
from django_workos_vault.maintenance.reencryption.target import UnknownTarget, fields_of_all
from django_workos_vault.management import plan_reports, run_reports
from django_workos_vault.management.asked import refuse_contradictions, refuse_for_files
from django_workos_vault.management.following import follow
from django_workos_vault.management.output import as_json, bad_cells, positive, progress_bar, style_for
from django_workos_vault.models import MaintenanceRun


class Command(BaseCommand):
    """Exit status 1 when rows had to be left as they are, or the run stopped; 130 after Ctrl-C or SIGTERM."""

    help = (
        "Seal encrypted columns again under a new data key, or bring them to another state, in a run that "
        "can be stopped at any moment and taken up again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "targets", metavar="app[.Model[.field]]", nargs="*", help="a file field is named by itself"
        )
        parser.add_argument("--all", action="store_true", help="every encrypted column there is")
        parser.add_argument("--operation", choices=NAMES, default="reseal", help="(reseal)")
        parser.add_argument(
            "--rekey",
            action="store_true",
            help="only wrap the data keys again, under the key contexts that the fields give now",
        )
        parser.add_argument("--from-vault", metavar="ALIAS", help="whose cells to move")
        parser.add_argument("--plain", metavar="FIELD", help="the column to encrypt from, or to decrypt into")
        parser.add_argument(
            "--database", choices=list(connections), help="alias (where the model is written)"
        )
        parser.add_argument(
            "--where", metavar="NAME=VALUE", help="rows of one key context, or of one value of a plain column"
        )
        parser.add_argument(
            "--plan", action="store_true", help="tell what would be found and what it costs; write nothing"
        )
        parser.add_argument("--start-after", metavar="PK", help="begin behind this row of the one model")
        parser.add_argument(
            "--dry-run", action="store_true", help="open every cell, write nothing, make no key"
        )
        parser.add_argument("--format", choices=["text", "json"], default="text")
        pace = parser.add_argument_group("how fast")
        pace.add_argument("--workers", type=positive, default=1, metavar="N", help="processes (1)")
        pace.add_argument("--batch-size", type=positive, metavar="ROWS", help="(steers itself)")
        pace.add_argument(
            "--batch-seconds", type=float, default=0.5, metavar="S", help="what it aims at (0.5)"
        )
        pace.add_argument("--max-rows-per-second", type=positive, metavar="N", help="(no limit)")
        pace.add_argument("--max-requests-per-second", type=positive, metavar="N", help="to Vault (no limit)")
        pace.add_argument("--verify", action="store_true", help="open every new cell again, not a sample")
        queue = parser.add_argument_group("on a queue, --workers tasks at a time")
        queues = queue.add_mutually_exclusive_group()
        queues.add_argument("--celery", action="store_true", help="send the chunks to Celery's workers")
        queues.add_argument("--tasks", action="store_true", help="and to those of Django's tasks framework")
        on_record = parser.add_argument_group("runs on record")
        on_record.add_argument("--list", action="store_true", help="show the newest runs")
        on_record.add_argument("--status", type=positive, metavar="RUN", help="show one")
        on_record.add_argument("--pause", type=positive, metavar="RUN", help="stop one within a batch")
        on_record.add_argument("--resume", type=positive, metavar="RUN", help="go on with one")
        on_record.add_argument("--cancel", type=positive, metavar="RUN", help="end one for good")

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
                queue = self._queue()
                run = runs.find(options["resume"], options["database"])
                _refuse_what_cannot_finish(
                    runs.fields_of_run(run),
                    run.operation,
                    run.options.get("from_vault"),
                    run.options.get("plain"),
                )
                runs.resume(run)
                self._follow(run, queue)
            else:
                self._begin(targets)
        except (
            QueueRefused,
            RunRefused,
            UnknownTarget,
            UnknownCondition,
            InvalidVaultConfiguration,
        ) as exc:
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
        if file_field is None:
            fields = fields_of_all(targets, options["database"])
            _refuse_what_cannot_finish(fields, name, options["from_vault"], options["plain"])
        using = options["database"] or _database_of(fields)
        models = runs.by_model(fields)
        if options["start_after"] is not None and len(models) > 1:
            raise CommandError("--start-after is a row of one model.")
        start_after = _primary_key(fields[0], options["start_after"])
        for of_model in models.values() if options["where"] else ():
            Where(options["where"], of_model)  # raises where it means nothing
        if options["plan"]:
            if options["plain"]:
                raise CommandError("--plan looks at cells: try --dry-run.")
            self._plan(list(models.values()), name, using)
            return
        if options["dry_run"]:
            self._rehearse(list(models.values()), name, using, start_after)
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
        queue = self._queue()
        run = runs.begin(
            fields,
            name,
            using=using,
            start_after="" if start_after is None else as_text(start_after),
            options={each: options[each] for each in kept if options[each]}
            | ({} if file_field is None else stored_files.OPTIONS),
        )
        self._follow(run, queue)

    def _queue(self) -> Any:
        """Return the module of the queue that was asked for, once it can be used; None for none."""
        queue: Any = None
        if self._options["celery"]:
            if find_spec("celery") is None:
                raise CommandError('--celery needs Celery: pip install "django-workos-vault[celery]".')
            from django_workos_vault.maintenance.queues import on_celery as queue
        elif self._options["tasks"]:
            if find_spec("django.tasks") is None:
                raise CommandError("--tasks needs Django 6.0 or newer.")
            from django_workos_vault.maintenance.queues import on_tasks as queue
        if queue is not None:
            queue.check()
        return queue

    def _send(self, run: MaintenanceRun, queue: Any, tasks: int) -> None:
        for _ in range(tasks):
            queue.send(run.pk, run._state.db or "default")
        if self._json:
            self.stdout.write(as_json(run_reports.summary(run)))
        else:
            self.stdout.write(f"Run {run.pk} is on the queue, {tasks} at a time: see --status {run.pk}.")

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
        told = runs.progress(run)
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

    def _rehearse(self, columns: list[list[EncryptedField]], name: str, using: str, start_after: Any) -> None:
        """Examine every cell, of one model after the other."""
        counts, left, last_pk, stopped = [], [], None, None
        size = self._options["batch_size"] or 500
        for fields in columns:
            one = Pass(
                fields,
                operation(name, options=self._options),
                using=using,
                batch_size=size,
                start_after=start_after,
                dry_run=True,
                where=self._options["where"],
            )
            stopped = self._run(one)
            counts += list(one.counts.values())
            left += one.left
            last_pk = one.last_pk
            if stopped is not None:
                break
        if self._json:
            document = run_reports.rehearsed(counts, left, name, last_pk, finished=stopped is None)
            self.stdout.write(as_json(document))
        else:
            dry = f"Dry run: nothing was written; the column {run_reports.verb(name)!r} counts what would be."
            self._print([*run_reports.columns(counts, name), dry], left)
        if stopped is not None:
            raise stopped
        if left:
            raise CommandError(
                f"{len(left)} cells would be left as they are. See vault_check --explain commands."
            )

    def _plan(self, models: list[list[EncryptedField]], name: str, using: str) -> None:
        options = {"from_vault": self._options["from_vault"]}
        each = operation(name, options=options)
        columns = [Columns(fields, each, using, where=self._options["where"]) for fields in models]
        try:
            found = Planner(columns, each, name, using).plan()
        except VaultError as exc:
            raise CommandError(f"Stopped: {exc} Nothing was changed.") from None
        if self._json:
            self.stdout.write(as_json(plan_reports.document(found)))
        else:
            self._print(plan_reports.text(found), [cell for c in found.columns for cell in c.unreadable])
        if lacking := plan_reports.lacking(found):
            raise CommandError(lacking)

    def _run(self, run: Pass) -> CommandError | None:
        try:
            with progress_bar(run.total(), "rows", self._options["verbosity"]) as bar:
                for rows in run.batches():
                    bar.update(rows)
        except KeyboardInterrupt:
            return CommandError(f"Interrupted. {_go_on(run)}", returncode=130)
        except VaultError as exc:
            return CommandError(f"Stopped: {exc} {_go_on(run)}")
        return None

    def _print(self, lines: list[str], left: Any) -> None:
        self.stdout.write("\n".join(lines))
        style = style_for(self.stdout, self.style, self._options["force_color"])
        for line in bad_cells(left):
            self.stdout.write(style.ERROR(line))


def _no_targets(targets: list[str]) -> None:
    if targets:
        raise CommandError("A run on record has its columns: name none.")


def _refuse_what_cannot_finish(
    fields: list[EncryptedField], name: str, from_vault: str | None, plain: str | None
) -> None:
    if (name in ("encrypt", "decrypt")) != (plain is not None):
        raise CommandError("--operation encrypt, or decrypt, and --plain FIELD go together.")
    if plain is not None and (reason := copying.refusal(fields, plain)):
        raise CommandError(reason)
    if (name == "move") != (from_vault is not None):
        raise CommandError("--operation move and --from-vault ALIAS go together.")
    if from_vault is not None:
        try:
            reason = moving.refusal(fields, from_vault)
        except (VaultError, WrongKey) as exc:
            reason = f"Nothing was changed: {exc}"
        if reason:
            raise CommandError(reason)
    for field in fields:
        if not field.scheme.needs_row or field.key_context is None:
            field.scheme.static_context()  # raises where there is none
        if name == "rekey" and field.vault.policy.envelope == "reference":
            raise CommandError(
                f"{field} keeps its wrapped data keys in the registry, where other columns share them: "
                "its cells hold nothing to wrap again. Run without --rekey."
            )


def _database_of(fields: list[EncryptedField]) -> str:
    databases = sorted({router.db_for_write(field.model) for field in fields})
    if len(databases) > 1:
        raise CommandError(
            f"The models are in different databases ({', '.join(databases)}): give --database."
        )
    return databases[0]


def _primary_key(field: "Field[Any, Any]", text: str | None) -> Any:
    if text is None:
        return None
    try:
        return field.model._meta.pk.to_python(text)
    except ValidationError as exc:
        raise CommandError(f"--start-after: {'; '.join(exc.messages)}") from None
    except (ValueError, TypeError):  # of several columns, which come as a JSON list
        raise CommandError(
            f'--start-after: {text!r} is no primary key; one of two columns is ["a", 1].'
        ) from None


def _go_on(run: Pass) -> str:
    if run.last_pk is None:
        return "No row was changed. Run the command again."
    return f"Everything up to row {run.last_pk} is done. Go on with: --start-after {run.last_pk}"
