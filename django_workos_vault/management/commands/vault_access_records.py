"""``manage.py vault_access_records``: write the record of who saw what to a file, and prune it."""

from datetime import datetime
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils.dateparse import parse_date, parse_datetime
from django.utils.timezone import get_default_timezone, is_naive, make_aware

from django_workos_vault.access import Broken, Entry
from django_workos_vault.exceptions import (
    AccessNotRecorded,
    InvalidVaultConfiguration,
    VaultError,
    WrongKey,
)
from django_workos_vault.handler import vaults
from django_workos_vault.management.command import VaultCommand


class Command(VaultCommand):
    """Exit status 1 when the chain of records is broken, or its key cannot be had."""

    help = "Export the access records as lines of JSON, or prune those before a date."

    def add_arguments(self, parser: CommandParser) -> None:
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--export", action="store_true", help="print every record, the oldest first")
        what.add_argument("--prune", action="store_true", help="delete the records before a date")
        parser.add_argument("--before", type=_moment, metavar="DATE", help="2026-11-28, or with a time")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do the one or the other."""
        records = vaults.access_records()
        if options["export"]:
            for line in records.lines():
                self.stdout.write(line)
            return
        before = options["before"]
        if before is None:
            raise CommandError("--prune needs --before DATE.")
        entry = Entry.of_process("prune", outcome=f"before {before.isoformat()}")
        try:
            number = records.prune(before, entry)
        except Broken as exc:
            raise CommandError(f"Nothing was pruned: {exc} Run vault_check.") from None
        except (AccessNotRecorded, InvalidVaultConfiguration, VaultError, WrongKey) as exc:
            raise CommandError(f"Nothing was pruned: {exc}") from None
        self.stdout.write(f"{number} records were pruned.")


def _moment(text: str) -> datetime:
    try:
        day = parse_date(text)
        moment = parse_datetime(text) if day is None else datetime(day.year, day.month, day.day)
    except ValueError:
        moment = None
    if moment is None:
        raise ValueError(text)
    return make_aware(moment, get_default_timezone()) if is_naive(moment) else moment
