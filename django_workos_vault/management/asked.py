"""Options of ``vault_reencrypt`` that mean nothing beside others: refused, not left out in silence."""

from collections.abc import Mapping
from math import inf
from typing import Any

from django.core.management.base import CommandError

_ON_RECORD = ("list", "status", "pause", "resume", "cancel")
_QUEUED = ("workers", "celery", "tasks")
_OF_CELLS = ("from_vault", "plain", "batch_size", "batch_seconds", "verify")
_OF_ROWS = ("where", "max_rows_per_second", "max_requests_per_second")
_NEW = ("all", "operation", "rekey", "start_after", "dry_run", "plan", *_OF_CELLS, *_OF_ROWS)
_USUAL = {"operation": "reseal", "workers": 1, "batch_seconds": 0.5}


def refuse_contradictions(options: Mapping[str, Any]) -> None:
    """Raise CommandError where a run on record is asked for something else besides, or for two operations."""
    asked = _given(options, _ON_RECORD)
    if len(asked) > 1:
        raise CommandError(f"{' and '.join(asked)}: one at a time.")
    if asked:
        extra = _given(options, _NEW if options["resume"] else (*_NEW, *_QUEUED))
        if extra:
            raise CommandError(
                f"{asked[0]} goes without {', '.join(extra)}: a run keeps what it was begun with."
            )
    if not 0 <= options["batch_seconds"] < inf:
        raise CommandError("--batch-seconds is a number of seconds.")
    if options["rekey"] and options["operation"] not in ("reseal", "rekey"):
        raise CommandError(f"--rekey and --operation {options['operation']}: name one of them.")


def refuse_for_files(options: Mapping[str, Any]) -> None:
    """Raise CommandError for what is done to columns only."""
    extra = _given(options, _OF_CELLS)
    if options["operation"] not in ("reseal", "rekey"):
        extra.insert(0, f"--operation {options['operation']}")
    if extra:
        raise CommandError(f"Files go without {', '.join(extra)}. Nothing was changed.")


def _given(options: Mapping[str, Any], names: tuple[str, ...]) -> list[str]:
    return [
        f"--{name.replace('_', '-')}" for name in names if options[name] and options[name] != _USUAL.get(name)
    ]
