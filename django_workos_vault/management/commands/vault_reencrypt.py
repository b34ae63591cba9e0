"""``manage.py vault_reencrypt app.Model[.field]``: seal every row again under a new data key."""

from dataclasses import asdict
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections, router
from django.db.models import Field

from django_workos_vault.exceptions import VaultError
from django_workos_vault.fields.field import EncryptedField
from django_workos_vault.files.fields import EncryptedFileField
from django_workos_vault.maintenance.files.columns import named_file_field
from django_workos_vault.maintenance.files.renewal import FileRenewal
from django_workos_vault.maintenance.reencryption import Rekeying, Resealing, Run, UnknownTarget, fields_of
from django_workos_vault.management.output import as_json, bad_cells, positive, progress_bar, style_for, table


class Command(BaseCommand):
    """Exit status 1 when rows had to be left as they are, or Vault could not be used; 130 after Ctrl-C."""

    help = "Seal every row of an encrypted column, or of all those of a model, again under a new data key."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("target", metavar="app.Model[.field]", help="a file field is named by itself")
        parser.add_argument(
            "--database", choices=list(connections), help="alias (where the model is written)"
        )
        parser.add_argument("--batch-size", type=positive, default=500, metavar="ROWS", help="(500)")
        parser.add_argument("--start-after", metavar="PK", help="take an interrupted run up behind this row")
        parser.add_argument(
            "--dry-run", action="store_true", help="open every cell, write nothing, make no key"
        )
        parser.add_argument(
            "--rekey",
            action="store_true",
            help="only wrap the data keys again, under the key contexts that the fields give now",
        )
        parser.add_argument("--format", choices=["text", "json"], default="text")

    def handle(self, *args: Any, target: str, verbosity: int, **options: Any) -> None:
        """Run, report, and end with an error when there is something to do."""
        field = named_file_field(target)
        if field is not None:
            self._files(field, verbosity, options)
            return
        fields = self._fields(target, options["rekey"])
        renewal = Rekeying() if options["rekey"] else Resealing()
        run = Run(
            fields,
            renewal,
            using=options["database"] or router.db_for_write(fields[0].model),
            batch_size=options["batch_size"],
            start_after=_primary_key(fields[0], options["start_after"]),
            dry_run=options["dry_run"],
        )
        stopped = self._run(run, verbosity)
        if options["format"] == "json":
            self.stdout.write(as_json(_document(run, renewal.keys_made, options["dry_run"], stopped is None)))
        else:
            self._report(run, renewal.keys_made, options)
        if stopped is not None:
            raise stopped
        if run.left:
            raise CommandError(
                f"{len(run.left)} cells were left as they are. docs/commands.md says what to do."
            )

    def _files(self, field: EncryptedFileField, verbosity: int, options: dict[str, Any]) -> None:
        run = FileRenewal(
            field,
            using=options["database"] or router.db_for_write(field.model),
            rekey=options["rekey"],
            dry_run=options["dry_run"],
            start_after=_primary_key(field, options["start_after"]),
        )
        stopped = self._run(run, verbosity)
        counts = asdict(run.counts)
        if options["format"] == "json":
            left = [asdict(each) for each in run.left]
            self.stdout.write(
                as_json({**counts, "left": left, "last_pk": run.last_pk, "finished": stopped is None})
            )
        else:
            self.stdout.write("\n".join(table(["files", "number"], list(counts.items()))))
            style = style_for(self.stdout, self.style, options["force_color"])
            for line in bad_cells(run.left):
                self.stdout.write(style.ERROR(line))
        if stopped is not None:
            raise stopped
        if run.left:
            raise CommandError(f"{len(run.left)} files were left as they are. docs/files.md says what to do.")

    def _fields(self, target: str, rekey: bool) -> list[EncryptedField]:
        try:
            fields = fields_of(target)
        except UnknownTarget as exc:
            raise CommandError(str(exc)) from None
        for field in fields:
            if rekey and field.vault.policy.envelope == "reference":
                raise CommandError(
                    f"{field} keeps its wrapped data keys in the registry, where other columns share them: "
                    "its cells hold nothing to wrap again. Run without --rekey."
                )
        return fields

    def _run(self, run: Run | FileRenewal, verbosity: int) -> CommandError | None:
        try:
            with progress_bar(run.total(), "rows", verbosity) as bar:
                for rows in run.batches():
                    bar.update(rows)
        except KeyboardInterrupt:
            return CommandError(f"Interrupted. {_resume(run)}", returncode=130)
        except VaultError as exc:
            return CommandError(f"Stopped: {exc} {_resume(run)}")
        return None

    def _report(self, run: Run, keys_made: int, options: dict[str, Any]) -> None:
        verb = "rekeyed" if options["rekey"] else "re-encrypted"
        lines = table(
            ["column", verb, "null", "changed meanwhile", "left"],
            [(c.column, c.renewed, c.null, c.changed_meanwhile, c.left) for c in run.columns],
        )
        self.stdout.write("\n".join(lines))
        if options["dry_run"]:
            self.stdout.write(f"Dry run: nothing was written; the column {verb!r} counts what would be.")
        else:
            self.stdout.write(
                f"{'Data keys wrapped again' if options['rekey'] else 'New data keys'}: {keys_made}."
            )
        if any(c.changed_meanwhile for c in run.columns):
            self.stdout.write("Changed meanwhile: another writer's newer value stands.")
        style = style_for(self.stdout, self.style, options["force_color"])
        for line in bad_cells(run.left):
            self.stdout.write(style.ERROR(line))


def _primary_key(field: "Field[Any, Any]", text: str | None) -> Any:
    if text is None:
        return None
    try:
        return field.model._meta.pk.to_python(text)
    except ValidationError as exc:
        raise CommandError(f"--start-after: {'; '.join(exc.messages)}") from None


def _resume(run: Run | FileRenewal) -> str:
    if run.last_pk is None:
        return "No row was changed. Run the command again."
    return f"Everything up to row {run.last_pk} is done. Go on with: --start-after {run.last_pk}"


def _document(run: Run, keys_made: int, dry_run: bool, finished: bool) -> dict[str, Any]:
    return {
        "finished": finished,
        "dry_run": dry_run,
        "keys_made": keys_made,
        "last_pk": run.last_pk,
        "columns": [asdict(counts) for counts in run.columns],
        "left": [asdict(cell) for cell in run.left],
    }
