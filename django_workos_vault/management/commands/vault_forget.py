"""``manage.py vault_forget organization_id=org_1``: destroy the keys of one customer, and report."""

import os
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import DatabaseError, connections

from django_workos_vault.exceptions import InvalidVaultConfiguration, VaultError
from django_workos_vault.handler import vaults
from django_workos_vault.maintenance.forgetting import Forgetting, Plan, Subject, report
from django_workos_vault.maintenance.forgetting.subject import parsed_items
from django_workos_vault.management.command import OutputLost, ReaderGone, VaultCommand
from django_workos_vault.management.output import as_json, progress_bar
from django_workos_vault.management.stopping import Stopping


class Command(VaultCommand):
    """Exit status 1 when something that was planned is not destroyed; 130 after Ctrl-C or SIGTERM."""

    help = "Destroy the data keys and the objects in Vault of one key context, and say what stays readable."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("items", nargs="+", metavar="name=value", help="the key context, all its items")
        parser.add_argument("--vault", metavar="ALIAS", help="one vault (all that are configured)")
        parser.add_argument("--database", choices=list(connections), help="alias (where each is written)")
        parser.add_argument("--plan", action="store_true", help="say what would be done, and do nothing")
        parser.add_argument("--yes", action="store_true", help="do not ask")
        parser.add_argument(
            "--despite-unread-files",
            action="store_true",
            help="destroy keys though a storage did not give files that may carry them",
        )
        parser.add_argument(
            "--report", type=Path, metavar="FILE", help="a new file; JSON if it ends in .json"
        )
        parser.add_argument("--format", choices=["text", "json"], default="text")

    def handle(self, *args: Any, verbosity: int, **options: Any) -> None:
        """Plan, ask, destroy, report."""
        subject = self._subject(options)
        as_text, is_plan = options["format"] == "text", options["plan"]
        if not (is_plan or options["yes"] or (as_text and sys.stdin.isatty())):
            raise CommandError("Nobody can be asked here. Look at --plan, then add --yes.")
        try:
            plan = Plan.of(subject, partial(progress_bar, verbosity=verbosity))
            if plan.is_empty and (mistaken := report.mistaken(plan)):
                raise CommandError(mistaken)
            if as_text:
                self._print_plan(report.text(plan, None))
            if is_plan:
                self.stdout.write("Nothing was changed." if as_text else as_json(report.document(plan, None)))
            if not options["despite_unread_files"] and (unread := report.unread(plan)):
                raise CommandError(f"Nothing was changed. {unread}")
            if is_plan:
                return
            if not (options["yes"] or plan.destroys_nothing or self._confirmed(subject)):
                raise CommandError("Nothing was changed.")
        except VaultError as exc:
            raise CommandError(f"Nothing was changed. {exc}") from None
        except DatabaseError as exc:
            raise CommandError(f"Nothing was changed. The database: {type(exc).__name__}.") from exc
        except KeyboardInterrupt:
            raise CommandError("Interrupted. Nothing was changed.", returncode=130) from None
        self._carry_out(Forgetting(plan), options, verbosity)

    def _carry_out(self, run: Forgetting, options: dict[str, Any], verbosity: int) -> None:
        file = options["report"]
        self._reserve(file)
        interrupted, failed = False, None
        try:
            with (
                Stopping().signals() as stopping,
                progress_bar(len(run.plan.objects), "objects", verbosity) as bar,
            ):
                for _ in run.steps():
                    bar.update(1)
                    if interrupted := stopping() and not run.finished:
                        break
        except KeyboardInterrupt:
            interrupted = True
        except DatabaseError as exc:
            failed = exc
        lines, document = report.text(run.plan, run), as_json(report.document(run.plan, run))
        unwritten = None if file is None else _written(file, lines, document)
        if options["format"] == "text":
            document = "\n".join(["", *lines])
        unprinted = self._print_report(document, lines if file is None or unwritten else [])
        if interrupted:
            raise CommandError("Interrupted. Run it again: it destroys the rest.", returncode=130)
        if failed is not None:
            name = type(failed).__name__
            raise CommandError(
                f"Stopped by the database: {name}. Run it again: it destroys the rest."
            ) from failed
        if run.stopped is not None:
            raise CommandError(f"Stopped: {run.stopped} Run it again: it destroys the rest.")
        if run.left:
            raise CommandError(f"{len(run.left)} objects were not deleted. Run it again.")
        if unseen := run.plan.unseen_objects:
            raise CommandError(
                f"{len(unseen)} objects were not looked at: they may be of this key context. Run it again."
            )
        if unwritten is not None:
            raise CommandError(f"The report above was not written to {file}: {unwritten}")
        if unprinted is not None:
            raise unprinted

    def _subject(self, options: dict[str, Any]) -> Subject:
        try:
            context = parsed_items(options["items"])
            aliases = [options["vault"]] if options["vault"] else list(vaults)
            for alias in aliases:
                vaults[alias]
        except InvalidVaultConfiguration as exc:
            raise CommandError(str(exc)) from None
        return Subject(context, frozenset(aliases), options["database"])

    def _confirmed(self, subject: Subject) -> bool:
        self.stdout.write(f"\nThis cannot be undone. To destroy it all, type {subject}")
        with suppress(EOFError):
            return input("> ").strip() == str(subject)
        return False

    def _reserve(self, file: Path | None) -> None:
        """Make sure that the report can be written before anything is destroyed, and replaces no other."""
        if file is None:
            return
        try:
            file.touch()
            if file.stat().st_size:
                raise CommandError(f"{file} is there already. Nothing was changed: name a new file.")
        except OSError as exc:
            raise CommandError(f"The report cannot be written: {exc}. Nothing was changed.") from None

    def _print_plan(self, lines: list[str]) -> None:
        """Print it whole, or stop: nothing is destroyed whose plan nobody could see."""
        try:
            self.stdout.write("\n".join(lines))
            self.stdout.flush()
        except (ReaderGone, OutputLost):
            self.stderr.write("Nothing was changed: the plan could not be written.")
            raise

    def _print_report(self, document: str, lines: list[str]) -> ReaderGone | OutputLost | None:
        """Print it, or return why that failed; ``lines``, which are told nowhere else, go to stderr then."""
        try:
            self.stdout.write(document)
            self.stdout.flush()
        except (ReaderGone, OutputLost) as exc:
            self.stderr.write("\n".join(lines))
            return exc
        return None


def _written(file: Path, lines: list[str], document: str) -> OSError | None:
    """Write the report, and return why that failed: what is destroyed by now is told all the same."""
    try:
        with file.open("a", encoding="utf-8") as report:
            if os.fstat(report.fileno()).st_size:
                return FileExistsError("another run has one there.")
            report.write((document if file.suffix == ".json" else "\n".join(lines)) + "\n")
    except OSError as exc:
        return exc
    return None
