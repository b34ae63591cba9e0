"""A dry run over one model after the other: what a run would do, and where it would stop."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.core.management.base import CommandError
from django.db import DatabaseError

from django_workos_vault.exceptions import VaultError
from django_workos_vault.fields.field import EncryptedField
from django_workos_vault.maintenance.cells import BadCell
from django_workos_vault.maintenance.engine.columns import ColumnCounts
from django_workos_vault.maintenance.engine.keys import as_argument
from django_workos_vault.maintenance.engine.rehearsal import Pass
from django_workos_vault.maintenance.operations import operation
from django_workos_vault.management.output import progress_bar
from django_workos_vault.management.stopping import Stopping


@dataclass(slots=True)
class Rehearsed:
    """What was found until the end, or until ``stopped``."""

    counts: list[ColumnCounts] = field(default_factory=list)
    left: list[BadCell] = field(default_factory=list)
    last_pk: Any = None
    stopped: CommandError | None = None


def rehearse(
    models: Iterable[Sequence[EncryptedField]],
    name: str,
    options: Mapping[str, Any],
    *,
    using: str,
    start_after: Any,
) -> Rehearsed:
    """Examine every cell of the fields, model by model, as the operation ``name`` would."""
    found, models = Rehearsed(), list(models)
    for number, fields in enumerate(models):
        one = Pass(
            fields,
            operation(name, options=options),
            using=using,
            batch_size=options["batch_size"] or 500,
            start_after=start_after,
            dry_run=True,
            where=options["where"],
        )
        found.stopped = _stopped(one, models[number:] if len(models) > 1 else [], options["verbosity"])
        found.counts += one.counts.values()
        found.left += one.left
        found.last_pk = one.last_pk
        if found.stopped is not None:
            break
    return found


def _stopped(run: Pass, left: Sequence[Sequence[EncryptedField]], verbosity: int) -> CommandError | None:
    """Go through one model. ``left`` is that and the models after it, where there are several."""
    try:
        with Stopping().signals() as stop, progress_bar(run.total(), "rows", verbosity) as bar:
            for rows in run.batches():
                bar.update(rows)
                if stop.asked:
                    raise KeyboardInterrupt
    except KeyboardInterrupt:
        return CommandError(f"Interrupted. {_go_on(run, left)}", returncode=130)
    except VaultError as exc:
        return CommandError(f"Stopped: {exc} {_go_on(run, left)}")
    except DatabaseError as exc:
        return CommandError(f"Stopped by the database: {type(exc).__name__}. {_go_on(run, left)}")
    return None


def _go_on(run: Pass, left: Sequence[Sequence[EncryptedField]]) -> str:
    this, *others = [f"{' '.join(map(str, fields))} " for fields in left] or [""]
    rest = f", then with: {''.join(others)}".rstrip() if others else ""
    if run.last_pk is None:
        again = f"Go on with: {this.rstrip()}{rest}" if this else "Run the command again."
        return f"No row was changed. {again}"
    row = as_argument(run.last_pk)
    return f"Everything up to row {row} is done. Go on with: {this}--start-after {row}{rest}"
