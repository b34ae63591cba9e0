"""``manage.py vault_encrypt_files app.Model.field``: seal the files that were stored in clear."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import connections, router

from django_workos_vault.exceptions import VaultError
from django_workos_vault.maintenance.files.adoption import FileAdoption, Journal
from django_workos_vault.maintenance.files.columns import file_field
from django_workos_vault.management.command import VaultCommand
from django_workos_vault.management.output import as_json, bad_cells, progress_bar, style_for, table


class Command(VaultCommand):
    """Exit status 1 when files had to be left as they are, or Vault could not be used; 130 after Ctrl-C."""

    help = "Seal the files of an encrypted file field that are still in clear. Originals stay until told."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("target", metavar="app.Model.field")
        parser.add_argument(
            "--database", choices=list(connections), help="alias (where the model is written)"
        )
        parser.add_argument(
            "--journal", type=Path, help="notes what was sealed (vault_encrypt_files.app.Model.field.jsonl)"
        )
        parser.add_argument(
            "--delete-originals",
            action="store_true",
            help="delete the originals in the journal whose sealed copies are in use and hold the same bytes",
        )
        parser.add_argument("--dry-run", action="store_true", help="write and delete nothing")
        parser.add_argument("--format", choices=["text", "json"], default="text")

    def handle(self, *args: Any, target: str, verbosity: int, **options: Any) -> None:
        """Run, report, and end with an error when there is something to do."""
        try:
            field = file_field(target)
        except LookupError as exc:
            raise CommandError(exc.args[0]) from None
        name = f"vault_encrypt_files.{field}.jsonl"
        journal = Journal(options["journal"] or Path(name), field)
        run = FileAdoption(
            field,
            options["database"] or router.db_for_write(field.model),
            journal,
            dry_run=options["dry_run"],
        )
        if options["delete_originals"]:
            stopped = self._go(run.delete_originals(), None, verbosity)
        else:
            stopped = self._go(run.run(), run.total(), verbosity)
        if options["format"] == "json":
            left = [asdict(each) for each in run.left]
            self.stdout.write(as_json({**asdict(run.counts), "left": left, "finished": stopped is None}))
        else:
            counted = [(key.replace("_", " "), number) for key, number in asdict(run.counts).items()]
            self.stdout.write("\n".join(table(["files", "number"], counted)))
            style = style_for(self.stdout, self.style, options["force_color"])
            for line in bad_cells(run.left):
                self.stdout.write(style.ERROR(line))
        if stopped is not None:
            raise stopped
        if run.left:
            raise CommandError(
                f"{len(run.left)} files were left as they are. vault_check --explain files says more."
            )

    def _go(self, work: Iterator[None], total: int | None, verbosity: int) -> CommandError | None:
        try:
            with progress_bar(total or 0, "files", verbosity) as bar:
                for _ in work:
                    bar.update(1)
        except KeyboardInterrupt:
            return CommandError("Interrupted. Run it again: what is sealed is passed over.", returncode=130)
        except VaultError as exc:
            return CommandError(f"Stopped: {exc} Run it again: what is sealed is passed over.")
        except FileNotFoundError as exc:
            return CommandError(f"There is no journal {exc.filename}: name it with --journal.")
        except (ValueError, KeyError, TypeError):
            return CommandError("The journal is none: a line of it cannot be read.")
        except Exception as exc:  # of the storage, or the database
            name = type(exc).__name__
            stopped = CommandError(f"Stopped by {name}. Run it again: what is sealed is passed over.")
            stopped.__cause__ = exc
            return stopped
        return None
