"""``manage.py vault_check``: the checklist to run before an installation is trusted."""

from dataclasses import asdict
from functools import partial
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import connections

from django_workos_vault.maintenance.inspection import Finding, Inspection
from django_workos_vault.management.command import VaultCommand
from django_workos_vault.management.explanations import NothingSaid, explain
from django_workos_vault.management.output import (
    as_json,
    bad_cells,
    positive,
    progress_bar,
    style_for,
    table,
)
from django_workos_vault.overview.findings import keep_findings

#: exit status: nothing is wrong, but something may be
_WARNINGS = 3


class Command(VaultCommand):
    """Exit status 1 when anything is wrong, 3 when there are warnings alone; 2 is argparse's."""

    help = "Check settings, tracked files, the vaults, every registered data key and stored rows."
    requires_system_checks = []  # they are part of the checklist

    def add_arguments(self, parser: CommandParser) -> None:
        rows = parser.add_mutually_exclusive_group()
        rows.add_argument(
            "--sample",
            type=positive,
            default=100,
            metavar="ROWS",
            help="rows to open in each column, and keys on record (100)",
        )
        rows.add_argument("--all", action="store_true", help="open every row, unwrap every key")
        parser.add_argument(
            "--objects",
            action="store_true",
            help="look for objects without row and rows without object",
        )
        parser.add_argument(
            "--files", action="store_true", help="look for encrypted files that no row refers to"
        )
        parser.add_argument("--database", choices=list(connections), help="alias (where each is written)")
        parser.add_argument(
            "--explain",
            nargs="?",
            const="",
            metavar="TOPIC",
            help="print the page of a check (E010), an error (WrongKey) or a topic (settings) and do nothing "
            "else; without a topic, list them",
        )
        parser.add_argument("--format", choices=["text", "json"], default="text")

    def handle(self, *args: Any, **options: Any) -> None:
        """Go through the checklist and print it as it comes, or as one document at the end."""
        if options["explain"] is not None:
            self._explain(options["explain"])
            return
        as_text = options["format"] == "text"
        inspection = Inspection(
            sample=None if options["all"] else options["sample"],
            using=options["database"],
            objects=options["objects"],
            files=options["files"],
            progress=partial(progress_bar, verbosity=options["verbosity"]),
        )
        style = style_for(self.stdout, self.style, options["force_color"])
        findings = []
        for finding in inspection.findings():
            findings.append(finding)
            if as_text:
                self._tell(finding, style)
        keep_findings(findings)
        problems, warnings = (
            sum(finding.status == status for finding in findings) for status in ("problem", "warning")
        )
        if as_text:
            self._tell_columns(inspection, style)
        else:
            self.stdout.write(as_json(_document(findings, inspection)))
        if problems:
            raise CommandError(f"{problems} of {len(findings)} checks found a problem.")
        if warnings:
            message = f"{warnings} of {len(findings)} checks found what may be meant, and none a problem."
            raise CommandError(message, returncode=_WARNINGS)
        if as_text:
            self.stdout.write(style.SUCCESS("Everything that was checked is in order."))

    def _explain(self, topic: str) -> None:
        try:
            self.stdout.write(explain(topic))
        except NothingSaid as exc:
            raise CommandError(str(exc)) from None

    def _tell(self, finding: Finding, style: Any) -> None:
        paint = _paints(style)[finding.status]
        status, step = paint(f"{finding.status:7}"), f"{finding.step:13}"
        self.stdout.write(f"{status}  {step}  {finding.subject}: {finding.message}")
        if finding.advice:
            self.stdout.write(f"{'':24}  {finding.advice}")

    def _tell_columns(self, inspection: Inspection, style: Any) -> None:
        counts = [
            (report.column, kind.data_key, f"version {kind.version}", kind.stored, number)
            for report in inspection.columns
            for kind, number in sorted(report.kinds.items())
        ]
        if counts:
            lines = table(["column", "data key", "envelope", "key", "cells"], counts)
            self.stdout.write("\n" + "\n".join(lines) + "\n")
        for line in bad_cells(cell for report in inspection.columns for cell in report.bad):
            self.stdout.write(style.ERROR(line))


def _paints(style: Any) -> dict[str, Any]:
    good, bad, doubtful = style.SUCCESS, style.ERROR, style.WARNING
    return {"ok": good, "problem": bad, "warning": doubtful, "skipped": doubtful}


def _document(findings: list[Finding], inspection: Inspection) -> dict[str, Any]:
    return {
        "ok": not any(finding.status in ("problem", "warning") for finding in findings),
        "findings": [asdict(finding) for finding in findings],
        "columns": [
            {
                "column": report.column,
                "rows": report.rows,
                "null": report.null,
                "opened": report.opened,
                "not_found_by_lookups": report.not_found,
                "cannot_be_opened": [asdict(cell) for cell in report.bad],
                "cells": [
                    {**kind._asdict(), "cells": number} for kind, number in sorted(report.kinds.items())
                ],
            }
            for report in inspection.columns
        ],
    }
