"""Encrypted files: a sample is opened; rows whose file is gone and files that no row has are counted."""

import posixpath
from collections.abc import Iterator
from functools import partial
from typing import Any

from django.apps import apps
from django.core.files.storage import Storage
from django.db import router

from django_workos_vault import envelope
from django_workos_vault.exceptions import REFUSALS, EnvelopeError, InvalidVaultConfiguration, VaultError
from django_workos_vault.files.fields import EncryptedFileField
from django_workos_vault.files.sources import source_of
from django_workos_vault.maintenance.cells import BadCell, batches
from django_workos_vault.maintenance.files.columns import (
    STORAGE_FAULTS,
    Referrers,
    encrypted_file_fields,
    rows_with_files,
)
from django_workos_vault.maintenance.inspection.findings import Finding, Progress, advice_for
from django_workos_vault.maintenance.patience import patiently
from django_workos_vault.maintenance.tables import Tables
from django_workos_vault.streams.cipher import read_header

_ROWS_AT_A_TIME = 500
_SHOWN = 20


def inspect_files(
    aliases: set[str], using: str | None, sample: int | None, progress: Progress, *, orphans: bool = False
) -> Iterator[Finding]:
    """Yield findings on every encrypted file field that uses one of the vaults ``aliases``.

    The files of ``sample`` rows (half oldest, half newest), or of all (None), are opened, and their last
    frame, which tells whether they are whole. With ``orphans`` the storage is gone through for files that
    were sealed for the field and that no row refers to.
    """
    for model in apps.get_models():
        for field in encrypted_file_fields(model):
            if field.vault_alias in aliases:
                inspection = _Inspection(field, using or router.db_for_write(model))
                yield from inspection.findings(sample, progress, orphans=orphans)


class _Inspection:
    """One field's files, in one database."""

    def __init__(self, field: EncryptedFileField, using: str) -> None:
        self._field = field
        self._using = using
        self._name = str(field)

    def findings(self, sample: int | None, progress: Progress, *, orphans: bool) -> Iterator[Finding]:
        """Yield what is found. An outage is a finding, the last one."""
        try:
            model = self._field.model
            if not Tables(self._using).have(model):
                missing = f"Database {self._using!r} has no table {model._meta.db_table}."
                yield self._problem(missing, "Run migrate.")
                return
            yield self._opened(sample, progress)
            if orphans:
                yield self._orphans()
        except VaultError as exc:
            yield self._problem(f"Stopped: {exc}", advice_for(exc))

    def _opened(self, sample: int | None, progress: Progress) -> Finding:
        rows = rows_with_files(self._field, self._using)
        total = rows.count()
        looked_at, bad = 0, []
        with progress(total if sample is None else min(total, sample), "files") as bar:
            newest = sample // 2 if sample is not None and total > sample else 0
            chosen = batches(rows, _ROWS_AT_A_TIME) if total else iter(())
            if total and sample is not None:
                oldest = list(rows.order_by("pk")[: sample - newest])
                chosen = iter([oldest, list(rows.order_by("-pk")[:newest])])
            for batch in chosen:
                for instance in batch:
                    looked_at += 1
                    bar.update(1)
                    try:
                        patiently(partial(_look_at, getattr(instance, self._field.attname)))
                    except (EnvelopeError, InvalidVaultConfiguration, *STORAGE_FAULTS, *REFUSALS) as exc:
                        bad.append(BadCell(self._name, instance.pk, type(exc).__name__, str(exc)))
        return self._told(f"{looked_at} of {total} files", bad)

    def _told(self, looked_at: str, bad: list[BadCell]) -> Finding:
        if not bad:
            return Finding("files", self._name, "ok", f"{looked_at}: each one opens and is whole.")
        reasons: dict[str, list[str]] = {}
        for each in bad:
            reasons.setdefault(each.reason, []).append(str(each.pk))
        told = "; ".join(f"{reason}: {_listed(keys)}" for reason, keys in sorted(reasons.items()))
        return self._problem(
            f"{looked_at}: {len(bad)} cannot be opened. {told}.",
            "vault_check --explain files says what each reason means and what to do.",
        )

    def _orphans(self) -> Finding:
        field, storage, referrers = self._field, self._field.storage, Referrers()
        labels = {envelope.label_id(label) for label in (field.label, *field.previous_labels)}
        try:
            found = [
                name
                for name in _stored(storage, self._folder())
                if _is_orphan(storage, name, labels, referrers)
            ]
        except NotImplementedError:
            message = "The storage cannot list its files, so those that no row refers to were not looked for."
            return Finding("files", self._name, "skipped", message)
        if not found:
            return Finding("files", self._name, "ok", "Every file sealed for it belongs to a row.")
        return self._problem(
            f"{len(found)} files were sealed for it and belong to no row: {_listed(sorted(found))}.",
            "They were replaced, or written in a transaction that was rolled back: delete those that are "
            "old.",
        )

    def _folder(self) -> str:
        """Return the folder that all names of ``upload_to`` begin with."""
        if callable(self._field.upload_to):
            return ""
        parts = str(self._field.upload_to).split("/")
        fixed = next((at for at, part in enumerate(parts) if "%" in part), len(parts))
        return "/".join(parts[:fixed])

    def _problem(self, message: str, advice: str) -> Finding:
        return Finding("files", self._name, "problem", message, advice)


def _look_at(file: Any) -> None:
    with file.storage.opened(file.name) as opened:
        opened.size  # noqa: B018


def _is_orphan(storage: Storage, name: str, labels: set[bytes], referrers: Referrers) -> bool:
    try:
        source = source_of(storage, name)
        try:
            header = read_header(source)
        finally:
            source.close()
    except (EnvelopeError, OSError):
        return False
    return header.label_id in labels and not referrers.have(name)


def _stored(storage: Storage, folder: str) -> Iterator[str]:
    waiting = [folder]
    while waiting:
        folder = waiting.pop()
        try:
            folders, files = storage.listdir(folder)
        except FileNotFoundError:
            continue
        waiting += [posixpath.join(folder, each) for each in folders if each not in ("", ".")]
        yield from (posixpath.join(folder, each) for each in files)


def _listed(names: list[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
