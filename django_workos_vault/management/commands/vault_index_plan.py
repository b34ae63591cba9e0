"""``manage.py vault_index_plan app.Model.field``: what a blind index would show, before it is made."""

from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import connections, router

from django_workos_vault.exceptions import VaultError
from django_workos_vault.fields.field import EncryptedField
from django_workos_vault.maintenance.index_plan import Plan, Planner
from django_workos_vault.maintenance.reencryption.target import UnknownTarget, fields_of
from django_workos_vault.management.command import VaultCommand
from django_workos_vault.management.output import as_json, progress_bar, table


class Command(VaultCommand):
    """Opens every row of the column, writes nothing and prints no value."""

    help = "Tell what a blind index over an encrypted column would show, and what truncation to choose."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("target", metavar="app.Model.field")
        parser.add_argument("--database", choices=list(connections), help="alias (where the model is read)")
        parser.add_argument("--format", choices=["text", "json"], default="text")

    def handle(self, *args: Any, target: str, verbosity: int, **options: Any) -> None:
        """Count, then report."""
        field = _field(target)
        planner = Planner(field, options["database"] or router.db_for_read(field.model))
        try:
            with progress_bar(planner.total(), "rows", verbosity) as bar:
                for rows in planner.batches():
                    bar.update(rows)
        except VaultError as exc:
            raise CommandError(f"Stopped: {exc}") from None
        if options["format"] == "json":
            indexes = [{**asdict(plan), "reveals": plan.reveals} for plan in planner.plans()]
            document = {"null": planner.null, "cannot_be_opened": planner.left, "indexes": indexes}
            self.stdout.write(as_json(document))
        else:
            self._report(planner)

    def _report(self, planner: Planner) -> None:
        header = ["index", "rows", "distinct values", "most frequent", "bits", "rows a lookup opens"]
        plans = planner.plans()
        lines = [
            (p.index, p.rows, p.distinct, p.most_frequent, p.bits or "none", p.rows_opened) for p in plans
        ]
        self.stdout.write("\n".join(table(header, lines)))
        self.stdout.write(f"\n{planner.null} rows are NULL, {planner.left} cannot be opened.\n")
        for plan in plans:
            self.stdout.write(_advice(plan))


def _advice(plan: Plan) -> str:
    shows = f"{plan.index}: shows which of {plan.rows} rows are equal, and how often each value occurs."
    if plan.reveals:
        return f"{shows} So few values, or one so common, would be guessed from that: better no index."
    return (
        f"{shows} With bits={plan.bits} about four values share a digest, and a lookup opens about "
        f"{plan.rows_opened} rows."
    )


def _field(target: str) -> EncryptedField:
    try:
        fields = fields_of(target)
    except UnknownTarget as exc:
        raise CommandError(str(exc)) from None
    if target.count(".") != 2:
        raise CommandError(f"Name one column: {target}.{fields[0].name}, for example.")
    return fields[0]
