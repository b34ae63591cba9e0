"""Encrypted files: a sample is opened; rows whose file is gone and files that no row has are counted."""

import posixpath
from collections.abc import Iterator

from django.apps import apps
from django.core.files.storage import Storage
from django.db import connections, router

from django_workos_vault import envelope
from django_workos_vault.exceptions import REFUSALS, EnvelopeError, InvalidVaultConfiguration, VaultError
from django_workos_vault.files.fields import EncryptedFileField
from django_workos_vault.files.sources import source_of
from django_workos_vault.maintenance.cells import BadCell, batches
from django_workos_vault.maintenance.files.columns import (
    Referrers,
    encrypted_file_fields,
    rows_with_files,
)
from django_workos_vault.maintenance.inspection.findings import Finding, Progress, advice_for
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
                try:
                    yield from _inspect_field(
                        field, using or router.db_for_read(model), sample, progress, orphans=orphans
                    )
                except VaultError as exc:
                    yield Finding("files", _name(field), "problem", f"Stopped: {exc}", advice_for(exc))


def _inspect_field(
    field: EncryptedFileField, using: str, sample: int | None, progress: Progress, *, orphans: bool
) -> Iterator[Finding]:
    if field.model._meta.db_table not in connections[using].introspection.table_names(include_views=True):
        message = f"Database {using!r} has no table {field.model._meta.db_table}."
        yield Finding("files", _name(field), "problem", message, "Run migrate.")
        return
    rows = rows_with_files(field, using)
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
                    file = getattr(instance, field.attname)
                    with file.storage.opened(file.name) as opened:
                        opened.size  # noqa: B018
                except (EnvelopeError, InvalidVaultConfiguration, OSError, *REFUSALS) as exc:
                    bad.append(BadCell(_name(field), instance.pk, type(exc).__name__, str(exc)))
    yield _finding(field, f"{looked_at} of {total} files", bad)
    if orphans:
        yield _orphans(field)


def _finding(field: EncryptedFileField, looked_at: str, bad: list[BadCell]) -> Finding:
    if not bad:
        return Finding("files", _name(field), "ok", f"{looked_at}: each one opens and is whole.")
    reasons: dict[str, list[str]] = {}
    for each in bad:
        reasons.setdefault(each.reason, []).append(str(each.pk))
    told = "; ".join(f"{reason}: {_listed(keys)}" for reason, keys in sorted(reasons.items()))
    return Finding(
        "files",
        _name(field),
        "problem",
        f"{looked_at}: {len(bad)} cannot be opened. {told}.",
        "vault_check --explain files says what each reason means and what to do.",
    )


def _orphans(field: EncryptedFileField) -> Finding:
    storage: Storage = field.storage
    referrers = Referrers()
    labels = {envelope.label_id(label) for label in (field.label, *field.previous_labels)}
    try:
        found = [
            name for name in _stored(storage, _folder(field)) if _is_orphan(storage, name, labels, referrers)
        ]
    except NotImplementedError:
        message = "The storage cannot list its files, so those that no row refers to were not looked for."
        return Finding("files", _name(field), "skipped", message)
    if not found:
        return Finding("files", _name(field), "ok", "Every file sealed for it belongs to a row.")
    return Finding(
        "files",
        _name(field),
        "problem",
        f"{len(found)} files were sealed for it and belong to no row: {_listed(sorted(found))}.",
        "They were replaced, or written in a transaction that was rolled back: delete those that are old.",
    )


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


def _folder(field: EncryptedFileField) -> str:
    """Return the folder that all names of ``upload_to`` begin with."""
    if callable(field.upload_to):
        return ""
    parts = str(field.upload_to).split("/")
    fixed = next((at for at, part in enumerate(parts) if "%" in part), len(parts))
    return "/".join(parts[:fixed])


def _listed(names: list[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _name(field: EncryptedFileField) -> str:
    return f"{field.model._meta.label}.{field.name}"
