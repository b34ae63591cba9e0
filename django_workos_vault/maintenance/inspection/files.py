"""Encrypted files: a sample is opened; rows whose file is gone and files that no row has are counted."""

import posixpath
from collections import Counter
from collections.abc import Iterator
from functools import partial
from itertools import tee

from django.apps import apps
from django.core.files.storage import Storage
from django.db import router

from django_workos_vault import envelope
from django_workos_vault.exceptions import REFUSALS, EnvelopeError, InvalidVaultConfiguration, VaultError
from django_workos_vault.files.fields import EncryptedFieldFile, EncryptedFileField
from django_workos_vault.maintenance.cells import BadCell, batches
from django_workos_vault.maintenance.files.beginnings import Beginning, both_ends_of
from django_workos_vault.maintenance.files.columns import Referrers, encrypted_file_fields, rows_with_files
from django_workos_vault.maintenance.files.many import Beginnings, may_be_there
from django_workos_vault.maintenance.inspection.findings import Finding, Progress, advice_for
from django_workos_vault.maintenance.patience import patiently
from django_workos_vault.maintenance.tables import Tables

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
        beginnings = Beginnings(self._field.storage, both_ends_of)
        with progress(total if sample is None else min(total, sample), "files") as bar:
            newest = sample // 2 if sample is not None and total > sample else 0
            chosen = batches(rows, _ROWS_AT_A_TIME) if total else iter(())
            if total and sample is not None:
                oldest = list(rows.order_by("pk")[: sample - newest])
                chosen = iter([oldest, list(rows.order_by("-pk")[:newest])])
            for batch in chosen:
                files = [getattr(instance, self._field.attname) for instance in batch]
                outcomes = beginnings.of(str(file.name) for file in files)
                for instance, file, outcome in zip(batch, files, outcomes, strict=True):
                    looked_at += 1
                    bar.update(1)
                    fault = outcome if isinstance(outcome, Exception) else _fault(file, outcome)
                    if fault is not None:
                        bad.append(BadCell(self._name, instance.pk, type(fault).__name__, str(fault)))
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
        found, unread = [], Counter[str]()
        names, asked = tee(_stored(storage, self._folder()))
        try:
            for name, outcome in zip(names, Beginnings(storage).of(asked), strict=True):
                if isinstance(outcome, Exception):
                    unread[type(outcome).__name__] += may_be_there(outcome)
                elif _is_labelled(outcome, labels) and not referrers.have(name):
                    found.append(name)
        except NotImplementedError:
            message = "The storage cannot list its files, so those that no row refers to were not looked for."
            return Finding("files", self._name, "skipped", message)
        except _NotListed as exc:
            return self._problem(f"The storage did not list its files ({exc}).", _AGAIN)
        if errors := ", ".join(f"{number} {name}" for name, number in sorted((+unread).items())):
            message = f"The storage did not give all of its files ({errors}): some may belong to no row."
            found_too = f" {len(found)} do: {_listed(sorted(found))}." if found else ""
            return self._problem(message + found_too, _AGAIN)
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


class _NotListed(Exception):
    """The storage failed with an error of the class that this names."""


_AGAIN = "Wait for the storage, and run it again."


def _fault(file: EncryptedFieldFile, stored: Beginning) -> Exception | None:
    """Return why a file, of which both ends are at hand, is not one of its row, or not whole."""
    try:
        patiently(partial(_open, file, stored))
    except (EnvelopeError, InvalidVaultConfiguration, *REFUSALS) as exc:
        return exc
    return None


def _open(file: EncryptedFieldFile, stored: Beginning) -> None:
    sealing = file.storage.sealing
    with sealing.cipher().open(stored, binding=sealing.binding()) as opened:
        opened.size  # noqa: B018


def _is_labelled(stored: Beginning, labels: set[bytes]) -> bool:
    try:
        return stored.header().label_id in labels
    except EnvelopeError:
        return False


def _stored(storage: Storage, folder: str) -> Iterator[str]:
    waiting = [folder]
    while waiting:
        folder = waiting.pop()
        try:
            folders, files = storage.listdir(folder)
        except FileNotFoundError:
            continue
        except NotImplementedError:
            raise
        except Exception as exc:  # each storage has its own
            raise _NotListed(type(exc).__name__) from exc
        waiting += [posixpath.join(folder, each) for each in folders if each not in ("", ".")]
        yield from (posixpath.join(folder, each) for each in files)


def _listed(names: list[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
