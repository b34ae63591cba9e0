"""Encrypted columns: rows are opened, cells counted by data key and by the way they are stored."""

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from django.apps import apps
from django.db import router
from django.db.models import Model, QuerySet

from django_workos_vault.exceptions import REFUSALS, EnvelopeError, VaultError
from django_workos_vault.fields.field import EncryptedField
from django_workos_vault.maintenance import cells
from django_workos_vault.maintenance.cells import BadCell, CannotOpen, CellReader
from django_workos_vault.maintenance.inspection.findings import Finding, Progress, advice_for
from django_workos_vault.maintenance.inspection.proofs import Proofs
from django_workos_vault.maintenance.patience import patiently
from django_workos_vault.maintenance.tables import Tables
from django_workos_vault.models import DataKeyRecord
from django_workos_vault.registry.rows import as_told

_ROWS_AT_A_TIME = 500


class Kind(NamedTuple):
    """What cells are counted by. ``data_key`` is Vault's id of it, or the begin of its commitment."""

    data_key: str
    version: int
    stored: str


@dataclass(slots=True)
class ColumnReport:
    """What was found in one column."""

    column: str
    rows: int = 0
    null: int = 0
    opened: int = 0
    not_found: int = 0
    bad: list[BadCell] = field(default_factory=list)
    kinds: Counter[Kind] = field(default_factory=Counter)


def inspectable_models(aliases: set[str]) -> Iterator[tuple[type[Model], list[EncryptedField]]]:
    """Yield models with their encrypted fields that use one of the vaults ``aliases``."""
    for model in apps.get_models():
        fields = [f for f in cells.encrypted_fields(model) if f.vault_alias in aliases]
        if fields:
            yield model, fields


def inspect_columns(
    fields: list[EncryptedField],
    reports: list[ColumnReport],
    using: str | None,
    sample: int | None,
    progress: Progress,
) -> Iterator[Finding]:
    """Open the cells of one model's ``fields`` in ``sample`` rows (half oldest, half newest) or all (None).

    Appends to ``reports`` and yields a finding for each column, or one for an outage.
    """
    model = fields[0].model
    using = using or router.db_for_write(model)
    if not Tables(using).have(model):
        yield Finding(
            "columns",
            model._meta.label,
            "problem",
            f"Database {using!r} has no table {model._meta.db_table}.",
            "Run migrate.",
        )
        return
    mine = [ColumnReport(str(f)) for f in fields]
    reports += mine
    rows = cells.rows(fields, using)
    total = rows.count()
    if not total:
        yield from (_finding(report, total) for report in mine)
        return
    opening = _Opening(fields, mine)
    with progress(total if sample is None else min(total, sample), "rows") as bar:
        batches = cells.batches(rows, _ROWS_AT_A_TIME) if sample is None else _sample(rows, total, sample)
        for batch in batches:
            try:
                opening.look_at(batch)
            except VaultError as exc:
                yield Finding("columns", model._meta.label, "problem", f"Stopped: {exc}", advice_for(exc))
                return
            bar.update(len(batch))
    for report in mine:
        yield _finding(report, total)


def _sample(rows: QuerySet[Model], total: int, sample: int) -> Iterator[list[Model]]:
    newest = sample // 2 if total > sample else 0
    yield list(rows.order_by("pk")[: sample - newest])
    if newest:
        yield list(rows.order_by("-pk")[:newest])


class _Opening:
    """Opens the cells of one model's ``fields``, and counts what it finds in ``reports``, one for each."""

    def __init__(self, fields: list[EncryptedField], reports: list[ColumnReport]) -> None:
        self._fields = fields
        self._reports = reports
        self._reader, self._proofs = CellReader(), Proofs()
        records = DataKeyRecord.objects.using(router.db_for_write(DataKeyRecord))
        filed = records.values_list("commitment", "key_id")
        self._known = {str(commitment): as_told(key_id) for commitment, key_id in filed}

    def look_at(self, rows: list[Model]) -> None:
        """Open all cells of ``rows``. Raises VaultError in an outage."""
        patiently(partial(self._proofs.gather, self._fields, rows))
        for instance in rows:
            for column, report in zip(self._fields, self._reports, strict=True):
                report.rows += 1
                if cells.is_null(column, instance):
                    report.null += 1
                    continue
                try:
                    self._open(column, instance, report)
                except CannotOpen as exc:
                    report.bad.append(exc.of(column, instance))

    def _open(self, column: EncryptedField, instance: Model, report: ColumnReport) -> None:
        parsed = cells.parsed(column, instance)
        commitment = parsed.commitment.hex()
        stored = "inline" if parsed.key_reference else "reference"
        report.kinds[Kind(self._known.get(commitment, commitment[:16]), parsed.version, stored)] += 1
        patiently(partial(self._proofs.check, column, parsed))
        value = patiently(partial(self._reader.open, column, instance))
        report.opened += 1
        with suppress(EnvelopeError, *REFUSALS):  # of another cell of a compound index: told there
            report.not_found += not patiently(
                partial(column.digests.is_found, parsed.digests, value, instance)
            )


def _finding(report: ColumnReport, total: int) -> Finding:
    looked_at = f"{report.rows} of {total} rows"
    if report.not_found and not report.bad:
        return Finding(
            "columns",
            report.column,
            "problem",
            f"{looked_at}: every value opens, but lookups do not find {report.not_found} of them.",
            f"Their cells lack a digest of the blind indexes declared: run vault_reencrypt {report.column}.",
        )
    if not report.bad:
        return Finding("columns", report.column, "ok", f"{looked_at}: every value opens.")
    return Finding(
        "columns",
        report.column,
        "problem",
        f"{looked_at}: {len(report.bad)} cells cannot be opened.",
        "vault_check --explain commands says what each reason means and what to do.",
    )
